"""What a sensitivity scan found: how accuracy falls when one key at a time is pruned."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from pruning.documents import FROZEN, Share, read_json
from pruning.groups.choices import Choices, Heads, Norms
from pruning.recipe import Granularity
from pruning.sensitivity.adaptive import Precise
from pruning.sensitivity.point import Measured, ScanPoint


class Scan(BaseModel):
    """A per-key scan; the same network, data and arguments give the same scan.

    An exact scan measures each point on all n images. An adaptive one measures each on as many as the
    precision asked for takes, and infers some; see `pruning.sensitivity.adaptive`.

    Args:
        model: name of the architecture, if known.
        task: name of the task.
        split: name of the split that was measured on.
        granularity, criterion, seed: how the keys were pruned.
        heads, norms: how the groups of "channel" were found, as `pruning.Choices` says.
        n: images that the accuracies are about; how many of them a point was measured on, `images_of` says.
        classes: of the task.
        keys: what was scanned, in the network's order.
        ratios: asked for each key, ascending.
        dense: the network as it was.
        points: in the order in which they were measured.
        precise: what an adaptive scan was asked for; None for an exact one.
        slower: why pruned networks were run from modules, not from single operations; empty if they were not.
        version: of this file format; files of version 1, which are all exact, are read, too.
    """

    model_config = FROZEN

    model: str | None
    task: str
    split: str
    granularity: Granularity
    criterion: str
    seed: int
    n: Annotated[int, Field(ge=1)]
    classes: Annotated[int, Field(ge=1)]
    keys: tuple[str, ...]
    ratios: tuple[Share, ...]
    dense: Measured
    points: tuple[ScanPoint, ...]
    heads: Heads = "whole"
    norms: Norms = "exact"
    precise: Precise | None = None
    slower: Annotated[str, Field(max_length=500)] = ""
    version: Literal[1, 2] = 2

    @field_validator("version")
    @classmethod
    def _newest(cls, _: int) -> int:
        return 2  # whatever was read: this is how it will be written

    @model_validator(mode="after")
    def _points_belong(self) -> Self:
        keys, ratios = set(self.keys), set(self.ratios)
        for point in self.points:
            if point.key not in keys or point.ratio not in ratios:
                raise ValueError(f"a point at {point.key[:80]!r}, {point.ratio} is not of this scan")
            if point.kept > point.size:
                raise ValueError(f"a point at {point.key[:80]!r}, {point.ratio} keeps more than there is")
            if point.sample and (point.sample.n > self.n or self.precise is None):
                raise ValueError(f"a point at {point.key[:80]!r}, {point.ratio} has a sample of other images")
            if not point.bounds[0] <= point.accuracy <= point.bounds[1]:
                raise ValueError(f"a point at {point.key[:80]!r}, {point.ratio} lies outside its own bounds")
        if len({(point.key, point.ratio) for point in self.points}) < len(self.points):
            raise ValueError("a point occurs twice")
        return self

    @property
    def choices(self) -> Choices:
        """How the groups were found."""
        return Choices(self.heads, self.norms)

    @property
    def complete(self) -> bool:
        """Whether every key is known at every ratio, as precisely as asked for; False if it was stopped."""
        settled = sum(point.settled for point in self.points)
        return settled == len(self.keys) * len(self.ratios)

    @property
    def mode(self) -> Literal["exact", "adaptive"]:
        """Whether every point is measured on all images, or on as many as it takes."""
        return "adaptive" if self.precise else "exact"

    def images_of(self, point: ScanPoint) -> int:
        """How many images a point was measured on."""
        return point.sample.n if point.sample else self.n

    @property
    def effort(self) -> tuple[int, int]:
        """Images evaluated for the points there are, and those that an exact scan of them evaluates.

        Ratios that leave the same are one network; the dense network is not counted.
        """
        networks = {(p.key, p.kept): self.images_of(p) for p in self.points if p.kept < p.size}
        return sum(networks.values()), self.n * len(networks)

    def curve(self, key: str) -> tuple[ScanPoint, ...]:
        """The points of one key by ascending ratio; empty if none was measured yet.

        Raises:
            ValueError: if the key was not scanned.
        """
        if key not in self.keys:
            raise ValueError(f"{key[:80]!r} was not scanned; choose one of the scan's {len(self.keys)} keys.")
        return self._curves[key]

    def predict(self, ratios: Mapping[str, float]) -> float | None:
        """Accuracy to expect when several keys are pruned together; a prediction, not a measurement.

        It assumes that the losses of accuracy add: each key's loss is read off its own curve (straight lines
        between measured ratios, from the dense network at ratio 0; beyond the last ratio it stays), and their
        sum is taken from the dense accuracy. That holds while every loss is small. Where errors amplify each
        other, the pruned network is worse than predicted; where they overlap, it is better.

        Args:
            ratios: key -> ratio; keys that are missing stay whole.
        Returns:
            In [chance, 1], chance being 1 / classes (or the dense accuracy if that is lower); None if a
            pruned key has no curve.
        """
        loss = 0.0
        for key, ratio in ratios.items():
            if ratio <= 0:
                continue
            curve = self._losses.get(key)
            if curve is None:
                return None
            loss += _read_off(*curve, ratio)
        chance = min(1 / self.classes, self.dense.accuracy)
        return min(1.0, max(chance, self.dense.accuracy - loss))

    def prunable(self, loss_points: float) -> dict[str, float]:
        """How far each key alone can be pruned.

        Args:
            loss_points: percentage points of accuracy that may be lost against the dense network.
        Returns:
            key -> the largest ratio up to which no point loses more; 0 if there is none. The accuracies count
            as they are, whether measured or estimated: an adaptive scan's may be off by its precision, and a
            ratio that is near `loss_points` is to be measured before it is relied on.
        """
        return {key: self._largest(key, loss_points) for key in self.keys}

    def to_json(self) -> str:
        """This scan as JSON."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str) -> Scan:
        """Read a scan.

        Raises:
            ValueError: one sentence saying what is wrong and where.
        """
        return read_json(cls, text, "scan")

    @cached_property
    def _curves(self) -> dict[str, tuple[ScanPoint, ...]]:
        curves: dict[str, list[ScanPoint]] = {key: [] for key in self.keys}
        for point in sorted(self.points, key=lambda point: point.ratio):
            curves[point.key].append(point)
        return {key: tuple(points) for key, points in curves.items()}

    @cached_property
    def _losses(self) -> dict[str, tuple[list[float], list[float]]]:
        """Key -> (ascending ratios from 0, accuracy lost at each); only keys with a measured point."""
        losses = {}
        for key, curve in self._curves.items():
            points = [point for point in curve if point.ratio > 0]
            if points:
                lost = [self.dense.accuracy - point.accuracy for point in points]
                losses[key] = ([0.0] + [point.ratio for point in points], [0.0, *lost])
        return losses

    def _largest(self, key: str, loss_points: float) -> float:
        best = 0.0
        for point in self._curves[key]:
            if 100 * (self.dense.accuracy - point.accuracy) > loss_points + 1e-9:
                break
            best = point.ratio
        return best


def _read_off(ratios: list[float], values: list[float], ratio: float) -> float:
    """Straight lines between the points; the last value beyond the last ratio."""
    i = bisect_left(ratios, ratio)
    if i == len(ratios):
        return values[-1]
    share = (ratio - ratios[i - 1]) / (ratios[i] - ratios[i - 1])
    return values[i - 1] + share * (values[i] - values[i - 1])
