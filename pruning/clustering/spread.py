"""Numbers in order, summed up so that the centre and the error of any run of them cost nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Spread:
    """Different numbers, rising, and how often each is there.

    Args:
        values: (m,) float64.
        counts: (m,) float64.
    """

    values: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, numbers: np.ndarray) -> Spread:
        """From numbers in any order."""
        values, counts = np.unique(numbers, return_counts=True)
        return cls(values.astype(np.float64), counts.astype(np.float64))

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def middle(self) -> float:
        """Mean of all numbers; squares are taken around it, because those of large ones would be rounded."""
        return float(self.values @ self.counts / self.counts.sum())

    @cached_property
    def weight(self) -> np.ndarray:
        """(m + 1,) how many numbers come before."""
        return _before(self.counts)

    @cached_property
    def first(self) -> np.ndarray:
        """(m + 1,) sum of the numbers before, from the middle."""
        return _before(self.counts * (self.values - self.middle))

    @cached_property
    def second(self) -> np.ndarray:
        """(m + 1,) sum of their squares, from the middle."""
        return _before(self.counts * (self.values - self.middle) ** 2)

    def centres(self, edges: np.ndarray) -> np.ndarray:
        """(k,) mean of each run of values between neighbouring edges (k + 1,); NaN of an empty one."""
        with np.errstate(invalid="ignore"):
            return self.middle + np.diff(self.first[edges]) / np.diff(self.weight[edges])

    def errors(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Sum of squared distances to their mean of values start..end-1, element by element; 0 of none."""
        weight = self.weight[end] - self.weight[start]
        moment = self.first[end] - self.first[start]
        error = self.second[end] - self.second[start] - moment**2 / np.maximum(weight, 1.0)
        return np.maximum(error, 0.0)

    def merged(self, most: int) -> Spread:
        """At most so many values: means of short runs, half of them of equally many, half equally wide, so
        that neither the middle nor the tails get coarse."""
        if len(self) <= most:
            return self
        places = np.linspace(0, len(self), most // 2 + 1).round().astype(np.int64)
        widths = np.linspace(self.values[0], self.values[-1], most // 2 + 1)[1:-1]
        edges = np.unique(np.concatenate([places, np.searchsorted(self.values, widths)]))
        return Spread(self.centres(edges), np.diff(self.weight[edges]))


def _before(numbers: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(numbers)])
