"""Quantisation-aware training."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pruning.quantise.grid import Uniform, from_rows, lattice_of, rows_of
from pruning.quantise.lattice import Lattice
from pruning.quantise.network import channel_axis, weights_of
from pruning.quantise.through import Through

REFRESH = 50  # steps; to search a range at every step would take longer than the step


class Straight:
    """A constraint of training: weights stay on a lattice, and are trained straight through the rounding.

    Gradients of weights that are clipped pass like all others. With activations that are quantised too
    (`quantise_inputs`), training gets used to both.

    Args:
        module: the network in training; its weights are changed in place.
        bits: layer -> 1..8.
        scheme: `Uniform()` if not given.
        refresh: steps after which ranges are chosen anew; in between each lattice stays as it is.
        keep_zeros: whether weights that are zero at the beginning stay zero, as those that pruning removed.
    Raises:
        ValueError: a layer that is not there or has no weight to quantise, bits out of their range.
    Source: Krishnamoorthi 2018, arXiv:1806.08342, section 3.2; Bengio et al. 2013, arXiv:1308.3432.
    """

    def __init__(
        self,
        module: nn.Module,
        bits: Mapping[str, int],
        scheme: Uniform | None = None,
        *,
        refresh: int = REFRESH,
        keep_zeros: bool = True,
    ) -> None:
        if refresh < 1:
            raise ValueError(f"Ranges can be chosen anew after 1 step or more, not after {refresh}.")
        self.scheme, self.refresh = scheme or Uniform(), refresh
        layers = weights_of(module, bits)
        self.bits = {name: bits[name] for name in layers}
        self._axes = {name: channel_axis(module, name) for name in layers}
        self._lattices: dict[str, Lattice] = {}
        self._steps = 0
        self._through = Through(module, layers, self._round, keep_zeros=keep_zeros)

    @property
    def exact(self) -> dict[str, Tensor]:
        """layer -> its weight before rounding, as training knows it."""
        return self._through.exact

    def set(self, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Choose the ranges for the network's weights, and round them."""
        self._steps = 0
        self._through.set(optimizer)

    def before_step(self) -> None:
        """Put the exact weights in place; the gradients stay those of the rounded ones."""
        self._through.before_step()

    def after_step(self) -> None:
        """Keep what the step made of the exact weights, and round them."""
        self._steps += 1
        self._through.after_step()

    def _round(self, name: str, weight: Tensor) -> Tensor:
        axis, bits = self._axes[name], self.bits[name]
        rows = rows_of(weight, self.scheme.per_channel, axis)
        if self._steps % self.refresh == 0:
            self._lattices[name] = lattice_of(rows, bits, self.scheme.symmetric, self.scheme.range)
        return from_rows(self._lattices[name].round(rows), weight, axis)
