"""What was asked and what came of it, in words: why a share of units is another share of parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from pruning.counts import kept_count

if TYPE_CHECKING:
    from pruning.cost import Cost, CostModel, Shrinking
    from pruning.groups import Structure
    from pruning.plan import Plan, PlanEntry

NEAR = 0.01  # shares that lie this close are told as the same
SMALL = 0.0005  # shares below this are left out of a sentence


@dataclass(frozen=True)
class Outcome:
    """What a plan makes of what was asked.

    Args:
        rows: keys that have a ratio above 0; those that go with a dropped block are not counted.
        size: units, weights or blocks of all of these.
        unit: what they are: "units", "weights" or "layers".
        asked: share of them asked to go: the ratios, weighted by size.
        got: share of them that goes.
        parameters, macs: share of the whole network's that goes; weights that are zero count as gone.
        reasons: why these differ, a clause each, with their numbers; what weighs most comes first.
    """

    rows: int
    size: int
    unit: str
    asked: float
    got: float
    parameters: float
    macs: float
    reasons: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether a share that was got is not, within about a point, the share that was asked.

        Whole layers are a number, and no share of anything."""
        return self.unit != "layers" and any(
            abs(self.asked - got) > NEAR for got in (self.got, self.parameters, self.macs)
        )

    @property
    def sentence(self) -> str:
        """All of it in one sentence; names in it may come from a file."""
        if self.unit == "layers":
            layers = f"{self.size} layer{'s' * (self.size != 1)}"
            return (
                f"Dropped {layers}: {_share(self.parameters)} of all parameters "
                f"and {_share(self.macs)} of the MACs are gone."
            )
        said = f"Asked {_share(self.asked)} of {self.size:,} {self.unit} in {_rows(self.rows)}, got "
        if abs(self.asked - self.got) > SMALL:
            said += f"{_share(self.got)} of them, "
        said += f"{_share(self.parameters)} of all parameters and {_share(self.macs)} of the MACs"
        because = ", because " + "; ".join(self.reasons) if self.differs and self.reasons else ""
        return f"{said}{because}."


def outcome(plan: Plan, costs: CostModel) -> Outcome | None:
    """Compare what the ratios ask with what the plan takes.

    Args:
        plan: of rules of one granularity; of several, the largest units are told: layers, then channels.
        costs: of the same network.
    Returns:
        None if nothing is asked.
    """
    asked = [entry for entry in plan.entries if entry.asked > 0 and not entry.gone_with]
    kinds = {"layer": "layers", "channel": "units"}
    kind = next((kind for kind in kinds if any(entry.granularity == kind for entry in asked)), "")
    entries = [entry for entry in asked if kind in ("", entry.granularity)]
    if not entries:
        return None
    size = sum(entry.size for entry in entries)
    kept = {entry.key: entry.kept for entry in entries if entry.granularity == "channel"}
    dropped = [block.id for block in plan.blocks]
    cost, dense = costs.of_plan(plan), costs.dense
    reasons: list[str] = []
    if kind == "channel":
        reasons = [*_counts(plan, entries), *_dimensions(plan, costs, kept, dropped)]
    elif kind != "layer":
        reasons = [*_possible(entries), *_outside(entries, cost, dense)]
    return Outcome(
        rows=len(entries),
        size=size,
        unit=kinds.get(kind, "weights"),
        asked=sum(entry.asked * entry.size for entry in entries) / size,
        got=1 - sum(entry.kept for entry in entries) / size,
        parameters=1 - cost.nonzero / dense.parameters,
        macs=1 - cost.macs / dense.macs if dense.macs else 0.0,
        reasons=tuple(reasons),
    )


def _counts(plan: Plan, entries: Sequence[PlanEntry]) -> list[str]:
    """Why another number of units goes than was asked."""
    size = sum(entry.size for entry in entries)
    wanted = {entry.key: kept_count(entry.size, entry.asked, 1, 0) for entry in entries}
    together = any("ranked together" in entry.note for entry in entries)
    exact = sum(entry.size * (1 - entry.asked) for entry in entries)
    said = []
    if abs(sum(wanted.values()) - exact) / size > SMALL:
        change = sum(wanted.values()) - exact
        said.append(
            f"whole units keep {abs(change):.1f} {'more' if change > 0 else 'fewer'} than the ratios say"
        )
    least = {entry.key: plan.structure.group(entry.key).minimum for entry in entries}
    if together:
        more = sum(entry.kept for entry in entries) - sum(wanted.values())
        return [*said, f"multiples and minima keep {_units(more)} more"] if more else said
    held = [entry for entry in entries if wanted[entry.key] < least[entry.key]]
    more = sum(least[entry.key] - wanted[entry.key] for entry in held)
    if more:
        said.append(f"at least {_units(least[held[0].key])} must stay in {_rows(len(held))}")
    raised = [entry.kept - max(wanted[entry.key], least[entry.key]) for entry in entries]
    if any(raised):
        said.append(f"multiples keep {_units(sum(raised))} more in {_rows(sum(map(bool, raised)))}")
    return said


