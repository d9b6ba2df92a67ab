"""One union-find over every index of every dimension of every tensor: equal labels live together."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.int64]  # one label per index of a dimension

FIXED = 0  # the label of everything that can never be removed


def fixed(size: int) -> Vector:
    """(size,) labels of entries that are no channels: positions, samples, dimensions of size 1."""
    return np.zeros(size, np.int64)


class Labels:
    """Labels, united step by step; a set that holds label 0 is fixed, and each label remembers why."""

    def __init__(self) -> None:
        self._parent = np.zeros(4096, np.int64)
        self._reason = np.zeros(4096, np.int64)
        self._used = 1
        self._reasons = [""]
        self._codes = {"": 0}

    @property
    def count(self) -> int:
        """Labels given out so far, the fixed one included."""
        return self._used

    def fresh(self, size: int) -> Vector:
        """(size,) new labels; a dimension of size 1 cannot vanish and gets the fixed label."""
        if size <= 1:
            return fixed(size)
        start, self._used = self._used, self._used + size
        while self._used > len(self._parent):
            self._parent = np.concatenate([self._parent, np.zeros_like(self._parent)])
            self._reason = np.concatenate([self._reason, np.zeros_like(self._reason)])
        labels = np.arange(start, self._used)
        self._parent[labels] = labels
        return labels

    def find(self, labels: Vector) -> Vector:
        """The root of each label, same shape; equal roots live together, root 0 is fixed."""
        roots = self._parent[labels]
        while True:
            above = self._parent[roots]
            if (above == roots).all():
                return roots
            roots = above

    def is_fixed(self, labels: Vector) -> NDArray[np.bool_]:
        """Which labels are fixed, same shape."""
        return self.find(labels) == FIXED

    def all_fixed(self, labels: Vector) -> bool:
        """Whether no entry can be removed."""
        return bool(self.is_fixed(labels).all())

    def fix(self, labels: Vector, reason: str) -> None:
        """Fix the labels and all that lives with them; the first reason stays."""
        self._fix(labels, self._code(reason))

    def union(self, left: Vector, right: Vector, reason: str) -> None:
        """Let left and right live together, entry by entry after broadcasting.

        Where one side is fixed the other becomes fixed too, for the same reason, or for `reason` if the
        fixed side has none.
        """
        left, right = (side.ravel() for side in np.broadcast_arrays(left, right))
        left_fixed, right_fixed = self.is_fixed(left), self.is_fixed(right)
        code = self._code(reason)
        for free, held, where in (
            (left, right, right_fixed & ~left_fixed),
            (right, left, left_fixed & ~right_fixed),
        ):
            if where.any():
                known = self._reasons_of(held[where])
                why = np.where(known != 0, known, code)
                for one in np.unique(why):
                    self._fix(free[where][why == one], int(one))
        self._link(left, right)

    def reason(self, label: int) -> str:
        """Why a label is fixed; empty for what is no channel at all."""
        return next(iter(self.reasons(np.array([label]))), "")

    def reasons(self, labels: Vector) -> Counter[str]:
        """Why labels are fixed, and how many for each reason; those without one are left out."""
        codes, counts = np.unique(self._reasons_of(labels[self.is_fixed(labels)]), return_counts=True)
        found = zip(codes.tolist(), counts.tolist(), strict=True)
        return Counter({self._reasons[code]: count for code, count in found if code})

    def compress(self) -> None:
        """Point every label that may go at its root, so that looking up is one step."""
        roots = self.find(np.arange(self._used))
        self._parent[: self._used] = np.where(roots == FIXED, self._parent[: self._used], roots)

    def _link(self, left: Vector, right: Vector) -> None:
        while True:
            a, b = self.find(left), self.find(right)
            differ = a != b
            if not differ.any():
                return
            low, high = np.minimum(a[differ], b[differ]), np.maximum(a[differ], b[differ])
            # One root may appear in several pairs: it takes the lowest, and the loop settles the rest.
            np.minimum.at(self._parent, high, low)

    def _fix(self, labels: Vector, code: int) -> None:
        roots = self.find(labels)
        roots = roots[roots != FIXED]
        self._reason[roots] = code  # of all that lives with them: see `_reasons_of`
        self._parent[roots] = FIXED

    def _reasons_of(self, labels: Vector) -> Vector:
        """The codes of the reasons of fixed labels: those of the roots that they had when they were fixed."""
        while True:
            above = self._parent[labels]
            if (above == FIXED).all():
                return self._reason[labels]
            labels = np.where(above == FIXED, labels, above)

    def _code(self, reason: str) -> int:
        if reason not in self._codes:
            self._codes[reason] = len(self._reasons)
            self._reasons.append(reason)
        return self._codes[reason]
