"""From a network and a session to the rows of the ratio board."""

from __future__ import annotations

import math

from pruning import Group, Layer
from pruning.plan import multiple_for
from ui import cache, granularity
from ui.prune import layers as whole_layers
from ui.prune import times
from ui.prune.facts import Facts
from ui.ratio_board import MOST_SWITCHES, Row
from ui.state import Session

UNRANKED = "cannot be ranked"
COUNTED = ("channel", "weight")  # granularities whose counts the board finds by its own rule


def of(session: Session, facts: Facts) -> list[Row]:
    """One row for each coupled group or prunable layer, in the network's order."""
    if session.granularity == "channel":
        groups = cache.structure(session.model_id, session.choices).groups
        return [_group_row(session, facts, group) for group in groups]
    if session.granularity == "layer":
        return whole_layers.rows(session, facts)
    layers = {layer.name: layer for layer in cache.layers(session.model_id)}
    return [_layer_row(session, facts, layers[key]) for key in session.keys]


def _group_row(session: Session, facts: Facts, group: Group) -> Row:
    costs = cache.cost_model(session.model_id, session.choices)
    without = costs.cost({group.id: 0})
    return Row(
        key=group.id,
        label=group.id,
        kind=group.kind,
        size=group.size,
        minimum=group.minimum,
        parameter_share=1 - without.parameters / costs.dense.parameters,
        macs_share=1 - without.macs / costs.dense.macs if costs.dense.macs else math.nan,
        note=UNRANKED if group.id in session.whole else _coupled(group),
        multiple_of=multiple_for(group, session.multiple_of),
        good=times.good_counts(session, group.id),
        **_moving(session, facts, group.id),
        **_units(session, facts, group),
    )


def _units(session: Session, facts: Facts, group: Group) -> dict:
    """A switch for each unit of a small group: which stay, and which would go first."""
    if group.size > MOST_SWITCHES or group.id in session.whole:
        return {}
    scores = cache.scores(session.model_id, *session.how)[group.id]
    keep = facts.plan.keep.get(group.id)
    # As `keep_by_rank` does: among equal ones those that come first stay.
    order = sorted(range(group.size), key=lambda unit: (float(scores[unit]), -unit))
    top = float(scores.max())
    levels = [min(1.0, max(0.0, float(score) / top)) if 0 < top < math.inf else 0.0 for score in scores]
    return {
        "units": (True,) * group.size if keep is None else tuple(keep.tolist()),
        "order": tuple(order),
        "levels": tuple(levels),
        "by_hand": group.id in session.draft.removed,
    }


def _layer_row(session: Session, facts: Facts, layer: Layer) -> Row:
    dense = facts.dense
    size = math.prod(layer.weight_shape)
    stops = cache.stops(session.model_id, session.granularity, session.criterion, session.seed)
    return Row(
        key=layer.name,
        label=layer.name,
        kind=session.granularity,
        size=size,
        minimum=0,
        parameter_share=size / dense.parameters,
        macs_share=layer.macs / dense.macs if dense.macs else math.nan,
        note=f"{layer.kind} {' × '.join(map(str, layer.weight_shape))}",
        multiple_of=1,
        stops=granularity.shown(stops[layer.name], session.granularity) if layer.name in stops else (),
        **_moving(session, facts, layer.name),
    )


def _moving(session: Session, facts: Facts, key: str) -> dict:
    """What a row says about the decisions: ratio, lock, histogram, curve, count."""
    kept = {entry.key: entry.kept for entry in facts.plan.entries}
    bins = cache.score_histograms(session.model_id, *session.how)
    scan = facts.scan
    points = scan.curve(key) if scan and key in scan.keys else ()
    return {
        "ratio": 0.0 if key in session.whole else session.ratios.get(key, 0.0),
        "locked": key in session.locked or key in session.whole,
        "bins": bins.get(key, ()),
        "curve": tuple((point.ratio, point.accuracy) for point in points),
        # Where not every count is possible, the board knows only some of those that are.
        "kept": kept.get(key) if session.scope == "global" or session.granularity not in COUNTED else None,
    }


def _coupled(group: Group) -> str:
    others = group.producers[1:]
    if not others:
        return ""
    more = f" and {len(others) - 2} more" if len(others) > 2 else ""
    return f"coupled with {', '.join(others[:2])}{more}"
