"""From settings to a smaller network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from pruning.lowrank.candidates import Candidate, find_factorable
from pruning.lowrank.factorise import factorise
from pruning.lowrank.geometry import Ranks
from pruning.lowrank.moments import input_roots
from pruning.lowrank.ranks import ranks_by_energy, ranks_by_total
from pruning.lowrank.settings import LowRank

if TYPE_CHECKING:
    from pruning.tasks import Task


@dataclass(frozen=True)
class LowRankPlan:
    """What settings come to in a network, before a tensor is touched.

    Args:
        candidates: all linear layers and convolutions, with reasons.
        ranks: layer -> its ranks; layers not in it stay as they are.
        roots: layer -> what weighs its errors; empty without data.
    """

    candidates: tuple[Candidate, ...]
    ranks: Mapping[str, Ranks]
    roots: Mapping[str, Tensor] = field(default_factory=dict)


def plan_low_rank(
    module: nn.Module,
    settings: LowRank,
    *,
    example_inputs: Sequence[Any],
    task: Task | None = None,
    roots: Mapping[str, Tensor] | None = None,
) -> LowRankPlan:
    """The ranks that settings give a network.

    Args:
        module: the network, never changed.
        settings: what is wanted.
        example_inputs: positional arguments of its forward.
        task: the data, needed only for settings with `data`.
        roots: of `input_roots`, for settings with `data`, if they are known; then the task is not needed.
    Raises:
        ValueError: an unknown layer or one that cannot be factorised, a rank out of its range, no data.
    """
    candidates = find_factorable(module, example_inputs, settings.method)
    named = settings.ranks if settings.ranks is not None else settings.layers
    chosen = [one for one in candidates if named is None or one.name in named]
    _check(candidates, named)
    if not settings.data:
        roots = {}
    elif roots is None:
        if task is None:
            raise ValueError("Weighing errors by data needs a task with calibration images; give one.")
        roots = input_roots(module, task, chosen)
    if settings.ranks is not None:
        ranks: Mapping[str, Ranks] = settings.ranks
    elif settings.energy is not None:
        ranks = ranks_by_energy(module, chosen, settings.energy, roots)
    else:
        assert settings.share is not None
        ranks = ranks_by_total(module, chosen, settings.share, roots)
    return LowRankPlan(tuple(candidates), ranks, roots)


def low_rank(
    module: nn.Module, settings: LowRank, *, example_inputs: Sequence[Any], task: Task | None = None
) -> nn.Module:
    """A copy of a network factorised by settings; see `plan_low_rank` and `factorise`."""
    plan = plan_low_rank(module, settings, example_inputs=example_inputs, task=task)
    return factorise(module, plan.ranks, settings.method, roots=plan.roots)


def _check(candidates: Sequence[Candidate], named: Sequence[str] | Mapping[str, Ranks] | None) -> None:
    reasons = {one.name: one.reason for one in candidates}
    for name in named or ():
        if name not in reasons:
            raise ValueError(f"There is no linear layer or convolution {name!r} in this network.")
        if reasons[name]:
            raise ValueError(f"The layer {name!r} cannot be factorised: {reasons[name]}")
