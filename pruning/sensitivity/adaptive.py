"""How many images each point of a scan needs: statistics and decisions only, no network is run here.

The accuracy that all N images would give is estimated from the first n of them in a random order. The dense
network's answers are known on all N, so only the changes are estimated: images that it gets right and the
pruned network does not (lost), and the reverse (gained). Few images change, so few have to be measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Literal

import torch
from torch import Tensor

from pruning.sensitivity.sampling import change, looks, shuffled, strata

Interval = tuple[float, float]
How = Literal["measured", "partly", "between", "beyond"]
RELATIVE = 0.1  # of the loss: the precision where that is coarser than the one asked for
STRAY = 3  # images: nothing is inferred between neighbours where the precision is finer than these


@dataclass(frozen=True)
class Precise:
    """How precisely a scan is to know each accuracy.

    Args:
        points: half width of each interval, in percentage points of accuracy.
        confidence: of each interval, in (0, 1).
        strict: keep to `points` everywhere. Otherwise a tenth of the loss is enough where more than ten times
            `points` is lost, and nothing is measured beyond a collapse.
    Raises:
        ValueError: if a number lies outside.
    """

    points: float = 1.0
    confidence: float = 0.95
    strict: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.points <= 50:
            raise ValueError(f"A precision of {self.points:g} points makes no sense; choose from 0.1 to 50.")
        if not 0.5 <= self.confidence < 1:
            raise ValueError(f"A confidence of {self.confidence:g} makes no sense; choose from 0.5 to 0.999.")

    @property
    def z(self) -> float:
        """Standard errors of an interval; see `Adaptive` on the half of the error that is kept back."""
        return NormalDist().inv_cdf(1 - (1 - self.confidence) / 4)


@dataclass(frozen=True)
class Estimate:
    """What is known of one point.

    Args:
        accuracy: on all N images; an estimate unless n is N.
        interval: contains the accuracy on all N images at the confidence asked for; (a, a) if n is N.
        n: images measured.
        changed: how many of them changed, by stratum, for `Adaptive.restore`; empty unless partly measured.
        how: "measured" on all images, "partly" measured on n, or not measured but inferred: "between" two
            levels that are nearly the same, "beyond" a level at which the accuracy collapsed.
        settled: whether this is precise enough; no more images will be asked for.
        neighbours: the two levels that an inferred one lies between.
    """

    accuracy: float
    interval: Interval
    n: int
    changed: tuple[int, ...]
    how: How
    settled: bool
    neighbours: Interval | None = None


@dataclass(frozen=True)
class Round:
    """What to measure next: `levels` of each key on images `order[first:last]`."""

    first: int
    last: int
    levels: Mapping[str, tuple[float, ...]]


@dataclass
class _Point:
    n: int
    changed: list[int]
    estimate: Estimate


@dataclass
class Adaptive:
    """Which points of a scan are to be measured on how many images, and what is known of each.

    Each point stops at the first look at which its interval is narrow enough. That the width decides, and
    not where the interval lies, is what keeps the confidence under repeated looking: Chow and Robbins 1965,
    Annals of Mathematical Statistics 36, 457. Their theorem is about many images; for few, and because where
    much is lost the width that is enough depends on the loss, half of the error allowed is kept back: at
    95 %, each look's interval is one of 97.5 %. The tests simulate whole scans and count how often it holds.

    Measured per key are the largest level, then the middle of what is left, and so on; dense is level 0. The
    levels between two neighbours are inferred once the intervals of both together are not wider than one
    alone may be: this assumes that between them the accuracy is not far outside of theirs. Beyond a level at
    which certainly more than half of what is above chance is lost, accuracy is said to lie below that half.

    Args:
        levels: key -> what to know, such as ratios, each > 0, in any order.
        right: (N,), bool: which images the dense network predicts right.
        margin: (N,), highest output less the second highest of the dense network; NaN counts as undecided.
        classes: of the task; chance is 1 / classes.
        precise: what is asked for.
        seed: of the order of images.
    """

    levels: Mapping[str, Sequence[float]]
    right: Tensor
    margin: Tensor
    classes: int
    precise: Precise = field(default_factory=Precise)
    seed: int = 0

    def __post_init__(self) -> None:
        self.total = len(self.right)
        self.looks = looks(self.total)
        self._strata = strata(self.right, self.margin)
        self.order = shuffled(self._strata, self.seed)
        self._sizes = torch.bincount(self._strata, minlength=3).tolist()
        placed = self._strata[self.order]
        self._seen = {n: torch.bincount(placed[:n], minlength=3).tolist() for n in (0, *self.looks)}
        self._placed, self._right = placed, self.right[self.order]
        self._dense = int(self.right.sum()) / self.total
        self._points: dict[tuple[str, float], _Point] = {}
        self._grids = {key: sorted(set(map(float, values))) for key, values in self.levels.items()}
        for key, grid in self._grids.items():
            for largest in grid[-1:]:
                self._open(key, largest)

    @property
    def half(self) -> float:
        """Half way between the dense network's accuracy and chance; certainly below it is a collapse."""
        return (self._dense + min(1 / self.classes, self._dense)) / 2

    def next(self) -> Round | None:
        """What to measure next: all points that were measured furthest go on together; None if all is known.

        Call `update` for each level of each key in the round, then ask again.
        """
        open_ = [(key, level) for (key, level), point in self._points.items() if not point.estimate.settled]
        if not open_:
            return None
        first = max(self._points[place].n for place in open_)
        levels: dict[str, tuple[float, ...]] = dict.fromkeys(self._grids, ())
        for key, level in open_:
            if self._points[key, level].n == first:
                levels[key] += (level,)
        last = next(n for n in self.looks if n > first)
        return Round(first, last, {key: found for key, found in levels.items() if found})

    def update(self, key: str, level: float, right: Tensor) -> Estimate:
        """Take in what was measured on the next images of a point.

        Args:
            right: (last - first,), bool: which of the round's images the pruned network predicts right.
        Raises:
            ValueError: if these are not as many images as the next look has, or the point is not open.
        """
        point = self._points.get((key, level))
        last = next((n for n in self.looks if point is not None and n > point.n), 0)
        if point is None or point.estimate.settled or len(right) != last - point.n:
            raise ValueError(f"{len(right)} images of {key[:80]!r}, {level:g} are not what was asked for.")
        images = slice(point.n, last)
        changed = self._placed[images][self._right[images] != right]
        counts = torch.bincount(changed, minlength=3).tolist()
        return self.restore(key, level, last, [a + b for a, b in zip(point.changed, counts, strict=True)])

    def restore(self, key: str, level: float, n: int, changed: Sequence[int]) -> Estimate:
        """Take over a point that was measured before, as an `Estimate` tells it.

        Raises:
            ValueError: if it does not belong to this scan.
        """
        seen = self._seen.get(n, [])
        if level not in self._grids.get(key, ()) or len(seen) != len(changed):
            raise ValueError(f"A point {key[:80]!r}, {level:g} on {n:,} images is not of this scan.")
        if not all(0 <= count <= most for count, most in zip(changed, seen, strict=True)):
            raise ValueError(f"A point {key[:80]!r}, {level:g} has more changes than images.")
        self._points[key, level] = _Point(n, list(changed), self._estimate(n, changed))
        self._refine(key)
        return self._points[key, level].estimate

    def exact(self, key: str, level: float, accuracy: float) -> Estimate:
        """Take over a point that was measured on all images before.

        Raises:
            ValueError: if it does not belong to this scan.
        """
        if level not in self._grids.get(key, ()):
            raise ValueError(f"A point {key[:80]!r}, {level:g} is not of this scan.")
        found = _exact(accuracy, self.total)
        self._points[key, level] = _Point(self.total, [], found)
        self._refine(key)
        return found

    def estimate(self, key: str, level: float) -> Estimate | None:
        """What is known of a point; None before it was measured or inferred."""
        point = self._points.get((key, level))
        if point is not None:
            return point.estimate if point.n else None
        return self._inferred(key, level)

    def _estimate(self, n: int, changed: Sequence[int]) -> Estimate:
        lost, gained = changed[0] + changed[1], changed[2]
        if n == self.total:
            return _exact((int(self.right.sum()) - lost + gained) / n, n)
        value, low, high = change(changed, self._seen[n], self._sizes, self.precise.z)
        low, high = max(0.0, self._dense + low), min(1.0, self._dense + high)
        value = min(max(self._dense + value, low), high)
        settled = high - low <= 2 * self._tolerance(high) + 1e-12
        return Estimate(value, (low, high), n, tuple(changed), "partly", settled)

    def _tolerance(self, high: float) -> float:
        """The half width that is enough where the accuracy is at most `high`."""
        asked = self.precise.points / 100
        return asked if self.precise.strict else max(asked, RELATIVE * (self._dense - high))

    def _refine(self, key: str) -> None:
        """Open the middle of each gap that cannot be inferred."""
        for gap in self._gaps(key):
            if gap.settled and self._span(gap) is None:
                self._open(key, gap.inside[len(gap.inside) // 2])

    def _open(self, key: str, level: float) -> None:
        nothing = (0,) * len(self._sizes)
        self._points[key, level] = _Point(0, list(nothing), self._estimate(0, nothing))

    def _gaps(self, key: str) -> Iterator[_Gap]:
        """What lies between two neighbours that are measured or being measured."""
        left, inside = (0.0, _exact(self._dense, self.total)), list[float]()
        for level in self._grids[key]:
            if (key, level) not in self._points:
                inside.append(level)
                continue
            right = level, self._points[key, level].estimate
            if inside:
                yield _Gap(*left, *right, tuple(inside))
            left, inside = right, []

    def _span(self, gap: _Gap) -> tuple[Interval, How] | None:
        """The interval of all levels in a gap, and why; None if they have to be measured."""
        if not self.precise.strict and gap.before.interval[1] < self.half:
            return (0.0, self.half), "beyond"
        low = min(gap.before.interval[0], gap.after.interval[0])
        high = max(gap.before.interval[1], gap.after.interval[1])
        middle, enough = (low + high) / 2, self._tolerance(high)
        if high - low > 2 * enough or enough * self.total < STRAY:
            return None
        return (max(0.0, middle - enough), min(1.0, middle + enough)), "between"

    def _inferred(self, key: str, level: float) -> Estimate | None:
        gap = next((gap for gap in self._gaps(key) if level in gap.inside), None)
        span = self._span(gap) if gap is not None and gap.settled else None
        if gap is None or span is None:
            return None
        (low, high), how = span
        share = (level - gap.left) / (gap.right - gap.left)
        line = gap.before.accuracy + share * (gap.after.accuracy - gap.before.accuracy)
        value = min(max(line, low), high)
        return Estimate(value, (low, high), 0, (), how, True, (gap.left, gap.right))


def _exact(accuracy: float, n: int) -> Estimate:
    return Estimate(accuracy, (accuracy, accuracy), n, (), "measured", True)


@dataclass(frozen=True)
class _Gap:
    """Levels that nobody measures yet, and the neighbours on both sides."""

    left: float
    before: Estimate
    right: float
    after: Estimate
    inside: tuple[float, ...]

    @property
    def settled(self) -> bool:
        return self.before.settled and self.after.settled
