"""How two recipes, and two ways to recover, differ: in words and as tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pruning.criteria import CRITERIA
from pruning.recipe import Recipe

if TYPE_CHECKING:
    from pruning.history import Run
    from pruning.recipe import Rule
    from pruning.recover.settings import Recovery

SAME = 5e-5  # ratios that lie this close are written alike
_NAMED = 3  # parts that a sentence names
_NONE = "none"
_GENERAL = {
    "scope": "scope",
    "multiple_of": "counts rounded up to a multiple of",
    "seed": "seed of the recipe",
    "heads": "attention heads",
    "norms": "channels that norms average over",
}


@dataclass(frozen=True)
class Pair:
    """One decision in two recipes or settings.

    Args:
        name: of the part that is pruned, or of the setting.
        first, second: what each says; "" if it says nothing.
    """

    name: str
    first: str
    second: str

    @property
    def same(self) -> bool:
        return self.first == self.second


def recipe_of(settings: str) -> Recipe | None:
    """The recipe in a run's settings: they are one, or they contain one; None if there is none."""
    try:
        found = json.loads(settings)
        if isinstance(found, dict) and isinstance(found.get("prune"), dict):
            found = found["prune"]  # of a compression
        found = found.get("recipe", found) if isinstance(found, dict) else None
        return Recipe.from_json(json.dumps(found)) if found and "rules" in found else None
    except ValueError:
        return None


def recovery_of(settings: str) -> Recovery | None:
    """The way to recover in a run's settings, None if there is none."""
    from pruning.recover.settings import Recovery

    try:
        return Recovery.from_json(settings)
    except ValueError:
        return None


def rule_pairs(first: Recipe, second: Recipe) -> list[Pair]:
    """Every part that one of two recipes prunes, in the order of the first."""
    keys = dict.fromkeys([*first.rules, *second.rules])
    return [Pair(key, _rule(first.rules.get(key)), _rule(second.rules.get(key))) for key in keys]


def setting_pairs(first: Recovery, second: Recovery) -> list[Pair]:
    """The settings besides the recipe in which two ways to recover differ; "none" is what is left out."""
    one, two = (_flat(side.model_dump(exclude={"recipe", "version"})) for side in (first, second))
    names = dict.fromkeys([*one, *two])
    pairs = [Pair(name, one.get(name, _NONE), two.get(name, _NONE)) for name in names]
    return [pair for pair in pairs if not pair.same]


def tuned_in_words(first: Recovery | None, second: Recovery | None) -> str:
    """Which of two runs was fine-tuned, if only one was, in a sentence; else ""."""
    if (first is None) == (second is None):
        return ""
    found, which = (first, "first") if first else (second, "second")
    assert found is not None
    return f"Only the {which} was fine-tuned: {found.pruning.schedule}, {found.epochs:,} epochs."


def in_words(first: Recipe, second: Recipe) -> list[str]:
    """How two recipes differ, in a few sentences; names of parts as they are, in quotation marks."""
    said = [*_ways(first, second), *_general(first, second), *_amounts(first, second)]
    return said or ["Both recipes are the same."]


def sources(runs: Sequence[Run]) -> list[str]:
    """The papers of the criteria that runs used: "L1 norm: Li et al. 2016, ..."."""
    names = dict.fromkeys(run.criterion for run in runs if run.criterion in CRITERIA)
    return [f"{CRITERIA[name].label}: {CRITERIA[name].source}" for name in names]


def criterion_label(name: str) -> str:
    """A criterion's name for reading."""
    return CRITERIA[name].label if name in CRITERIA else name


def _ways(first: Recipe, second: Recipe) -> list[str]:
    """What is pruned, and what ranks it."""
    said = []
    for what, say in (("granularity", "prunes by {}"), ("criterion", "ranks by {}")):
        sides = [sorted({_name(what, rule) for rule in one.rules.values()}) for one in (first, second)]
        if all(sides) and sides[0] != sides[1]:
            one, two = (say.format(" and ".join(side)) for side in sides)
            said.append(f"The first {one}, the second {two}.")
    return said


def _general(first: Recipe, second: Recipe) -> list[str]:
    said = []
    for field, label in _GENERAL.items():
        one, two = getattr(first, field), getattr(second, field)
        if one != two:
            said.append(f"{label[0].upper()}{label[1:]}: {one} in the first, {two} in the second.")
    return said


def _amounts(first: Recipe, second: Recipe) -> list[str]:
    """Which parts are pruned by one only, or further by one."""
    said = []
    one, two = first.rules, second.rules
    for whose, names in (
        ("first", [key for key in one if key not in two]),
        ("second", [key for key in two if key not in one]),
    ):
        if names:
            said.append(f"Only the {whose} prunes {_listed(names)}.")
    change = {key: two[key].ratio - one[key].ratio for key in one if key in two}
    moved = sorted((key for key in change if abs(change[key]) > SAME), key=lambda key: -abs(change[key]))
    if moved:
        more = sum(change[key] > 0 for key in moved)
        counts = ((more, "further"), (len(moved) - more, "less far"), (len(change) - len(moved), "as far"))
        told = ", ".join(f"{count:,} {how}" for count, how in counts if count)
        said.append(f"Of {_parts(len(change))} that both prune, the second cuts {told}.")
        named = ", ".join(
            f"“{key}” {_percent(one[key].ratio)} against {_percent(two[key].ratio)}" for key in moved[:_NAMED]
        )
        said.append(f"{'The largest difference' if len(moved) == 1 else 'The largest differences'}: {named}.")
    hands = [key for key in change if one[key].removed != two[key].removed]
    if hands:
        said.append(f"Other units are switched off by hand in {_listed(hands)}.")
    return said


def _rule(rule: Rule | None) -> str:
    if rule is None:
        return ""
    hand = f", {len(rule.removed):,} by hand" if rule.removed else ""
    return f"{_percent(rule.ratio)} {_name('granularity', rule)}, {criterion_label(rule.criterion)}{hand}"


def _name(what: str, rule: Rule) -> str:
    return criterion_label(rule.criterion) if what == "criterion" else rule.granularity


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.4g} %"


def _parts(count: int) -> str:
    return f"{count:,} part{'s' * (count != 1)}"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"“{name}”" for name in names[:_NAMED])
    return shown + (f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")


def _flat(given: dict[str, Any], before: str = "") -> dict[str, str]:
    """Nested settings as words -> text, without what is None: "fit: lr schedule" -> "cosine"."""
    found: dict[str, str] = {}
    for name, value in given.items():
        path = f"{before}{name.replace('_', ' ')}"
        if isinstance(value, dict) and value:
            found |= _flat(value, f"{path}: ")
        elif value is not None:
            found[path] = _text(value)
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if isinstance(value, str | int) else ", ".join(map(str, value)) or _NONE
