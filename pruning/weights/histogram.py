"""Histograms with exact counts, of tensors of any size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from pruning.weights.pieces import at_least, must_have, pieces, span_of


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts in bins.

    Args:
        edges: (bins + 1,) ascending, in units of the values.
        counts: (bins,) int64; a value on an edge is counted above it, values beyond the edges in the
            outermost bins.
        log: whether the bins are equally wide on a logarithmic axis.
    """

    edges: np.ndarray
    counts: np.ndarray
    log: bool = False

    @property
    def centres(self) -> np.ndarray:
        """(bins,) the middle of each bin, on its axis."""
        if self.log:
            return np.sqrt(self.edges[:-1] * self.edges[1:])
        return (self.edges[:-1] + self.edges[1:]) / 2

    @property
    def density(self) -> np.ndarray:
        """(bins,) share of all values in each bin, per unit of its width; the area is 1."""
        return self.counts / max(int(self.counts.sum()), 1) / np.diff(self.edges)

    def position(self, value: float) -> float:
        """Where a value lies on the axis: 0 = its left end, 1 = its right end."""
        low, high = float(self.edges[0]), float(self.edges[-1])
        value = min(max(value, low), high)
        if self.log:
            return float(np.log(value / low) / np.log(high / low))
        return (value - low) / (high - low)


def histogram(values: Tensor, bins: int = 80, span: tuple[float, float] | None = None) -> Histogram:
    """Equally wide bins over a span, by default from the smallest value to the largest.

    Every count is exact for the edges given back: each piece of the values is sorted and the edges are looked
    up in it, which numpy does faster than it bins, and without rounding.

    Args:
        values: any shape, at least one value, finite.
        bins: at least 1.
        span: both ends; values beyond them are counted in the outermost bins.
    Raises:
        ValueError: if there is nothing to count, or no bin to count it in.
    """
    must_have(values)
    edges = equal_edges(bins, *(span or span_of(values)))
    counts = np.zeros(bins, np.int64)
    for piece in pieces(values):
        counts += count_sorted(np.sort(piece), edges)
    return Histogram(edges, counts)


def equal_edges(bins: int, low: float, high: float) -> np.ndarray:
    """(bins + 1,) edges of equally wide bins; equal ends are moved apart.

    Raises:
        ValueError: if there is no bin.
    """
    if bins < 1:
        raise ValueError(f"A histogram needs at least one bin, not {bins}.")
    if not low < high:  # equal values: one bar with room on both sides
        room = max(abs(low), 1e-6) / 2
        low, high = low - room, high + room
    return np.linspace(low, high, bins + 1)


def count_sorted(ordered: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(bins,) int64 how many ascending float32 values lie in each bin, by looking up the inner edges."""
    below = np.searchsorted(ordered, at_least(edges[1:-1]))
    return np.diff(below, prepend=0, append=len(ordered))


def ridgeline(weights: Mapping[str, Tensor], bins: int = 80, tail: float = 1e-3) -> dict[str, Histogram]:
    """Histograms of several layers on one symmetric scale.

    The scale is wide enough for all but a `tail` of each layer's weights: one outlier must not squeeze all
    curves. What lies beyond is counted in the outermost bins.

    Args:
        weights: layer -> weight.
        bins: of each.
        tail: share of a layer's weights that may lie beyond the scale.
    """
    limits = [_magnitude_beyond(weight, tail) for weight in weights.values()]
    limit = max([*limits, 1e-12])
    return {name: histogram(weight, bins, (-limit, limit)) for name, weight in weights.items()}


def _magnitude_beyond(values: Tensor, tail: float) -> float:
    """The largest magnitude once a share of the values, the largest, is set aside; exact.

    Only what can still be among those set aside is kept from one piece to the next.
    """
    must_have(values)
    rank = max(round((1 - tail) * values.numel()) - 1, 0)
    wanted = values.numel() - rank  # the one looked for is the smallest of so many, the largest
    largest = np.empty(0, np.float32)
    lowest = np.float32(-1)
    for piece in pieces(values):
        found = np.abs(piece)
        largest = np.concatenate([largest, found[found > lowest]])
        if len(largest) > 2 * wanted:
            largest = np.partition(largest, -wanted)[-wanted:]
            lowest = largest[0]
    return float(np.partition(largest, -wanted)[-wanted])
