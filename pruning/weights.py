"""Summaries of weights and scores that are small enough to draw: histograms, quantiles, norms, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

NEAR_ZERO = 1e-3  # of the largest magnitude
PROBABILITIES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
LOG_TAIL = 0.01  # share of the positive scores that may lie below a logarithmic axis
LOG_DECADES = 12  # which ends at most this far below the largest score
CROWDED = 0.02  # a linear axis is useless if half of the scores lie in this first part of it


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts in bins.

    Args:
        edges: (bins + 1,) ascending, in units of the values.
        counts: (bins,) int64; values beyond the edges are counted in the outermost bins.
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

    Args:
        values: any shape, at least one value, finite.
        bins: at least 1.
        span: both ends; values beyond them are counted in the outermost bins.
    Raises:
        ValueError: if there is nothing to count, or no bin to count it in.
    """
    flat = _flat(values)
    if bins < 1:
        raise ValueError(f"A histogram needs at least one bin, not {bins}.")
    low, high = span or (float(flat.min()), float(flat.max()))
    if not low < high:  # equal values: one bar with room on both sides
        room = max(abs(low), 1e-6) / 2
        low, high = low - room, high + room
    counts = torch.histc(flat.clamp(low, high), bins, low, high)
    return Histogram(np.linspace(low, high, bins + 1), counts.long().numpy())


def ridgeline(weights: Mapping[str, Tensor], bins: int = 80, tail: float = 1e-3) -> dict[str, Histogram]:
    """Histograms of several layers on one symmetric scale.

    The scale is wide enough for all but a `tail` of each layer's weights: one outlier must not squeeze all
    curves. What lies beyond is counted in the outermost bins.

    Args:
        weights: layer -> weight.
        bins: of each.
        tail: share of a layer's weights that may lie beyond the scale.
    """
    limits = [_magnitude_quantile(weight, 1 - tail) for weight in weights.values()]
    limit = max([*limits, 1e-12])
    return {name: histogram(weight, bins, (-limit, limit)) for name, weight in weights.items()}


def _magnitude_quantile(values: Tensor, probability: float) -> float:
    magnitude = _flat(values).abs().numpy()
    rank = max(round(probability * len(magnitude)) - 1, 0)
    return float(np.partition(magnitude, rank)[rank])  # linear time; torch.quantile refuses large tensors


@dataclass(frozen=True)
class Summary:
    """Figures of one layer's weights.

    Args:
        count: number of weights.
        mean: of the weights.
        std: deviation around the mean, divided by the count.
        kurtosis: fourth standardised moment; 3 for a normal distribution, more with heavier tails; 0 if all
            weights are equal.
        epsilon: magnitude below which a weight is called near zero.
        near_zero: share of weights below epsilon, zeros included.
        zeros: share of weights that are exactly zero (sparsity).
        quantiles: probability -> value; 0 and 1 are the smallest and largest weight.
    """

    count: int
    mean: float
    std: float
    kurtosis: float
    epsilon: float
    near_zero: float
    zeros: float
    quantiles: dict[float, float] = field(default_factory=dict)


def summarise(
    values: Tensor, epsilon: float | None = None, probabilities: Sequence[float] = PROBABILITIES
) -> Summary:
    """Figures of one layer's weights.

    Args:
        values: any shape, at least one value, finite.
        epsilon: what to call near zero; None takes NEAR_ZERO times the largest magnitude.
        probabilities: of the quantiles, in [0, 1].
    Raises:
        ValueError: if there are no values.
    """
    flat = _flat(values).numpy().astype(np.float64)
    magnitude = np.abs(flat)
    if epsilon is None:
        epsilon = NEAR_ZERO * float(magnitude.max())
    mean = float(flat.mean())
    squares = (flat - mean) ** 2
    variance = float(squares.mean())
    fourth = float((squares**2).mean())
    ordered = SortedScores(values)
    return Summary(
        count=flat.size,
        mean=mean,
        std=variance**0.5,
        kurtosis=fourth / variance**2 if variance**2 > 0 else 0.0,
        epsilon=epsilon,
        near_zero=float(((magnitude < epsilon) | (flat == 0)).mean()),
        zeros=float((flat == 0).mean()),
        quantiles={p: ordered.quantile(p) for p in probabilities},
    )


