"""What the user has decided so far, and how to step back: frozen values and pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pruning.groups.choices import DEFAULT, Choices, Heads, Norms
from pruning.recipe import Granularity, Recipe, Rule, Scope

STEPS = 200  # undo steps kept; a draft is a few kilobytes


def usual_criterion(granularity: Granularity) -> str:
    """What ranks parts of a granularity as long as nobody chose."""
    return "influence" if granularity == "layer" else "l2"


@dataclass(frozen=True)
class Draft:
    """Every decision that one recipe needs.

    Args:
        granularity: "channel" (keys are group ids), "layer" (block ids) or a mask over weights (layer names).
        criterion: name in `pruning.CRITERIA`.
        scope: "layer" ranks within each key, "global" ranks all keys together.
        multiple_of: kept channel counts are rounded up to this multiple.
        seed: of the random criterion.
        ratios: key -> fraction asked to be removed, in (0, 1]; a key that is absent stays whole.
        locked: keys that presets and group moves leave alone.
        removed: key -> numbers of the units that were switched off by hand, ascending; their share is its
            ratio. Only for "channel".
        heads, norms: how the groups of "channel" are found, as `pruning.Choices` says.
    """

    granularity: Granularity = "channel"
    criterion: str = "l2"
    scope: Scope = "layer"
    multiple_of: int = 1
    seed: int = 0
    ratios: Mapping[str, float] = field(default_factory=dict)
    locked: frozenset[str] = frozenset()
    removed: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    heads: Heads = "whole"
    norms: Norms = "exact"

    @property
    def choices(self) -> Choices:
        """How groups are found; the default where none are pruned."""
        return Choices(self.heads, self.norms) if self.granularity == "channel" else DEFAULT

    def recipe(self, model: str | None = None) -> Recipe:
        """The recipe that these decisions make."""
        rules = {
            key: Rule(
                ratio=ratio,
                granularity=self.granularity,
                criterion=self.criterion,
                removed=self.removed.get(key, ()),
            )
            for key, ratio in self.ratios.items()
        }
        return Recipe(
            rules=rules,
            scope=self.scope,
            multiple_of=self.multiple_of,
            seed=self.seed,
            heads=self.choices.heads,
            norms=self.choices.norms,
            model=model,
        )


@dataclass(frozen=True)
class History:
    """The draft of this moment, those before it, and those that were undone.

    Args:
        now: what is shown and measured.
        past: earlier drafts, the latest last.
        future: undone drafts, the next to redo last.
        held: the draft before the gesture (a drag) that is under way, if one is.
    """

    now: Draft = field(default_factory=Draft)
    past: tuple[Draft, ...] = ()
    future: tuple[Draft, ...] = ()
    held: Draft | None = None


def clean(ratios: Mapping[str, float]) -> dict[str, float]:
    """Ratios clipped to [0, 1], without those that are zero or not a number."""
    clipped = {key: min(float(ratio), 1.0) for key, ratio in ratios.items()}
    return {key: ratio for key, ratio in clipped.items() if ratio > 0.0}


def with_ratios(draft: Draft, ratios: Mapping[str, float], before: Draft | None = None) -> Draft:
    """Other ratios; units stay switched off by hand where the ratio of their row is the same as before.

    Args:
        before: the draft before the gesture that is under way, if one is.
    """
    ratios, before = clean(ratios), before or draft
    held = {key: units for key, units in before.removed.items() if ratios.get(key) == before.ratios.get(key)}
    return replace(draft, ratios=ratios, removed=held)


def with_units(draft: Draft, units: Mapping[str, tuple[int, ...]], sizes: Mapping[str, int]) -> Draft:
    """These units switched off by hand, and no others of their rows.

    Args:
        units: key -> numbers of units; empty = the row stays whole.
        sizes: key -> units that the row has.
    """
    ratios = clean({**draft.ratios, **{key: len(gone) / sizes[key] for key, gone in units.items()}})
    removed = {key: gone for key, gone in {**draft.removed, **units}.items() if gone}
    return replace(draft, ratios=ratios, removed=removed)


def change(history: History, draft: Draft) -> History:
    """Take a step: the draft becomes the present, and what stood before the step can be had back."""
    before = history.held or history.now
    if draft == before:
        return replace(history, now=draft, held=None)
    return History(draft, (*history.past, before)[-STEPS:])


def hold(history: History, draft: Draft) -> History:
    """Show a draft while a gesture is under way; only `change` makes a step of it."""
    return replace(history, now=draft, held=history.held or history.now)


def undo(history: History) -> History:
    """Go one step back; a gesture under way is dropped and counts as that step."""
    if history.held:
        return replace(history, now=history.held, held=None)
    if not history.past:
        return history
    *past, before = history.past
    return History(before, tuple(past), (*history.future, history.now))


def redo(history: History) -> History:
    """Take back the last undo."""
    if history.held or not history.future:
        return history
    *future, after = history.future
    return History(after, (*history.past, history.now), tuple(future))
