"""k-means of numbers at its optimum: dynamic programming over the rising values.

In one dimension clusters are runs of neighbours. Let D(c, j) be the least error of the first j values in c
runs: D(c, j) = min over i of D(c - 1, i) + error of values i..j-1. The best i never falls as j rises, so it
is found for the middle j first, then for the halves with what is left between: m log m errors for each c.
All middles of one depth are computed together.

Source: Grønlund, Larsen, Mathiasen, Nielsen, Schneider and Song 2017, arXiv:1701.07204, section 2.
"""

from __future__ import annotations

import numpy as np

from pruning.clustering.spread import Spread

MOST = 8192  # values; more are merged: 256 clusters of so many take about a second


def optimum(spread: Spread, k: int) -> np.ndarray:
    """The centroids with the least sum of squared errors.

    Args:
        spread: the numbers; of more than MOST different ones neighbours are merged, and the result is the
            optimum of what they are merged to.
        k: clusters, at most as many as there are different numbers.
    Returns:
        (k,) rising.
    """
    few = spread.merged(max(MOST, k))
    size = len(few)
    ends = np.arange(size + 1)
    least = few.errors(np.zeros_like(ends), ends)
    cuts = []
    for _ in range(k - 1):
        least, cut = _one_more(few, least)
        cuts.append(cut)
    edges = [size]
    for cut in reversed(cuts):
        edges.append(int(cut[edges[-1]]))
    edges.append(0)
    found = few.centres(np.array(edges[::-1]))
    return found[~np.isnan(found)]


def _one_more(spread: Spread, before: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least errors with one cluster more, and where it begins, for each number of values."""
    size = len(spread)
    least, cut = np.empty(size + 1), np.zeros(size + 1, dtype=np.int64)
    step = 1 << size.bit_length()  # more than size: the first round has one middle, 0
    middles = np.array([0])
    while True:
        low = np.where(middles >= step, cut[np.maximum(middles - step, 0)], 0)
        high = np.where(middles + step <= size, cut[np.minimum(middles + step, size)], middles)
        least[middles], cut[middles] = _smallest(spread, before, middles, low, np.minimum(high, middles))
        if step == 1:
            return least, cut
        step //= 2
        middles = np.arange(step, size + 1, 2 * step)


def _smallest(
    spread: Spread, before: np.ndarray, ends: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each end the least sum over all beginnings low..high, and the first beginning that has it."""
    lengths = high - low + 1
    starts = np.cumsum(lengths) - lengths
    begin = np.arange(lengths.sum()) - np.repeat(starts - low, lengths)
    sums = before[begin] + spread.errors(begin, np.repeat(ends, lengths))
    least = np.minimum.reduceat(sums, starts) if len(starts) else np.empty(0)
    equal = np.flatnonzero(sums == np.repeat(least, lengths))
    first = equal[np.searchsorted(equal, starts)]
    return least, begin[first]
