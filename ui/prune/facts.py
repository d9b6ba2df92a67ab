"""What a recipe does to a network as far as arithmetic knows it: exact counts, cost, size, a prediction."""

from __future__ import annotations

from dataclasses import dataclass

from pruning import Cost, Plan, Recipe, Scan
from pruning.checkpoint.size import dense_size
from pruning.plan import kept_count
from ui import cache, scans
from ui.state import Session


@dataclass(frozen=True, eq=False)
class Facts:
    """Everything about a recipe that needs no measurement.

    Args:
        recipe, plan: what was decided, and the exact counts.
        dense, pruned: cost before and after.
        dense_bytes, bytes: of the weights file before, and of the checkpoint after; for single weights in the
            compact form.
        scan: that curves and the prediction come from, None if there is none.
        predicted: accuracy that the scan predicts, None if it cannot.
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
    kept = {entry.key: entry.kept for entry in plan.entries}
    masked = bool(plan.weights)
    counts = {"nonzero" if masked else "kept": kept}
    costs = cache.cost_model(model_id, recipe.choices)
    sizes = cache.size_model(model_id, recipe.choices)
    got = {entry.key: 1 - entry.kept / entry.size for entry in plan.entries}
    return Facts(
        recipe=recipe,
        plan=plan,
        dense=costs.dense,
        pruned=costs.cost(**counts),
        dense_bytes=dense_size(cache.model(model_id).module),
        bytes=sizes.size(recipe, **counts, form="sparse" if masked else "dense"),
        scan=scan,
        predicted=scan.predict(got) if scan else None,
    )


def asked_and_got(facts: Facts) -> list[str]:
    """Why the share of parameters that went is not the share that was asked: one sentence each, or none."""
    entries, unit = facts.plan.entries, "weights" if facts.masked else "units"
    if not entries:
        return []
    size, kept = sum(e.size for e in entries), sum(e.kept for e in entries)
    asked = sum(e.asked * e.size for e in entries) / size
    got = 1 - kept / size
    said = [
        f"Asked: {100 * asked:.1f} % of {size:,} {unit} in {len(entries)} row{'s' * (len(entries) > 1)}. "
        f"Got: {100 * got:.1f} % of them, which is {100 * facts.removed:.1f} % of all "
        f"{facts.dense.parameters:,} parameters."
    ]
    if facts.masked:
        rest = facts.dense.parameters - size
        if rest:
            said.append(
                f"{rest:,} parameters ({100 * rest / facts.dense.parameters:.1f} %) are outside these rows: "
                "biases, normalisation, and layers whose ratio is zero."
            )
        return said
    if facts.removed > got:
        said.append(
            "More parameters than units go, because a weight between two pruned layers shrinks on both "
            "sides: half of its inputs and half of its outputs leave a quarter of it."
        )
    elif facts.removed < got:
        said.append(
            "Fewer parameters than units go, because layers that no row reaches keep all of theirs, and rows "
            "differ in how many parameters a unit carries."
        )
    extra = [e for e in entries if e.kept - e.size * (1 - e.asked) >= 1]
    if facts.recipe.multiple_of > 1 and extra:
        more = sum(e.kept - round(e.size * (1 - e.asked)) for e in extra)
        said.append(
            f"Rounding kept counts up to multiples of {facts.recipe.multiple_of} kept {more:,} more units "
            f"than asked, in {len(extra)} row{'s' * (len(extra) > 1)}."
        )
    held = sum(kept_count(e.size, e.asked, 1, 0) == 0 for e in entries)
    if held:
        said.append(f"In {held} row{'s' * (held > 1)} one unit stays, though all were asked to go.")
    return said
