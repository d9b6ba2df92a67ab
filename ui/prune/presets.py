"""Presets: one target, shared among the rows that are not locked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Literal

import pruning
from pruning.allocation import Evidence, allocate, share_removed
from pruning.criteria import across_groups
from pruning.sparsity import scored_as
from ui import cache, granularity, scans
from ui.state import Session

Measure = Literal["units", "parameters", "MACs"]


def offered(session: Session) -> dict[str, str]:
    """Allocation name -> why it cannot be used now, "" if it can; only those of this granularity."""
    scan = scans.latest(session.model_id, *session.how)
    return {
        name: "" if "scan" not in entry.needs or scan else "It needs a sensitivity scan by this criterion."
        for name, entry in pruning.ALLOCATIONS.items()
        if scored_as(session.granularity) in entry.granularities
    }


def ratios(session: Session, name: str, target: float, of: Measure) -> dict[str, float]:
    """Ratios that remove a share, locked rows as they are.

    Args:
        name: of an allocation.
        target: share to remove, in [0, 1].
        of: the units of the rows that are not locked, or the parameters or MACs of the whole network.
    Raises:
        ValueError: if nothing is unlocked, or the target cannot be reached.
    """
    locked = {key: session.ratios.get(key, 0.0) for key in session.locked}
    evidence = _evidence(session, session.free)
    stops = cache.stops(session.model_id, session.granularity, session.criterion, session.seed)
    if of == "units" and not stops:
        found = allocate(name, target, evidence)
    elif of == "units":  # not every ratio is possible
        whole = sum(evidence.sizes.values())
        found = allocate(
            name, target, evidence, lambda some: 1 - sum(granularity.kept(stops, some).values()) / whole
        )
    else:
        removed = share_removed(lambda some: _amount(session, {**locked, **some}, of))
        found = allocate(name, target, evidence, removed)
    # Four decimals, rounded up, are what the page's address keeps exactly; the target is still reached.
    tidy = {key: min(ceil(ratio * 1e4 - 1e-6) / 1e4, 1.0) for key, ratio in found.ratios.items()}
    return {**locked, **granularity.possible(stops, tidy)}


def _evidence(session: Session, keys: Sequence[str]) -> Evidence:
    """What the allocations look at, for these keys."""
    model_id = session.model_id
    scores = cache.scores(model_id, *session.how)
    if session.granularity == "channel":
        groups = cache.structure(model_id, session.choices).by_id
        scores = across_groups(scores, session.criterion)
        sizes, shapes = {key: groups[key].size for key in keys}, {}
        minimum = {key: groups[key].minimum for key in keys}
    else:
        layers = {layer.name: layer for layer in cache.layers(model_id)}
        scores = {name.removesuffix(".weight"): values for name, values in scores.items()}
        sizes = {key: scores[key].numel() for key in keys}
        shapes = {key: layers[key].weight_shape for key in keys}
        minimum = dict.fromkeys(keys, 0)
    scan = scans.latest(model_id, *session.how)
    return Evidence(sizes, {key: scores[key] for key in keys}, scan, shapes, minimum)


def _amount(session: Session, ratios: Mapping[str, float], of: Measure) -> int:
    """Parameters (not counting zeros) or MACs of the network at some ratios, exactly as the plan counts."""
    costs = cache.cost_model(session.model_id, session.choices)
    stops = cache.stops(session.model_id, session.granularity, session.criterion, session.seed)
    if stops and (session.scope == "layer" or granularity.ranked_alone(session.granularity)):
        cost = costs.cost(nonzero=granularity.kept(stops, ratios))
        return cost.nonzero if of == "parameters" else cost.macs
    loaded = cache.model(session.model_id)
    plan = pruning.make_plan(
        loaded.module,
        session.recipe_of(ratios),
        example_inputs=loaded.example_inputs,
        structure=cache.structure(session.model_id, session.choices),
        scores=cache.scores(session.model_id, *session.how),
    )
    kept = {entry.key: entry.kept for entry in plan.entries}
    cost = granularity.cost(costs, session.granularity, kept)
    return cost.nonzero if of == "parameters" else cost.macs