class SortedScores:
    """Scores (or magnitudes) of one layer or group, sorted once, so that any ratio's threshold is a look-up.

    Args:
        scores: any shape, at least one value, finite; higher = keep.
    Raises:
        ValueError: if there are no values.
    """

    def __init__(self, scores: Tensor) -> None:
        self.ordered = np.sort(_flat(scores).numpy())  # many times faster than torch's sort

    def __len__(self) -> int:
        return len(self.ordered)

    def threshold(self, removed: int) -> float:
        """The score between the last that goes and the first that stays, when the lowest `removed` go.

        The smallest score if nothing goes, the largest if everything does.

        Raises:
            ValueError: if more would go than there are.
        """
        if not 0 <= removed <= len(self):
            raise ValueError(f"From {len(self)} scores none, some or all can be removed, not {removed}.")
        first_kept = float(self.ordered[min(removed, len(self) - 1)])
        last_removed = float(self.ordered[max(removed - 1, 0)])
        return last_removed + (first_kept - last_removed) / 2

    def threshold_at(self, ratio: float) -> float:
        """`threshold` of a ratio in [0, 1], rounded to whole scores."""
        return self.threshold(round(ratio * len(self)))

    def share_below(self, value: float) -> float:
        """The share of scores below a value."""
        return int(np.searchsorted(self.ordered, np.float32(value))) / len(self)

    def quantile(self, probability: float) -> float:
        """The score that a share of the scores does not exceed, with straight lines between neighbours.

        Raises:
            ValueError: if the probability is not in [0, 1].
        """
        if not 0 <= probability <= 1:
            raise ValueError(f"A probability lies between 0 and 1; {probability} does not.")
        place = probability * (len(self) - 1)
        low = int(place)
        before, after = (float(self.ordered[min(i, len(self) - 1)]) for i in (low, low + 1))
        return before + (place - low) * (after - before)

    def compact(self, bins: int = 28, scale: Literal["auto", "linear", "log"] = "auto") -> Histogram:
        """A histogram for a small drawing; `Histogram.position(threshold)` places the moving line on it.

        Args:
            bins: at least 1.
            scale: "auto" takes "log" where a linear axis would crowd half of all scores into its first
                CROWDED part. On "log", zeros and the lowest LOG_TAIL of the scores are counted in the first
                bin.
        """
        if scale == "linear" or (scale == "auto" and not self._crowded()):
            return histogram(torch.from_numpy(self.ordered), bins)
        largest = float(self.ordered[-1])
        zeros = min(int(np.searchsorted(self.ordered, np.float32(0), "right")), len(self) - 1)
        low = float(self.ordered[zeros + int(LOG_TAIL * (len(self) - 1 - zeros))])
        low = max(low, largest * 10.0**-LOG_DECADES)
        if not 0 < low < largest:  # fewer than two different positive scores
            return histogram(torch.from_numpy(self.ordered), bins)
        edges = np.geomspace(low, largest, bins + 1)
        below = np.searchsorted(self.ordered, edges[1:-1].astype(np.float32))
        counts = np.diff(below, prepend=0, append=len(self))
        return Histogram(edges, counts, log=True)

    def _crowded(self) -> bool:
        """Whether a linear axis would show half of the scores as one bar at its left end."""
        smallest, largest = float(self.ordered[0]), float(self.ordered[-1])
        return smallest >= 0 and self.quantile(0.5) - smallest < CROWDED * (largest - smallest)


