"""Figures of one layer's weights: moments, shares near zero, quantiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from pruning.weights.ordered import SortedScores
from pruning.weights.pieces import pieces

NEAR_ZERO = 1e-3  # of the largest magnitude
PROBABILITIES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)


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
    values: Tensor,
    epsilon: float | None = None,
    probabilities: Sequence[float] = PROBABILITIES,
    *,
    ordered: SortedScores | None = None,
) -> Summary:
    """Figures of one layer's weights.

    Shares and quantiles are exact, by looking them up in a sorted copy; moments are summed in float64.

    Args:
        values: any shape, at least one value, finite.
        epsilon: what to call near zero; None takes NEAR_ZERO times the largest magnitude.
        probabilities: of the quantiles, in [0, 1].
        ordered: the same values, sorted, if that has been done already.
    Raises:
        ValueError: if there are no values, or a probability is not in [0, 1].
    """
    ordered = SortedScores(values) if ordered is None else ordered
    smallest, largest = ordered.quantile(0), ordered.quantile(1)
    if epsilon is None:
        epsilon = NEAR_ZERO * max(abs(smallest), abs(largest))
    mean, variance, fourth = _moments(values) if smallest < largest else (smallest, 0.0, 0.0)
    zeros = ordered.share_nearer(math.ulp(0))
    return Summary(
        count=len(ordered),
        mean=mean,
        std=variance**0.5,
        kurtosis=fourth / variance**2 if variance**2 > 0 else 0.0,
        epsilon=epsilon,
        near_zero=max(zeros, ordered.share_nearer(epsilon)),
        zeros=zeros,
        quantiles={p: ordered.quantile(p) for p in probabilities},
    )


def _moments(values: Tensor) -> tuple[float, float, float]:
    """Mean, second and fourth moment around it."""
    count = values.numel()
    mean = sum(float(piece.sum(dtype=np.float64)) for piece in pieces(values)) / count
    second = fourth = 0.0
    for piece in pieces(values):
        squares = np.subtract(piece, mean, dtype=np.float64)
        squares *= squares
        second += float(squares.sum())
        squares *= squares
        fourth += float(squares.sum())
    return mean, second / count, fourth / count
