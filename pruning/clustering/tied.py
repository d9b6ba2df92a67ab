"""Centroids that are trained: weights of one cluster stay equal through every step of an optimizer."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from pruning.clustering.share import weights_of


class Tied:
    """Weights that share values, in training: a `pruning.recover.Constraint`.

    Before a step each weight's gradient becomes the sum of the gradients of its cluster, which is the
    gradient of the centroid; after it the cluster is set to one value again, because kernels may round
    members at the end of a tensor otherwise than those inside. Zeros stay zero: their gradient and their
    state are zero.

    Args:
        module: the network in training, its weights clustered already; changed in place.
        layers: whose weights are tied.
    Raises:
        ValueError: a layer that is not there or has no weight.
    Source: Han et al. 2015, arXiv:1510.00149, section 3.3, equation 3.
    """

    def __init__(self, module: nn.Module, layers: Iterable[str]) -> None:
        found = weights_of(module, dict.fromkeys(layers, 1))
        self._members = {name: _Members(weight) for name, (weight, _) in found.items()}

    def set(self, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Zero what an optimizer knows of zeros; clusters are as they should be."""
        for members in self._members.values():
            for value in (optimizer.state.get(members.weight, {}) if optimizer else {}).values():
                if isinstance(value, Tensor) and value.shape == members.weight.shape:
                    value.mul_(members.stays)

    def before_step(self) -> None:
        """Sum gradients by cluster. A weight without a gradient is passed over."""
        for members in self._members.values():
            members.sum_gradients()

    def after_step(self) -> None:
        """Give all members of a cluster one value."""
        for members in self._members.values():
            members.unite()

    def centroids(self) -> dict[str, Tensor]:
        """Layer -> (k,) where its centroids are now, in the order that they began with."""
        return {name: members.values() for name, members in self._members.items()}


class _Members:
    """Which entries of a weight belong together."""

    def __init__(self, weight: nn.Parameter) -> None:
        self.weight = weight
        values, index = torch.unique(weight.detach(), return_inverse=True)
        self.size = len(values)
        self.index = index.flatten()  # in the order of the shape, however the weight lies in memory
        self.stays = weight.detach() != 0
        self.first = _first(self.index, self.size)
        self.zero = values == 0

    @torch.no_grad()
    def sum_gradients(self) -> None:
        gradient = self.weight.grad
        if gradient is None:
            return
        flat = gradient.reshape(-1)
        sums = torch.zeros(self.size, dtype=flat.dtype, device=flat.device).index_add_(0, self.index, flat)
        sums[self.zero] = 0
        gradient.copy_(sums[self.index].view(gradient.shape))

    @torch.no_grad()
    def unite(self) -> None:
        flat = self.weight.detach().reshape(-1)
        one_each = flat[self.first]
        one_each[self.zero] = 0
        self.weight.copy_(one_each[self.index].view(self.weight.shape))

    def values(self) -> Tensor:
        found = self.weight.detach().reshape(-1)[self.first]
        return found[~self.zero].clone()


def _first(index: Tensor, size: int) -> Tensor:
    """(size,) the first place of each cluster."""
    places = torch.arange(len(index), device=index.device)
    return torch.full((size,), len(index), device=index.device).scatter_reduce_(0, index, places, "amin")
