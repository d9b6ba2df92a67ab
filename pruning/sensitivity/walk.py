"""A scan under way, point by point."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from pruning.evaluate import NO_CLASS, predicted, wilson
from pruning.sensitivity.adaptive import Adaptive, Precise
from pruning.sensitivity.answers import Answers, Wanted, Way, run_whole
from pruning.sensitivity.result import Measured, Scan, ScanPoint
from pruning.sensitivity.targets import Target

if TYPE_CHECKING:
    from pruning.groups import Structure

SECTIONS = 8  # where the images do not fit into one pass, keys finish in this many sections
Place = tuple[str, int]  # a key, and how much of it stays


@dataclass
class Outcome:
    """What one version answered on images, in their order.

    Args:
        right: (n,), bool: which images it predicts right.
        loss: sum of the cross-entropies in nats.
        invalid: images whose outputs contain NaN; they count as wrong.
    """

    right: Tensor
    loss: float
    invalid: int

    @classmethod
    def of(cls, outputs: Tensor, y: Tensor) -> Outcome:
        """From outputs (n, classes) and true classes (n,)."""
        outputs = outputs.cpu()
        loss = functional.cross_entropy(outputs.double(), y, reduction="sum").item()
        found = predicted(outputs)
        return cls(found == y, loss, int((found == NO_CLASS).sum()))

    def __add__(self, other: Outcome) -> Outcome:
        right = torch.cat([self.right, other.right])
        return Outcome(right, self.loss + other.loss, self.invalid + other.invalid)

    @property
    def measured(self) -> Measured:
        """As the scan writes it, if these are all images."""
        n, hits = len(self.right), int(self.right.sum())
        loss = self.loss / n if math.isfinite(self.loss) else None
        return Measured(accuracy=hits / n, interval=wilson(hits, n), loss=loss, invalid=self.invalid)


@dataclass
class Walk:
    """A scan under way: iterate to measure, `scan()` for what was measured so far.

    An exact scan measures key after key in the network's order. An adaptive one measures all of them on ever
    more images, and yields a point each time that more is known of it. Iterating again goes on where it was
    left.

    Args:
        module: the whole network; never changed.
        targets: what is pruned, one at a time.
        x: (n, ...) all images, on the network's device.
        y: (n,) their classes, on the CPU.
        about: what the scan will say of itself.
        stop: ends the walk early when set.
        points: known before; those that are not of this scan are dropped.
        structure: of the network; None where only blocks are pruned.
        inputs: example inputs of its forward.
        precise: as for `iter_scan`.
    """

    module: nn.Module
    targets: Sequence[Target]
    x: Tensor
    y: Tensor
    about: dict
    stop: threading.Event
    points: list[ScanPoint] = field(default_factory=list)
    structure: Structure | None = None
    inputs: Sequence[Tensor] = ()
    precise: Precise | None = None

    def __post_init__(self) -> None:
        self.images = 0  # evaluated so far, the whole network's apart
        before, self.points = self.points, []
        for point in before:
            exact = self.precise is not None or point.sample is None
            if exact and self._sizes.get(point.key) == point.size and point.how not in ("between", "beyond"):
                self._put(point)

    @property
    def total(self) -> int:
        """Points of the finished scan."""
        return len(self.targets) * len(self.about["ratios"])

    @property
    def settled(self) -> int:
        """Points that are known as precisely as asked for."""
        return sum(point.settled for point in self.points)

    @property
    def images_exact(self) -> int:
        """Images that an exact scan evaluates."""
        places = {(t.key, t.kept(ratio)) for t in self.targets for ratio in self.about["ratios"]}
        return self.about["n"] * sum(kept < self._sizes[key] for key, kept in places)

    @property
    def way(self) -> Way:
        """How versions are run."""
        return self._answers.way

    @property
    def why(self) -> str:
        """Why versions are not run from their first changed operation on; empty if they are."""
        return self._answers.why

    @property
    def dense(self) -> Measured:
        """The network as it is; measured at first use."""
        return self._whole[0].measured

    def scan(self) -> Scan:
        """What was measured so far."""
        why = self.why if "_answers" in self.__dict__ else ""  # asked for nothing yet
        return Scan(
            **self.about, precise=self.precise, dense=self.dense, points=tuple(self.points), slower=why
        )

    def __iter__(self) -> Iterator[ScanPoint]:
        known = {(point.key, point.ratio) for point in self.points}
        for target in self.targets:
            for ratio in self.about["ratios"]:
                if target.kept(ratio) == target.size and (target.key, ratio) not in known:
                    yield self._put(self._point(target, ratio, self.dense))
        yield from self._exact() if self.precise is None else self._adaptive(self.precise)

    def _exact(self) -> Iterator[ScanPoint]:
        known = {(point.key, point.ratio) for point in self.points}
        wanted = [
            (target, sorted({target.kept(r) for r in self.about["ratios"] if (target.key, r) not in known}))
            for target in self.targets
        ]
        wanted = [(target, counts) for target, counts in wanted if counts]
        size = len(wanted) if len(self.y) <= self._answers.images else -(-len(wanted) // SECTIONS)
        for begin in range(0, len(wanted), max(1, size)):
            for target, kept, outcome in self._outcomes(None, wanted[begin : begin + size]):
                for ratio in self._ratios(target, kept):
                    yield self._put(self._point(target, ratio, outcome.measured))

    def _adaptive(self, precise: Precise) -> Iterator[ScanPoint]:
        levels = {t.key: [r[0] for r in self._levels(t).values()] for t in self.targets}
        adaptive = Adaptive(
            {key: found for key, found in levels.items() if found},
            *(self._whole[0].right, self._whole[1]),
            classes=self.about["classes"],
            precise=precise,
            seed=self.about["seed"],
        )
        self._restore(adaptive)
        sums: dict[Place, Outcome] = {}
        targets = {target.key: target for target in self.targets}
        yield from self._news(adaptive, sums)
        while (step := adaptive.next()) and not self.stop.is_set():
            images = adaptive.order[step.first : step.last]
            wanted = [
                (targets[key], [targets[key].kept(level) for level in found])
                for key, found in step.levels.items()
            ]
            for target, kept, outcome in self._outcomes(images, wanted):
                place = target.key, kept
                sums[place] = sums[place] + outcome if place in sums else outcome
                adaptive.update(target.key, self._levels(target)[kept][0], outcome.right)
                yield from self._news(adaptive, sums, [target])
            yield from self._news(adaptive, sums)

    def _outcomes(self, images: Tensor | None, wanted: Wanted) -> Iterator[tuple[Target, int, Outcome]]:
        """What versions answer on some images (None = all); nothing more once the walk was stopped."""
        x, y = (self.x, self.y) if images is None else (self.x[images], self.y[images])
        sums: dict[Place, Outcome] = {}
        pieces = list(zip(x.split(self._answers.images), y.split(self._answers.images), strict=True))
        for number, (part, truth) in enumerate(pieces):
            for target, kept, outputs in self._answers.of(part, wanted, self.stop.is_set):
                if self.stop.is_set():
                    return
                self.images += len(part)
                place, found = (target.key, kept), Outcome.of(outputs, truth)
                sums[place] = sums[place] + found if place in sums else found
                if number == len(pieces) - 1:
                    yield target, kept, sums.pop(place)
            if self.stop.is_set():
                return

    def _news(
        self, adaptive: Adaptive, sums: dict[Place, Outcome], of: Sequence[Target] | None = None
    ) -> Iterator[ScanPoint]:
        """Points of which something is known, if it is new."""
        before = {(point.key, point.ratio): point for point in self.points}
        for target in of or self.targets:
            for kept, ratios in self._levels(target).items():
                found, outcome = adaptive.estimate(target.key, ratios[0]), sums.get((target.key, kept))
                if found is None:
                    continue
                whole = found.how == "measured" and outcome is not None and len(outcome.right) == len(self.y)
                for ratio in ratios:
                    point = ScanPoint.estimated(
                        found,
                        key=target.key,
                        ratio=ratio,
                        kept=kept,
                        size=target.size,
                        total=len(self.y),
                        loss=outcome.measured.loss if whole and outcome else None,
                        invalid=outcome.invalid if outcome else 0,
                    )
                    old = before.get((target.key, ratio))
                    if old is None or (old.sample, old.accuracy) != (point.sample, point.accuracy):
                        yield self._put(point)

    def _restore(self, adaptive: Adaptive) -> None:
        """Go on from points that are known; what does not belong to this scan is measured again."""
        for point in self.points[:]:
            if point.kept == point.size:
                continue
            level = self._levels(next(t for t in self.targets if t.key == point.key)).get(point.kept)
            try:
                if level is None:
                    raise ValueError
                if point.sample is None:
                    adaptive.exact(point.key, level[0], point.accuracy)
                else:
                    adaptive.restore(point.key, level[0], point.sample.n, point.sample.changed)
            except ValueError:
                self.points.remove(point)

    @cached_property
    def _answers(self) -> Answers:
        return Answers(self.module, self.structure, self.inputs, self.x, self.targets)

    @cached_property
    def _whole(self) -> tuple[Outcome, Tensor]:
        """What the network itself answers, and (n,) its highest output less the second highest."""
        with torch.inference_mode():
            outputs = run_whole(self.module, self.x).cpu()
        best = outputs.topk(min(2, outputs.shape[1]), dim=1).values
        return Outcome.of(outputs, self.y), best[:, 0] - best[:, -1]

    @cached_property
    def _sizes(self) -> dict[str, int]:
        return {target.key: target.size for target in self.targets}

    def _levels(self, target: Target) -> dict[int, list[float]]:
        """How much stays -> the ratios that leave as much, for all that remove something."""
        found: dict[int, list[float]] = {}
        for ratio in self.about["ratios"]:
            if target.kept(ratio) < target.size:
                found.setdefault(target.kept(ratio), []).append(ratio)
        return found

    def _ratios(self, target: Target, kept: int) -> list[float]:
        known = {point.ratio for point in self.points if point.key == target.key}
        return [ratio for ratio in self._levels(target).get(kept, []) if ratio not in known]

    def _point(self, target: Target, ratio: float, found: Measured) -> ScanPoint:
        return ScanPoint(
            **dict(found), key=target.key, ratio=ratio, kept=target.kept(ratio), size=target.size
        )

    def _put(self, point: ScanPoint) -> ScanPoint:
        """Keep a point, in place of what was known of it before."""
        for number, old in enumerate(self.points):
            if (old.key, old.ratio) == (point.key, point.ratio):
                self.points[number] = point
                return point
        self.points.append(point)
        return point
