"""Runs that differ in nothing but their seed, taken together: mean and standard deviation."""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pruning.history import Run

_SEEDED = ("recipe", "fit", "recovery")  # parts of settings that have a seed of their own


@dataclass(frozen=True)
class Spread:
    """Several measurements of one quantity.

    Args:
        mean: their arithmetic mean.
        sd: their standard deviation, with n - 1 in the denominator; None of a single one.
        n: how many.
    """

    mean: float
    sd: float | None
    n: int


def spread(values: Iterable[float]) -> Spread | None:
    """Mean and standard deviation; None of nothing, or if one is not finite."""
    found = list(values)
    if not found or not all(math.isfinite(value) for value in found):
        return None
    return Spread(statistics.fmean(found), statistics.stdev(found) if len(found) > 1 else None, len(found))


def alike(run: Run, settings: str) -> str:
    """A text that two runs share if they differ in nothing but their seed.

    Args:
        run: a row of the history.
        settings: its decisions, JSON; what cannot be read makes a run like no other.
    """
    try:
        decided = _without_seed(json.loads(settings))
    except ValueError:
        return run.id
    parts = [run.kind, run.model, run.weights, run.task, run.device, run.split, run.study, decided]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def together(runs: Sequence[Run], settings: Callable[[str], str]) -> list[list[Run]]:
    """Runs in groups whose members differ in nothing but their seed, both in the order given.

    Args:
        settings: run id -> its decisions, JSON; asked only where another run looks alike on the surface.
    """
    near = Counter(map(_surface, runs))
    groups: dict[str, list[Run]] = {}
    for run in runs:
        name = alike(run, settings(run.id)) if near[_surface(run)] > 1 else run.id
        groups.setdefault(name, []).append(run)
    return list(groups.values())


def _surface(run: Run) -> tuple[Any, ...]:
    """What a row says of its settings without reading them."""
    what = run.kind, run.model, run.weights, run.task, run.device, run.split, run.study
    return (*what, run.criterion, run.granularity, run.schedule, run.ratio)


def _without_seed(decided: Any) -> Any:
    """Settings with the seeds at their places taken out; elsewhere "seed" may be the name of a layer."""
    if not isinstance(decided, Mapping):
        return decided
    bare = {name: value for name, value in decided.items() if name != "seed"}
    return {name: _without_seed(value) if name in _SEEDED else value for name, value in bare.items()}
