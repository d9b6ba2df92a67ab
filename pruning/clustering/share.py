"""Weights of layers that share few values."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pruning.clustering.kmeans import fit
from pruning.layers import duplicate

MOST_BITS = 8


def share(weight: Tensor, bits: int, *, init: str = "linear", seed: int = 0) -> Tensor:
    """A weight whose entries are the centroids of their clusters. Zeros, what was pruned, stay zero.

    Args:
        weight: any shape, floating point, finite.
        bits: 1..8; at most 2**bits different values besides zero.
        init: name of an entry of `INITS`.
        seed: of those that draw.
    Returns:
        A tensor of the same shape and dtype.
    Raises:
        ValueError: bits out of their range, weights that are not finite, an unknown init.
    Source: Han et al. 2015, arXiv:1510.00149, section 3.1.
    """
    check_bits(bits)
    stays = weight != 0
    shared = torch.zeros_like(weight)
    if bool(stays.any()):
        found = fit(weight[stays], 2**bits, init=init, seed=seed)
        shared[stays] = found.centroids[found.index]
    return shared


@torch.no_grad()
def cluster(module: nn.Module, bits: Mapping[str, int], *, init: str = "linear", seed: int = 0) -> nn.Module:
    """A copy of a network in which the weights of each named layer share few values.

    Args:
        module: the network, never changed.
        bits: layer -> 1..8; other layers stay as they are.
        init, seed: as for `share`.
    Raises:
        ValueError: a layer that is not there or has no weight, and as `share`.
    """
    copy = duplicate(module)
    for weight, asked in weights_of(copy, bits).values():
        weight.copy_(share(weight, asked, init=init, seed=seed))
    return copy


def centroids_of(weight: Tensor) -> Tensor:
    """The different values of a weight besides zero, rising."""
    return torch.unique(weight.detach()[weight.detach() != 0])


def weights_of(module: nn.Module, bits: Mapping[str, int]) -> dict[str, tuple[nn.Parameter, int]]:
    """Layer -> its weight and its bits; of layers that share a weight only the first.

    Raises:
        ValueError: a layer that is not there or has no weight.
    """
    found: dict[str, tuple[nn.Parameter, int]] = {}
    seen = set()
    for name, asked in bits.items():
        check_bits(asked)
        weight = _weight(module, name)
        if id(weight) not in seen:
            seen.add(id(weight))
            found[name] = weight, asked
    return found


def check_bits(bits: int) -> None:
    """Refuse bits outside of 1..8."""
    if not 1 <= bits <= MOST_BITS:
        raise ValueError(f"{bits} bits cannot be had; choose 1 to {MOST_BITS}.")


def _weight(module: nn.Module, name: str) -> nn.Parameter:
    try:
        weight = module.get_submodule(name)._parameters.get("weight")
    except AttributeError:
        raise ValueError(f"The network has no layer {name!r}; leave it out.") from None
    if weight is None or not weight.is_floating_point():
        raise ValueError(f"{name!r} has no weight of its own to cluster; name linear layers or convolutions.")
    return weight
