"""What a recipe does to a network as far as arithmetic knows it: exact counts, cost, size, a prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pruning import Cost, Plan, Recipe, Scan
from pruning.checkpoint.size import dense_size
from pruning.outcome import Outcome, outcome
from ui import cache, scans
from ui.state import Session, Target


@dataclass(frozen=True, eq=False)
class Facts:
    """Everything about a recipe that needs no measurement.

    Args:
        recipe, plan: what was decided, and the exact counts.
        dense, pruned: cost before and after.
        dense_bytes, bytes: of the weights file before, and of the checkpoint after; for single weights in the
            compact form.
        scan: that curves and the prediction come from, None if there is none.
        predicted: accuracy that the scan predicts, None if it cannot; never of units by hand.
    """

    recipe: Recipe
    plan: Plan
    dense: Cost
    pruned: Cost
    dense_bytes: int
    bytes: int
    scan: Scan | None
    predicted: float | None

    @property
    def removed(self) -> float:
        """Share of the parameters that are gone or zero."""
        return 1 - self.pruned.nonzero / self.dense.parameters

    @property
    def masked(self) -> bool:
        """Whether single weights are zeroed, so that no tensor gets smaller."""
        return bool(self.plan.weights)

    @property
    def untouched(self) -> bool:
        """Whether the plan keeps everything."""
        return all(entry.kept == entry.size for entry in self.plan.entries)


def of(session: Session) -> Facts:
    """The facts of what the session's user has decided.

    Raises:
        ValueError: if the criterion cannot score this network (`MissingData` if it lacks calibration data).
    """
    scan = scans.latest(session.model_id, *session.how)
    return count(session.model_id, session.recipe, scan)


def count(model_id: str, recipe: Recipe, scan: Scan | None = None) -> Facts:
    """The facts of a recipe for a model; raises as `of`."""
    plan = cache.plan(model_id, recipe)
    masked = bool(plan.weights)
    counts: dict[str, dict[str, int]] = {
        "kept": {entry.key: entry.kept for entry in plan.entries if entry.key in plan.channels},
        "nonzero": {entry.key: entry.kept for entry in plan.entries if entry.key in plan.weights},
    }
    dropped = [block.id for block in plan.blocks]
    costs = cache.cost_model(model_id, recipe.choices)
    sizes = cache.size_model(model_id, recipe.choices)
    got = {entry.key: 1 - entry.kept / entry.size for entry in plan.entries}
    by_hand = any(rule.removed for rule in recipe.rules.values())
    return Facts(
        recipe=recipe,
        plan=plan,
        dense=costs.dense,
        pruned=costs.cost(**counts, dropped=dropped),
        dense_bytes=dense_size(cache.model(model_id).module),
        bytes=sizes.size(recipe, **counts, dropped=dropped, form="sparse" if masked else "dense"),
        scan=scan,
        predicted=scan.predict(got) if scan and not by_hand else None,
    )


def asked_and_got(model_id: str, facts: Facts) -> Outcome | None:
    """What was asked, what came of it and why; None if nothing is asked."""
    return outcome(facts.plan, cache.cost_model(model_id, facts.recipe.choices))


def of_preset(target: Target | None, facts: Facts, ratios: Mapping[str, float]) -> str:
    """What the last preset was asked for and reached, a sentence; "" once the ratios are others."""
    if target is None or target.ratios != ratios or target.of == "units":
        return ""
    left = {"parameters": facts.pruned.nonzero / facts.dense.parameters}
    left["MACs"] = facts.pruned.macs / facts.dense.macs if facts.dense.macs else 1.0
    return (
        f"The preset was to remove {100 * target.share:.1f} % of the {target.of} and removes "
        f"{100 * (1 - left[target.of]):.1f} %."
    )