def _dimensions(plan: Plan, costs: CostModel, kept: Mapping[str, int], dropped: Sequence[str]) -> list[str]:
    """How parameters and MACs fall with the units: along no dimension, along one, along two."""
    parameters, macs = costs.shrinking(kept, dropped)
    work = {part.dimensions: part for part in macs}
    whole = sum(part.before for part in parameters), max(1, sum(part.before for part in macs))
    said = []
    for part in sorted(parameters, key=lambda part: -part.before):
        share = part.before / whole[0]
        other = work.get(part.dimensions)
        if share < SMALL or part.dimensions is None:
            continue
        of = f"{_share(share)} of the parameters"
        if other is not None:
            of += f" ({_share(other.before / whole[1])} of the MACs)"
        said.append(of + _falls(part) + _because(plan.structure, costs.trainable, kept, part.dimensions))
    return said


def _falls(part: Shrinking) -> str:
    fall = 1 - part.after / part.before
    if not part.dimensions:
        return " follow no pruned row"
    if part.dimensions == 1:
        return f" follow one pruned row and fall by {_share(fall)}"
    return f" lie between pruned rows, shrink on both sides and fall by {_share(fall)}"


def _because(
    structure: Structure, trainable: frozenset[str], kept: Mapping[str, int], dimensions: int | None
) -> str:
    """What holds the dimensions that stay, of the parameters of which so many get shorter."""
    pruned: dict[str, set[int]] = {}
    whole: dict[str, set[int]] = {}
    for group in structure.groups:
        for member in group.members:
            into = pruned if kept.get(group.id, group.size) < group.size else whole
            into.setdefault(member.parameter, set()).add(member.dim)
    reasons = {(fixed.parameter, fixed.dim): fixed.reason for fixed in structure.fixed}
    held: Counter[str] = Counter()
    example: dict[str, str] = {}
    for name in sorted(trainable & structure.shapes.keys()):
        shape, moving = structure.shapes[name], pruned.get(name, set())
        if len(moving) != dimensions:
            continue
        count = prod(shape)
        stays = [dim for dim in range(len(shape)) if dim not in moving]
        if any(dim in whole.get(name, ()) for dim in stays):
            held["rows that keep all their units"] += count
        elif reason := next((reasons[name, dim] for dim in stays if (name, dim) in reasons), ""):
            held[reason] += count
            example.setdefault(reason, name)
    if not held or dimensions is None or dimensions > 1:
        return ""
    reason = held.most_common(1)[0][0]
    return f" (such as `{example[reason]}`: {reason})" if reason in example else f" ({reason})"


def _possible(entries: Sequence[PlanEntry]) -> list[str]:
    """Where a granularity allows only some counts."""
    more = sum(entry.kept - kept_count(entry.size, entry.asked, 1, 0) for entry in entries)
    if not more:
        return []
    named = ", ".join(sorted({entry.spelled for entry in entries}))
    return [f"{named} allows only some counts, which keeps {abs(more):,} {'more' if more > 0 else 'fewer'}"]


def _outside(entries: Sequence[PlanEntry], cost: Cost, dense: Cost) -> list[str]:
    """Parameters that no mask reaches, and MACs, which zeros do not save."""
    rest = cost.parameters - sum(entry.size for entry in entries)
    said = []
    if rest > 0:
        said.append(
            f"{_share(rest / dense.parameters)} of the parameters are outside these rows (biases, norms and "
            "layers without a ratio)"
        )
    if cost.macs == dense.macs:
        said.append("zeros in place are still multiplied")
    return said


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _units(count: int) -> str:
    return f"{count:,} unit{'s' * (count != 1)}"


def _rows(count: int) -> str:
    return f"{count} row{'s' * (count != 1)}"
