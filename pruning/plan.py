"""From a recipe and scores to exact counts: which units and single weights stay. No tensor is changed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from pruning.blocks import Block, BlockStructure, find_blocks
from pruning.by_hand import keep_by_hand, note_by_hand
from pruning.counts import kept_count, rounded_up
from pruning.criteria import CRITERIA, across_groups
from pruning.groups import Grade, Group, Structure, find_structure
from pruning.known_scores import KnownScores, weight_name
from pruning.layers import WEIGHTED, inside
from pruning.masks import keep_by_rank
from pruning.recipe import Granularity, Recipe, Rule
from pruning.sparsity import Cut, LayerScores, Sparsity, kept_together, masks_weights, parse

if TYPE_CHECKING:
    from pruning.tasks import Task

__all__ = ["Plan", "PlanEntry", "kept_count", "make_plan", "multiple_for", "rounded_up"]


T = TypeVar("T")


@dataclass(frozen=True)
class PlanEntry:
    """What a plan does to one key of its recipe.

    Args:
        key: group id, block id or layer name.
        granularity: "channel", "layer", or one of `pruning.sparsity` ("weight", "n:4", ...).
        criterion: what ranked the entries.
        asked: the ratio of the rule.
        size: units of the group, or single weights of the layer that are left when the plan's channels are
            removed; 1 for a block.
        kept: of these.
        note: in words, when rounding, a minimum or the granularity changed what was asked, or when units
            go by hand; else "".
        gone_with: id of the dropped block that all of a group or layer lies in; else "". Its rule is moot.
    """

    key: str
    granularity: Granularity
    criterion: str
    asked: float
    size: int
    kept: int
    note: str = ""
    gone_with: str = ""

    @property
    def spelled(self) -> str:
        """The granularity as it is usually written: "2:4" for "n:4" at a ratio that keeps 2."""
        return (
            parse(self.granularity).spell(self.asked) if masks_weights(self.granularity) else self.granularity
        )


@dataclass(frozen=True, eq=False)
class Plan:
    """Exactly what stays.

    Args:
        keep: key of the recipe -> bool, True = keep: (size,) for a group, (1,) for a block, the shape of its
            dense weight for a layer (False too where the plan's channels take the weight away).
        entries: one for each key, in the recipe's order.
        structure: of the network that the plan is for.
        model: name of its architecture, if known.
        blocks: those that are dropped, in the order of the forward pass.
    """

    keep: Mapping[str, Tensor]
    entries: tuple[PlanEntry, ...]
    structure: Structure
    model: str | None = None
    blocks: tuple[Block, ...] = ()

    @property
    def grade(self) -> Grade:
        """How the smaller network relates to the masked one, see `Group.grade`."""
        groups = (self.structure.group(key) for key, keep in self.channels.items() if not bool(keep.all()))
        return "statistics" if any(group.grade == "statistics" for group in groups) else "exact"

    @cached_property
    def channels(self) -> dict[str, Tensor]:
        """Group id -> (size,) bool; without groups that go with a dropped block."""
        return {
            entry.key: self.keep[entry.key]
            for entry in self.entries
            if entry.granularity == "channel" and not entry.gone_with
        }

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """Layer name -> bool of its dense weight's shape; without layers that go with a dropped block."""
        return {
            entry.key: self.keep[entry.key]
            for entry in self.entries
            if masks_weights(entry.granularity) and not entry.gone_with
        }


def multiple_for(group: Group, multiple_of: int) -> int:
    """The multiple that the units of a group are rounded to: heads are blocks of channels already."""
    return 1 if group.kind == "head" else multiple_of


def make_plan(
    module: nn.Module,
    recipe: Recipe,
    *,
    example_inputs: Sequence[Any],
    task: Task | None = None,
    structure: Structure | None = None,
    scores: Mapping[str, Tensor] | None = None,
    blocks: BlockStructure | None = None,
) -> Plan:
    """Count exactly what a recipe keeps, and rank what that is.

    Whole layers are switches: those of ratio 1 are dropped, whatever their scores. Rules for what lies wholly
    inside them are moot, and their notes say so. Of the rest, channels come first. A rule that masks weights
    (see `pruning.sparsity`) then counts those weights of its layer that are left: at ratio 0.5 half of the
    weights of the smaller network are zero, whatever the channel rules took.

    Scope "layer" ranks within each key and keeps exactly what its ratio asks. Scope "global" adds up what the
    ratios of one granularity and criterion ask to remove, and removes that many of the lowest scores over all
    of their keys together. Scores of groups are first made comparable by `criteria.across_groups`, because
    filters of another fan-in have norms on another scale; scores of single weights are compared as they are
    (Han et al. 2015, arXiv:1506.02626; LAMP brings its own normalisation, Lee et al. 2020, arXiv:2010.07611),
    and blocks by their means. N:M and kernel patterns are ranked within each layer in both scopes, and their
    notes say so. Every group keeps its minimum. Where a rule removes units by hand, these go and no
    others.

    Args:
        module: the network, never changed.
        recipe: keys are group ids for "channel", block ids for "layer", names of convolutions and linear
            layers for masks.
        example_inputs: positional arguments of its forward.
        task: for criteria that need calibration data.
        structure: of this network, if already found; else by the recipe's choices.
        scores: if already known: group id -> (size,), parameter name -> shape of the weight; higher = keep.
            What is missing is computed.
        blocks: of this network, if already found; needed only for "layer".
    Raises:
        ValueError: an unknown key, a granularity that its key does not have, a criterion that is unknown or
            needs data that was not given, scores of the wrong shape, or units removed by hand that the group
            does not have or cannot spare.
    """
    structure = structure or find_structure(module, example_inputs, recipe.choices)
    channel = {key: rule for key, rule in recipe.rules.items() if rule.granularity == "channel"}
    weight = {key: rule for key, rule in recipe.rules.items() if masks_weights(rule.granularity)}
    groups = {key: _group(structure, key) for key in channel}
    weights = {key: _layer(module, structure, key, rule.granularity) for key, rule in weight.items()}
    known = KnownScores(module, recipe, tuple(example_inputs), task, structure, scores or {})

    keep: dict[str, Tensor] = {}
    entries: dict[str, PlanEntry] = {}
    dropped: tuple[Block, ...] = ()
    if switches := {key: rule for key, rule in recipe.rules.items() if rule.granularity == "layer"}:
        blocks = blocks or find_blocks(module, example_inputs, structure)
        dropped = _plan_blocks(switches, blocks, keep, entries)
        _set_moot(dropped, groups, weights, recipe, keep, entries)
        channel, groups = _without(channel, keep), _without(groups, keep)
        weight, weights = _without(weight, keep), _without(weights, keep)
    _plan_by_hand(groups, channel, recipe, keep, entries)
    channel, groups = _without(channel, keep), _without(groups, keep)
    units = {key: known.of_group(group, channel[key].criterion) for key, group in groups.items()}
    for keys in _pools(channel, recipe):
        _plan_units(keys, groups, channel, units, recipe, keep, entries)
    cuts = _cuts(module, weights, weight, known, structure, keep)
    for keys in _pools(weight, recipe):
        _plan_weights(keys, weight, cuts, recipe, keep, entries)
    ordered = tuple(entries[key] for key in recipe.rules)
    model = getattr(module, "architecture", None) or recipe.model
    return Plan({entry.key: keep[entry.key] for entry in ordered}, ordered, structure, model, dropped)


def _pools(rules: Mapping[str, Rule], recipe: Recipe) -> Iterable[list[str]]:
    """Keys that are ranked together."""
    if recipe.scope == "layer":
        return [[key] for key in rules]
    pools: dict[tuple[str, ...], list[str]] = {}
    for key, rule in rules.items():
        alone = masks_weights(rule.granularity) and parse(rule.granularity).alone
        pools.setdefault((rule.granularity, rule.criterion, key if alone else ""), []).append(key)
    return pools.values()


def _plan_blocks(
    rules: Mapping[str, Rule], blocks: BlockStructure, keep: dict[str, Tensor], entries: dict[str, PlanEntry]
) -> tuple[Block, ...]:
    """The blocks that are dropped."""
    dropped = []
    for key, rule in rules.items():
        block, kept = blocks.block(key), int(not rule.ratio)
        if "layer" not in CRITERIA[rule.criterion].granularities:
            raise ValueError(f"The criterion {rule.criterion!r} cannot score a whole layer; choose another.")
        if not kept:
            dropped.append(block)
        keep[key] = torch.tensor([bool(kept)])
        entries[key] = PlanEntry(key, "layer", rule.criterion, rule.ratio, 1, kept)
    return tuple(sorted(dropped, key=lambda block: block.order))


def _without(part: Mapping[str, T], keys: Mapping[str, object]) -> dict[str, T]:
    return {key: value for key, value in part.items() if key not in keys}


def _set_moot(
    dropped: Sequence[Block],
    groups: Mapping[str, Group],
    layers: Mapping[str, nn.Module],
    recipe: Recipe,
    keep: dict[str, Tensor],
    entries: dict[str, PlanEntry],
) -> None:
    """Plan nothing for groups and layers that lie wholly in blocks that are dropped."""
    places = {key: [member.parameter for member in group.members] for key, group in groups.items()}
    places |= {key: [weight_name(key)] for key in layers}
    ids = [block.id for block in dropped]
    for key, parameters in places.items():
        if all(inside(name, ids) for name in parameters):
            block = next(one for one in ids if inside(parameters[0], [one]))
            shape = (groups[key].size,) if key in groups else _shape(layers[key])
            keep[key] = torch.zeros(shape, dtype=torch.bool)
            rule, size = recipe.rules[key], keep[key].numel()
            note = f"moot: it goes with the dropped layer {block}"
            entries[key] = PlanEntry(key, rule.granularity, rule.criterion, rule.ratio, size, 0, note, block)


def _plan_by_hand(
    groups: Mapping[str, Group],
    rules: Mapping[str, Rule],
    recipe: Recipe,
    keep: dict[str, Tensor],
    entries: dict[str, PlanEntry],
) -> None:
    """Remove the units that rules name."""
    for key, rule in rules.items():
        if rule.removed:
            group, keep[key] = groups[key], keep_by_hand(groups[key], rule)
            kept = group.size - len(rule.removed)
            note = note_by_hand(rule.removed, kept, multiple_for(group, recipe.multiple_of))
            entries[key] = PlanEntry(key, "channel", rule.criterion, rule.ratio, group.size, kept, note)


def _plan_units(
    keys: list[str],
    groups: Mapping[str, Group],
    rules: Mapping[str, Rule],
    scores: Mapping[str, Tensor],
    recipe: Recipe,
    keep: dict[str, Tensor],
    entries: dict[str, PlanEntry],
) -> None:
    counts = {key: kept_count(groups[key].size, rules[key].ratio, 1, 0) for key in keys}
    if len(keys) > 1:
        compared = across_groups({key: scores[key] for key in keys}, rules[keys[0]].criterion)
        protected = {key: _protected(compared[key], groups[key].minimum) for key in keys}
        counts = _shared(protected, sum(counts.values()))
    for key in keys:
        group, rule = groups[key], rules[key]
        multiple = multiple_for(group, recipe.multiple_of)
        kept = rounded_up(counts[key], group.size, multiple, group.minimum)
        keep[key] = keep_by_rank(scores[key], kept)
        note = _note(counts[key], kept, group, multiple, len(keys))
        entries[key] = PlanEntry(key, "channel", rule.criterion, rule.ratio, group.size, kept, note)


def _cuts(
    module: nn.Module,
    layers: Mapping[str, nn.Module],
    rules: Mapping[str, Rule],
    known: KnownScores,
    structure: Structure,
    keep: Mapping[str, Tensor],
) -> dict[str, Cut]:
    """Layer -> how its rule's granularity cuts what the plan's channels leave of it."""
    cutters = {name: parse(name).prepare(module) for name in {rule.granularity for rule in rules.values()}}
    cuts = {}
    for key, layer in layers.items():
        weight = layer.weight
        assert isinstance(weight, Tensor)
        scores = known.of_weight(key, weight, rules[key].criterion)
        cuts[key] = cutters[rules[key].granularity](
            LayerScores(layer, scores, _left(structure, keep, key, weight))
        )
    return cuts


def _plan_weights(
    keys: list[str],
    rules: Mapping[str, Rule],
    cuts: Mapping[str, Cut],
    recipe: Recipe,
    keep: dict[str, Tensor],
    entries: dict[str, PlanEntry],
) -> None:
    counts = {key: cuts[key].kept(rules[key].ratio) for key in keys}
    if len(keys) > 1:
        asked = sum(kept_count(cuts[key].size, rules[key].ratio, 1, 0) for key in keys)
        parts = {key: part for key in keys if (part := cuts[key].parts) is not None}
        counts = kept_together(parts, asked)
    for key in keys:
        rule, cut, kept = rules[key], cuts[key], counts[key]
        keep[key] = cut.mask(kept)
        said = [_together(len(keys))] if len(keys) > 1 else []
        said += _unmet(parse(rule.granularity), rule.ratio, cut.size, kept, recipe, len(keys))
        note = "; ".join(said)
        entries[key] = PlanEntry(key, rule.granularity, rule.criterion, rule.ratio, cut.size, kept, note)


def _unmet(
    sparsity: Sparsity, asked: float, size: int, kept: int, recipe: Recipe, together: int
) -> list[str]:
    """Why a layer did not get what was asked for it alone."""
    said = [sparsity.alone] if sparsity.alone and recipe.scope == "global" else []
    got = 1 - kept / size if size else asked
    if together == 1 and sparsity.because and f"{asked:.1%}" != f"{got:.1%}":
        said.append(f"asked {100 * asked:.1f} %, got {100 * got:.1f} %, because {sparsity.because}")
    return said


def _shared(scores: Mapping[str, Tensor], kept: int) -> dict[str, int]:
    """How many each key keeps when `kept` are kept of all of them together."""
    ranked = keep_by_rank(torch.cat([values.flatten() for values in scores.values()]), kept)
    sizes = [values.numel() for values in scores.values()]
    return {key: int(part.sum()) for key, part in zip(scores, ranked.split(sizes), strict=True)}


def _protected(scores: Tensor, minimum: int) -> Tensor:
    """The scores with the best `minimum` of them raised above all others."""
    return scores.masked_fill(keep_by_rank(scores, min(minimum, len(scores))), math.inf)


def _note(wanted: int, kept: int, group: Group, multiple: int, together: int) -> str:
    parts = [_together(together)] if together > 1 else []
    if kept > wanted and wanted < group.minimum and kept == group.minimum:
        parts.append(f"at least {group.minimum} must stay")
    elif kept > wanted:
        parts.append(f"kept {kept} instead of {wanted}, rounded up to a multiple of {multiple}")
    return "; ".join(parts)


def _together(count: int) -> str:
    return f"ranked together with {count - 1} other{'s' if count > 2 else ''}" if count > 1 else ""


def _group(structure: Structure, key: str) -> Group:
    """The group of a "channel" rule, or a sentence on what the key is instead."""
    if key in structure.by_id:
        return structure.by_id[key]
    holder = next((g for g in structure.groups if key in g.producers), None)
    if holder is not None:
        raise ValueError(
            f"The channels of {key!r} belong to the group {holder.id!r}; use that id as the key."
        )
    held = next((f for f in structure.fixed if f.parameter.rpartition(".")[0] == key and f.dim == 0), None)
    if held is not None:
        raise ValueError(f"The channels of {key!r} cannot be removed: {held.reason}.")
    raise ValueError(f"The recipe names {key!r}, but this network's groups are {structure.listing}.")


def _layer(module: nn.Module, structure: Structure, key: str, granularity: str) -> nn.Module:
    """The layer of a rule for weights, or a sentence on why it has none."""
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, WEIGHTED)}
    if key not in layers:
        what = (
            "is a group" if key in structure.by_id else "names no convolution or linear layer of this network"
        )
        raise ValueError(f"{key!r} {what}; granularity {granularity!r} needs the name of such a layer.")
    if weight_name(key) not in structure.shapes:
        raise ValueError(f"The weight of {key!r} is shared with another layer; use that layer's name.")
    if why := parse(granularity).misfit(layers[key]):
        raise ValueError(f"{key!r} cannot be pruned by {granularity!r}: {why}; choose another granularity.")
    return layers[key]


def _shape(layer: nn.Module) -> tuple[int, ...]:
    assert isinstance(layer.weight, Tensor)
    return tuple(layer.weight.shape)


def _left(structure: Structure, keep: Mapping[str, Tensor], layer: str, weight: Tensor) -> Tensor:
    """Which weights of a layer are left when the channels are removed, bool of the weight's shape."""
    left = torch.ones(weight.shape, dtype=torch.bool)
    for group in structure.groups:
        if group.id in keep:
            for member in group.members:
                if member.parameter == weight_name(layer):
                    left.index_fill_(member.dim, member.index[~keep[group.id]].flatten(), False)
    return left
