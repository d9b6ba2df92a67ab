"""Decisions out of an address or a recipe, held against the network that they are for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pruning import Group, Recipe
from pruning.by_hand import keep_by_hand
from pruning.sparsity import scored_as
from ui import address, cache, draft
from ui.draft import Draft


def opened(found: address.Address, now: Draft, model_id: str) -> Draft | None:
    """The draft with the ratios, locks and units of an address; None if these do not fit the network."""
    keys = cache.keys(model_id, now.granularity, now.choices)
    opened = address.unpack(found.packed, keys)
    units = address.unpack_units(found.units, keys) if now.granularity == "channel" else {}
    if opened is None or units is None:
        return None
    now = replace(now, ratios=opened[0], locked=opened[1])
    groups = cache.structure(model_id, now.choices).by_id if units else {}
    if not all(spares(groups[key], gone) for key, gone in units.items()):
        return None
    return draft.with_units(now, units, {key: groups[key].size for key in units})


def spares(group: Group, gone: tuple[int, ...]) -> bool:
    """Whether a group has these units and can do without them."""
    return not gone or (gone[-1] < group.size and group.size - len(gone) >= group.minimum)


def decisions(recipe: Recipe, model_id: str) -> dict[str, Any]:
    """A recipe as the decisions that make it."""
    ways = {(rule.granularity, rule.criterion) for rule in recipe.rules.values()}
    if len(ways) > 1:
        raise ValueError("The recipe mixes granularities or criteria; this page edits one of each at a time.")
    granularity, criterion = ways.pop() if ways else (Draft().granularity, Draft().criterion)
    if not cache.criterion_fits(criterion, granularity):
        part = scored_as(granularity)
        raise ValueError(f"The recipe's criterion {criterion[:80]!r} is unknown, or cannot rank a {part}.")
    unknown = set(recipe.rules) - set(cache.keys(model_id, granularity, recipe.choices))
    if unknown:
        raise ValueError(f"The recipe names {min(unknown)[:80]!r}, which this network does not have.")
    removed = {key: rule.removed for key, rule in recipe.rules.items() if rule.removed}
    for key in removed:
        keep_by_hand(cache.structure(model_id, recipe.choices).group(key), recipe.rules[key])
    return {
        "granularity": granularity,
        "criterion": criterion,
        "scope": recipe.scope,
        "multiple_of": recipe.multiple_of,
        "seed": recipe.seed,
        "heads": recipe.heads,
        "norms": recipe.norms,
        "ratios": draft.clean({key: rule.ratio for key, rule in recipe.rules.items()}),
        "removed": removed,
    }
