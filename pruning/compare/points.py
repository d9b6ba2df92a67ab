"""Runs as points: how good against how costly, seeds taken together, with the dense network beside them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from pruning.compare.pareto import front
from pruning.compare.seeds import Spread, spread, together

if TYPE_CHECKING:
    from pruning.history import Figures, Measured, Run, Size, Speed

Split = Literal["validation", "test"]  # never both in one chart
SPLITS: tuple[Split, ...] = ("validation", "test")
DENSE = "dense"  # the kind of the dense network's point


@dataclass(frozen=True)
class Cost:
    """What a network can cost.

    Args:
        name: key in COSTS.
        label: with its unit, for an axis.
        unit: "" for plain counts.
        scale: what a stored value is multiplied with to be in that unit.
        help: what the figure is, in one sentence.
        of: of the network that came out.
        dense: of the dense one.
    """

    name: str
    label: str
    unit: str
    scale: float
    help: str
    of: Callable[[Figures], float | None]
    dense: Callable[[Figures], float | None]


def _size(field: str) -> dict[str, Callable[[Figures], float | None]]:
    def of(size: Size | None) -> float | None:
        return None if size is None else getattr(size, field)

    return {"of": lambda figures: of(figures.size), "dense": lambda figures: of(figures.dense_size)}


COSTS: Mapping[str, Cost] = MappingProxyType(
    {
        cost.name: cost
        for cost in (
            Cost(
                "parameters",
                "parameters that are not zero",
                "",
                1.0,
                "Counted exactly; weights that a mask has set to zero do not count.",
                **_size("nonzero"),
            ),
            Cost(
                "macs",
                "MACs for one image",
                "",
                1.0,
                "Counted exactly; masked weights are still multiplied, only what is removed lowers it.",
                **_size("macs"),
            ),
            Cost(
                "file",
                "file size, kB",
                "kB",
                1e-3,
                "Bytes of the .safetensors file; of masked weights in the compact form.",
                **_size("file_bytes"),
            ),
            Cost(
                "latency",
                "measured latency, ms",
                "ms",
                1e3,
                "Median time of one forward, measured; only times that were measured alike are in one chart.",
                of=lambda figures: figures.latency.median if figures.latency else None,
                dense=lambda figures: figures.latency.dense if figures.latency else None,
            ),
        )
    }
)


@dataclass(frozen=True)
class Point:
    """One or several runs that differ in nothing but their seed, or the dense network.

    Args:
        runs: those behind it; empty for the dense network.
        model: architecture.
        kind: of the runs, or DENSE.
        cost: in the unit of its axis.
        accuracy: share of the images predicted right, in [0, 1].
        measured: of a single run: the accuracy with its interval.
        on_front: whether no other point is both cheaper and better.
    """

    runs: tuple[Run, ...]
    model: str
    kind: str
    cost: Spread
    accuracy: Spread
    measured: Measured | None = None
    on_front: bool = False


def accuracy_of(run: Run, split: Split) -> Measured | None:
    """What a run measured on that split; never of another one."""
    return run.figures.test if split == "test" else run.figures.validation


def ways_timed(runs: Sequence[Run]) -> list[str]:
    """How latencies were measured, the most frequent first: times of different ways cannot be compared."""
    found = [_way(run.figures.latency) for run in runs if run.figures.latency]
    return sorted(set(found), key=lambda way: (-found.count(way), way))


def tasks_of(runs: Sequence[Run], split: Split) -> list[str]:
    """The data that runs have an accuracy on, the most frequent first."""
    found = [run.task for run in runs if accuracy_of(run, split)]
    return sorted(set(found), key=lambda task: (-found.count(task), task))


def points(
    runs: Sequence[Run],
    split: Split,
    cost: Cost,
    task: str,
    *,
    settings: Callable[[str], str],
    way: str | None = None,
) -> list[Point]:
    """Runs on one task as points, and their dense networks, with the front marked.

    Args:
        runs: any; those without the figures or of other data are left out.
        split: whose accuracy.
        cost: an entry of COSTS.
        task: the data; accuracies on different data cannot be compared.
        settings: run id -> its decisions, as `seeds.together` takes them.
        way: for latency: only those measured so, one of `ways_timed`; None = the most frequent one.
    Returns:
        The dense networks first, then runs in the order given.
    """
    fitting = [run for run in runs if run.task == task and accuracy_of(run, split)]
    if cost.name == "latency":
        wanted = way or next(iter(ways_timed(fitting)), "")
        fitting = [run for run in fitting if run.figures.latency and _way(run.figures.latency) == wanted]
    fitting = [run for run in fitting if cost.of(run.figures) is not None]
    found = [*_dense(fitting, split, cost)]
    for group in together(fitting, settings):
        accuracies = [measured for run in group if (measured := accuracy_of(run, split))]
        costs = spread(cost.scale * value for run in group if (value := cost.of(run.figures)) is not None)
        worth = spread(measured.accuracy for measured in accuracies)
        if costs and worth:
            alone = accuracies[0] if len(group) == 1 else None
            first = group[0]
            found.append(Point(tuple(group), first.model, first.kind, costs, worth, alone))
    best = set(front([(point.cost.mean, point.accuracy.mean) for point in found]))
    return [replace(point, on_front=place in best) for place, point in enumerate(found)]


def _dense(runs: Sequence[Run], split: Split, cost: Cost) -> list[Point]:
    """One point for each dense network that a run knows of; times of one are averaged over its runs."""
    networks: dict[tuple[str, str], tuple[Measured, list[float]]] = {}
    for run in runs:
        measured = run.figures.dense_test if split == "test" else run.figures.dense
        value = cost.dense(run.figures)
        if measured and value is not None:
            networks.setdefault((run.model, run.weights), (measured, []))[1].append(cost.scale * value)
    found = []
    for (model, _), (measured, values) in networks.items():
        costs = spread([statistics.fmean(values)])
        worth = spread([measured.accuracy])
        if costs and worth:
            found.append(Point((), model, DENSE, costs, worth, measured))
    return found


def _way(speed: Speed | None) -> str:
    """How a time was measured, for reading."""
    if speed is None:
        return ""
    threads = f", {speed.threads} thread{'s' * (speed.threads != 1)}" if speed.device in ("", "CPU") else ""
    return f"batch {speed.batch_size}{threads}, {speed.device or 'CPU'}"
