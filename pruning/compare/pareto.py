"""Which of several networks are worth having: no other one is both cheaper and better."""

from __future__ import annotations

import math
from collections.abc import Sequence


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The points that no other point beats: the Pareto front.

    One beats another if it costs no more and is worth no less, and differs in one of the two. So points
    that are equal in both stand or fall together.

    Args:
        points: (cost, worth) of each; less cost is better, more worth is better. Points with a NaN are
            neither on the front nor do they beat any.
    Returns:
        Positions in `points`, by rising cost, then as they were given.
    Source: H. T. Kung, F. Luccio and F. P. Preparata 1975, "On finding the maxima of a set of vectors",
        Journal of the ACM 22, for two dimensions: O(n log n).
    """
    whole = [i for i, point in enumerate(points) if not any(math.isnan(value) for value in point)]
    ordered = sorted(whole, key=lambda i: (points[i][0], -points[i][1], i))
    found: list[int] = []
    for i in ordered:
        if not found or points[i][1] > points[found[-1]][1] or points[i] == points[found[-1]]:
            found.append(i)
    return found
