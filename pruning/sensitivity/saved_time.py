"""Measure how much time each group saves when it alone is pruned, really smaller."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from pruning.documents import FROZEN, Count, Finite, Seconds, Share, read_json
from pruning.groups import Group, Structure, find_structure
from pruning.latency import FEWEST, Timing, measure_latency
from pruning.plan import kept_count
from pruning.shrink import shrink_by_keep


class LatencyPoint(BaseModel):
    """Time of the network with one group pruned, measured in turns with the dense one.

    Args:
        key: group id.
        ratio: fraction asked to be removed.
        kept: units that stayed.
        size: units of the group.
        dense: median seconds of the dense network in these turns.
        saved: seconds saved per forward; negative = slower.
        interval: 95 % interval of `saved`; the whole range if there were too few turns for one.
        turns: how often each of the two was timed.
        warning: in words, why it should not be trusted; empty if nothing speaks against it.
    """

    model_config = FROZEN

    key: str
    ratio: Share
    kept: Count
    size: Count
    dense: Seconds
    saved: Finite
    interval: tuple[Finite, Finite]
    turns: Count
    warning: str = ""

    @property
    def certain(self) -> bool:
        """Whether the turns were enough for an interval, and it leaves no doubt that the time differs."""
        return self.turns >= FEWEST and not self.interval[0] <= 0 <= self.interval[1]


class LatencyScan(BaseModel):
    """Measured savings of each group at each ratio, on one machine.

    Args:
        model: name of the architecture, if known.
        batch_size: images per forward.
        threads: torch's threads.
        keys: groups, in the network's order.
        ratios: ascending.
        points: in the order in which they were measured.
        version: of this file format.
    """

    model_config = FROZEN

    model: str | None
    batch_size: int
    threads: int
    keys: tuple[str, ...]
    ratios: tuple[Share, ...]
    points: tuple[LatencyPoint, ...]
    version: Literal[1] = 1

    @property
    def complete(self) -> bool:
        """Whether every group was measured at every ratio."""
        return len(self.points) == len(self.keys) * len(self.ratios)

    def curve(self, key: str) -> tuple[LatencyPoint, ...]:
        """The points of one group by ascending ratio.

        Raises:
            ValueError: if the group was not scanned.
        """
        if key not in self.keys:
            raise ValueError(f"{key[:80]!r} was not scanned; choose one of the scan's {len(self.keys)} keys.")
        return tuple(sorted((p for p in self.points if p.key == key), key=lambda point: point.ratio))

    def to_json(self) -> str:
        """This scan as JSON."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str) -> LatencyScan:
        """Read a scan.

        Raises:
            ValueError: one sentence saying what is wrong and where.
        """
        return read_json(cls, text, "latency scan")


def latency_scan(
    module: nn.Module,
    example_inputs: Sequence[Tensor],
    ratios: Sequence[float],
    *,
    structure: Structure | None = None,
    batch_size: int = 1,
    threads: int | None = None,
    budget_s: float = 60.0,
    on_point: Callable[[LatencyPoint, int, int], object] | None = None,
    stop: threading.Event | None = None,
) -> LatencyScan:
    """Remove units of one group at a time, and time the smaller network in turns with the dense one.

    Which units go does not matter for the time; the last ones go.

    Args:
        module: the dense network; never changed.
        example_inputs: of its forward, batch first.
        ratios: fractions to remove, each in [0, 1].
        structure: of the network; found if None.
        batch_size, threads: as in `measure_latency`.
        budget_s: seconds for all points together, divided equally; building the networks comes on top.
        on_point: called with (point, points done, points in all) after each point.
        stop: ends the scan early when set, after the point under way.
    Raises:
        ValueError: if a ratio is wrong, there is no group, or as `measure_latency`.
    """
    if not ratios or not all(0 <= ratio <= 1 for ratio in ratios):
        raise ValueError("A scan needs at least one ratio, and each must lie between 0 and 1.")
    structure = structure or find_structure(module, example_inputs)
    groups = [group for group in structure.groups if group.size > group.minimum]
    if not groups:
        raise ValueError("Nothing in this network can be pruned by channel.")
    wanted = sorted(set(map(float, ratios)))
    total, used, points = len(groups) * len(wanted), torch.get_num_threads(), []
    for group, ratio in ((group, ratio) for ratio in coarse_first(wanted) for group in groups):
        if stop is not None and stop.is_set():
            break
        kept = kept_count(group.size, ratio, minimum=group.minimum)
        keep = {group.id: torch.arange(group.size) < kept}
        small = shrink_by_keep(module, keep, example_inputs, structure)
        timing = measure_latency(
            small,
            example_inputs,
            baseline=module,
            batch_size=batch_size,
            threads=threads,
            repeats=1000,
            budget_s=budget_s / total,
        )
        used = timing.threads
        points.append(_point(group, ratio, kept, timing))
        if on_point is not None:
            on_point(points[-1], len(points), total)
    return LatencyScan(
        model=getattr(module, "architecture", None),
        batch_size=batch_size,
        threads=used,
        keys=tuple(group.id for group in groups),
        ratios=tuple(wanted),
        points=tuple(points),
    )


def _point(group: Group, ratio: float, kept: int, timing: Timing) -> LatencyPoint:
    """Turn a ratio of times into seconds of the dense median: saved = dense * (1 - 1 / ratio)."""
    assert timing.baseline is not None
    assert timing.ratio is not None
    assert timing.ratio_interval is not None
    dense = timing.baseline.median
    low, saved, high = (
        dense * (1 - 1 / r) for r in (timing.ratio_interval[0], timing.ratio, timing.ratio_interval[1])
    )
    return LatencyPoint(
        key=group.id,
        ratio=ratio,
        kept=kept,
        size=group.size,
        dense=dense,
        saved=saved,
        interval=(low, high),
        turns=timing.n,
        warning=timing.warning,
    )


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
