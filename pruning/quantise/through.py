"""Training straight through a rounding: gradients are taken at rounded weights and change exact ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from pruning.quantise.network import weight_of
from pruning.recover.held import Held

Rounding = Callable[[str, Tensor], Tensor]  # layer, its exact weight -> the rounded one, of the same shape


class Through:
    """Exact weights kept aside while a network in training shows rounded ones.

    Between two steps the network has rounded weights, so that what is evaluated, kept and written is the
    quantised network. Around the optimizer's step it has the exact ones.

    Args:
        module: the network in training; its weights are changed in place.
        layers: whose weights are rounded.
        rounding: what rounds them; called once for each layer when it is set and after every step.
        keep_zeros: whether weights that are zero when it is set stay zero, as those that pruning removed.
    Source: the straight-through estimator: Bengio et al. 2013, arXiv:1308.3432.
    """

    def __init__(
        self, module: nn.Module, layers: Mapping[str, object], rounding: Rounding, *, keep_zeros: bool
    ) -> None:
        self.module, self.rounding, self.keep_zeros = module, rounding, keep_zeros
        self.parameters = {name: weight_of(module, name) for name in layers}
        self.exact = {name: weight.detach().clone() for name, weight in self.parameters.items()}
        self._held: Held | None = None

    @torch.no_grad()
    def set(self, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Take the network's weights for the exact ones, and round them."""
        masks = {}
        for name, weight in self.parameters.items():
            self.exact[name].copy_(weight)
            masks[f"{name}.weight" if name else "weight"] = weight != 0
        if self.keep_zeros:
            self._held = Held(self.module, masks)
            self._held.set(optimizer)
        self._show()

    @torch.no_grad()
    def before_step(self) -> None:
        """Put the exact weights in place; the gradients stay those of the rounded ones."""
        for name, weight in self.parameters.items():
            weight.copy_(self.exact[name])
        if self._held is not None:
            self._held.before_step()

    @torch.no_grad()
    def after_step(self) -> None:
        """Keep what the step made of the exact weights, and round them."""
        for name, weight in self.parameters.items():
            self.exact[name].copy_(weight)
        self._show()

    def _show(self) -> None:
        for name, weight in self.parameters.items():
            weight.copy_(self.rounding(name, self.exact[name]))
