"""Measure how accuracy falls when each key alone is pruned."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pruning.blocks import put_skips, replace_modules
from pruning.criteria import CRITERIA
from pruning.evaluate import Batch, Report, measure, split_batches
from pruning.groups import find_structure
from pruning.groups.choices import DEFAULT
from pruning.layers import duplicate
from pruning.masks import named_tensors, zero_units
from pruning.recipe import Granularity
from pruning.replay import NotReplayable, Replay
from pruning.sensitivity.result import Measured, Scan, ScanPoint
from pruning.sensitivity.targets import Target, blocks_of, groups_of, layers_of
from pruning.shrink import shrink_masked
from pruning.sparsity import masks_weights, scored_as

if TYPE_CHECKING:
    from pruning.groups import Group, Structure
    from pruning.tasks import Task

OnPoint = Callable[[ScanPoint, int, int], object]
BATCH = 256


def scan_sensitivity(
    module: nn.Module,
    task: Task,
    ratios: Sequence[float],
    granularity: Granularity = "channel",
    criterion: str = "l2",
    *,
    example_inputs: Sequence[Tensor] | None = None,
    structure: Structure | None = None,
    scores: Mapping[str, Tensor] | None = None,
    split: str = "validation",
    limit: int | None = None,
    seed: int = 0,
    known: Scan | None = None,
    on_point: OnPoint | None = None,
    stop: threading.Event | None = None,
) -> Scan:
    """Prune each key alone at each ratio, and measure.

    Args:
        on_point: called with (point, points done, points in all) after each point.
        All others: see `iter_scan`.
    Returns:
        The scan; not `complete` if it was stopped.
    Raises:
        ValueError: as `iter_scan`.
    """
    walk = iter_scan(
        module,
        task,
        ratios,
        granularity,
        criterion,
        example_inputs=example_inputs,
        structure=structure,
        scores=scores,
        split=split,
        limit=limit,
        seed=seed,
        known=known,
        stop=stop,
    )
    for point in walk:
        if on_point is not None:
            on_point(point, len(walk.points), walk.total)
    return walk.scan()


def iter_scan(
    module: nn.Module,
    task: Task,
    ratios: Sequence[float],
    granularity: Granularity = "channel",
    criterion: str = "l2",
    *,
    example_inputs: Sequence[Tensor] | None = None,
    structure: Structure | None = None,
    scores: Mapping[str, Tensor] | None = None,
    split: str = "validation",
    limit: int | None = None,
    seed: int = 0,
    known: Scan | None = None,
    stop: threading.Event | None = None,
) -> Walk:
    """A sensitivity scan to be walked point by point: `for point in iter_scan(...)`.

    Each point is measured from the first operation that it changes on, with the activations before it kept in
    memory (`pruning.replay`). Where a network does not allow that, channels are masked and the whole network
    is run: the accuracy is the same. Groups whose removal changes the statistics of norms are really removed.

    Args:
        module: the dense network; never changed.
        task: the data.
        ratios: fractions to remove, each in [0, 1].
        granularity: "channel" scans coupled groups, "layer" whole blocks (at ratios 0 and 1), a name of
            `pruning.sparsity` ("weight", "n:4", "16x1", "pattern") the weights of layers.
        criterion: name of an entry of `CRITERIA`; the lowest scores go first.
        example_inputs: of the network's forward; the task's first image if None.
        structure: of the network, by the choices that the scan is for; found by the default ones if None.
            Only for "channel" and "layer".
        scores: as `score_groups` or `score_weights` gives them; computed if None.
        split: what to measure on. Scans are for tuning, so the test split is refused.
        limit: measure only the first `limit` images.
        seed: of criteria that draw numbers.
        known: an earlier scan of the same network by the same arguments, whose points are not measured again:
            one that was stopped, or that had other ratios.
        stop: ends the walk early when set, within one batch.
    Raises:
        ValueError: if a ratio or a name is wrong, or nothing can be pruned.
    Source: one layer at a time, the others untouched: Li et al. 2016, arXiv:1608.08710, section 3.2.
    """
    if not ratios or not all(0 <= ratio <= 1 for ratio in ratios):
        raise ValueError("A scan needs at least one ratio, and each must lie between 0 and 1.")
    if split == "test":
        raise ValueError("Test data is for final results only; scan on validation data.")
    if scored_as(granularity) not in CRITERIA[criterion].granularities:
        raise ValueError(f"The criterion {criterion!r} cannot score a {granularity}; choose another.")
    if example_inputs is None:
        example_inputs = (task.validation[0][0].unsqueeze(0),)
    if granularity == "layer":
        targets = blocks_of(module, ratios, example_inputs, structure, scores)
    elif masks_weights(granularity):
        structure = structure or find_structure(module, example_inputs)
        targets = layers_of(module, task, granularity, criterion, example_inputs, scores, seed)
    else:
        structure = structure or find_structure(module, example_inputs)
        targets = groups_of(module, task, criterion, structure, scores, seed)
    if not targets:
        raise ValueError(
            f"Nothing in this network can be pruned by {granularity}, or the criterion {criterion!r} can "
            "rank none of it; choose another."
        )
    n, batches = split_batches(task, split, batch_size=BATCH, limit=limit)
    wanted = tuple(sorted(set(map(float, ratios))))
    about = {
        "model": getattr(module, "architecture", None),
        "task": task.name,
        "split": split,
        "granularity": granularity,
        "criterion": criterion,
        "seed": seed,
        "n": n,
        "classes": len(task.classes),
        "keys": tuple(target.key for target in targets),
        "ratios": wanted,
        **asdict(structure.choices if granularity == "channel" and structure else DEFAULT),
    }
    points = [point for point in known.points if point.ratio in wanted] if known else []
    stop = stop or threading.Event()
    return Walk(module, targets, tuple(batches), about, stop, points, structure, tuple(example_inputs))


@dataclass
class Walk:
    """A scan under way: iterate to measure, `scan()` for what was measured so far.

    All keys are measured at the largest ratio first, then at the middle one, then between: after a few points
    there is a coarse curve of every key. Iterating again goes on where it was left.
    """

    module: nn.Module
    targets: Sequence[Target]
    batches: Sequence[Batch]
    about: dict
    stop: threading.Event
    points: list[ScanPoint] = field(default_factory=list)
    structure: Structure | None = None
    inputs: Sequence[Tensor] = ()

    def __post_init__(self) -> None:
        self._working = duplicate(self.module)
        self._tensors = named_tensors(self._working)
        self._whole = named_tensors(self.module)
        self._known: dict[tuple[str, int], Measured] = {}

    @property
    def total(self) -> int:
        """Points of the finished scan."""
        return len(self.targets) * len(self.about["ratios"])

    @cached_property
    def dense(self) -> Measured:
        """The network as it is; measured at first use."""
        *_, report = measure(self.module, self.batches, self.about["n"], self.about["split"])
        return _measured(report)

    def scan(self) -> Scan:
        """What was measured so far."""
        return Scan(**self.about, dense=self.dense, points=tuple(self.points))

    def __iter__(self) -> Iterator[ScanPoint]:
        done = {(point.key, point.ratio) for point in self.points}
        for ratio in coarse_first(self.about["ratios"]):
            for target in self.targets:
                if (target.key, ratio) in done:
                    continue
                point = self._point(target, ratio)
                if point is None:
                    return
                self.points.append(point)
                yield point

    def _point(self, target: Target, ratio: float) -> ScanPoint | None:
        """One point; None if the walk was stopped."""
        size, kept = target.size, target.kept(ratio)
        if kept == size:
            self._known[target.key, kept] = self.dense
        if (target.key, kept) not in self._known:
            report = self._pruned(target, target.mask(kept))
            if report is None:
                return None
            self._known[target.key, kept] = _measured(report)
        found = self._known[target.key, kept]
        return ScanPoint(**dict(found), key=target.key, ratio=ratio, kept=kept, size=size)

    @torch.no_grad()
    def _pruned(self, target: Target, keep: Tensor) -> Report | None:
        """Prune the working copy in place, measure, and make it whole again; None if stopped meanwhile."""
        if target.group and target.group.grade == "statistics":
            return self._measured_until_stopped(self._smaller(target.group, keep))
        if self._replay is not None and not target.block:
            return self._measured_until_stopped(self._from_the_change(self._replay, target, keep))
        held = self._working.get_submodule(target.key) if target.block else None
        try:
            if target.block:
                put_skips(self._working, [target.block])
            else:
                target.zero(self._tensors, keep)
            return self._measured_until_stopped(self._working)
        finally:
            if held is not None:
                replace_modules(self._working, {self._working.get_submodule(target.key): held})
            for name in target.tensors:
                self._tensors[name].copy_(self._whole[name])

    @cached_property
    def _replay(self) -> Replay | None:
        """What runs versions from their first change on, if this network's operations allow it."""
        if self.structure is None:
            return None
        try:
            return Replay(self.module, self.structure, self.batches)
        except NotReplayable:
            return None

    def _from_the_change(self, replay: Replay, target: Target, keep: Tensor) -> nn.Module:
        if target.group:
            return replay.network({target.key: keep})
        return replay.network({}, {target.key: keep})

    def _measured_until_stopped(self, module: nn.Module) -> Report | None:
        steps = measure(module, self.batches, self.about["n"], self.about["split"])
        last = deque(takewhile(lambda _: not self.stop.is_set(), steps), maxlen=1)
        return last[0] if last and last[0].complete else None

    def _smaller(self, group: Group, keep: Tensor) -> nn.Module:
        """Really smaller, because its norms then average over other entries than a masked network's."""
        assert self.structure is not None
        masked = duplicate(self.module)
        zero_units(named_tensors(masked), group, keep)
        return shrink_masked(masked, self.structure, {group.id: keep}, self.inputs)


def coarse_first(ratios: Sequence[float]) -> list[float]:
    """The largest ratio, the smallest, then again and again the middles of what lies between."""
    ordered = sorted(ratios, reverse=True)
    if len(ordered) < 3:
        return ordered
    result, gaps = [ordered[0], ordered[-1]], [(0, len(ordered) - 1)]
    while gaps:
        low, high = gaps.pop(0)
        if high - low > 1:
            middle = (low + high) // 2
            result.append(ordered[middle])
            gaps += [(low, middle), (middle, high)]
    return result


def _measured(report: Report) -> Measured:
    loss = report.loss if math.isfinite(report.loss) else None
    return Measured(accuracy=report.accuracy, interval=report.interval, loss=loss)