def _flat(values: Tensor) -> Tensor:
    flat = values.detach().flatten().float()
    if not flat.numel():
        raise ValueError("There are no values to summarise.")
    return flat


@dataclass(frozen=True, eq=False)
class ChannelNorms:
    """Norms of the slices of a weight, largest first.

    Args:
        norms: (channels,) descending, float32.
        channels: (channels,) which channel each belongs to, int64.
    """

    norms: np.ndarray
    channels: np.ndarray


def channel_norms(weight: Tensor, dim: int = 0, order: float = 2.0) -> ChannelNorms:
    """Norms of the slices of a weight along one dimension, sorted.

    Args:
        weight: at least one dimension.
        dim: 0 gives one norm for each output of a linear layer or convolution, 1 one for each input.
        order: 2 for the root of the sum of squares, 1 for the sum of absolute values.
    """
    slices = (
        weight.detach().float().movedim(dim, 0).flatten(1) if weight.dim() > 1 else weight.detach()[:, None]
    )
    norms, channels = slices.norm(p=order, dim=1).sort(descending=True, stable=True)
    return ChannelNorms(norms.numpy(), channels.numpy())


@dataclass(frozen=True, eq=False)
class Kernels:
    """Kernels of a convolution as pictures.

    Args:
        images: (n, height, width) float32.
        places: (n, 2) output and input channel (within its group) of each.
        total: kernels that the convolution has; more than n if there were too many to draw.
    """

    images: np.ndarray
    places: np.ndarray
    total: int


def kernels(weight: Tensor, outputs: Sequence[int] | None = None, limit: int = 64) -> Kernels:
    """The kernels of a convolution, output after output, as far as the limit allows.

    Args:
        weight: (out, in / groups, width) or (out, in / groups, height, width).
        outputs: output channels to take; all if None.
        limit: kernels at most.
    Raises:
        ValueError: if the weight is not that of a 1-d or 2-d convolution.
    """
    if weight.dim() not in (3, 4):
        raise ValueError("Only 1-d and 2-d convolutions have kernels to draw; show this weight as a matrix.")
    total = weight.shape[0] * weight.shape[1]
    inputs = weight.shape[1]
    chosen = range(weight.shape[0]) if outputs is None else outputs
    places = [(o, i) for o in list(chosen)[: -(-limit // inputs)] for i in range(inputs)][:limit]
    index = torch.tensor(places, dtype=torch.long).reshape(-1, 2)
    images = weight.detach().float()[index[:, 0], index[:, 1]]
    images = images.unsqueeze(1) if weight.dim() == 3 else images
    return Kernels(images.numpy(), index.numpy(), total)


def matrix(weight: Tensor, limit: int = 256) -> np.ndarray:
    """A weight as a matrix (outputs, everything else), made small enough for a heat map.

    Where several weights share a cell, it shows the one with the largest magnitude, with its sign.

    Args:
        weight: any shape.
        limit: rows and columns at most.
    Returns:
        (rows, columns) float32.
    """
    full = weight.detach().float().reshape(weight.shape[0] if weight.dim() > 1 else 1, -1)
    cell = [-(-side // limit) for side in full.shape]
    if cell == [1, 1]:
        return full.numpy().copy()
    # Max pooling of w and of -w; ceil_mode keeps the last, smaller cells.
    stacked = torch.stack([full, -full]).unsqueeze(1)
    highest, lowest = F.max_pool2d(stacked, cell, ceil_mode=True).squeeze(1)
    return torch.where(highest >= lowest, highest, -lowest).numpy()


def batch_norm_scales(module: nn.Module) -> dict[str, np.ndarray]:
    """The scales (gamma) of every BatchNorm that has them: module path -> (channels,) float32."""
    return {
        name: child.weight.detach().float().numpy().copy()
        for name, child in module.named_modules()
        if isinstance(child, nn.modules.batchnorm._BatchNorm) and child.weight is not None
    }
