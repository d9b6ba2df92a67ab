"""From a recipe and scores to exact counts: which units and single weights stay. No tensor is changed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pruning.criteria import across_groups
from pruning.groups import Group, Structure, find_structure
from pruning.layers import WEIGHTED, find_layers
from pruning.masks import keep_by_rank
from pruning.recipe import Granularity, Recipe, Rule

if TYPE_CHECKING:
    from pruning.statistics import Statistics
    from pruning.tasks import Task

_NEARLY = 1e-9  # 0.7 * 10 is 6.999999999999999 in floating point


@dataclass(frozen=True)
class PlanEntry:
    """What a plan does to one key of its recipe.

    Args:
        key: group id or layer name.
        granularity: "channel" or "weight".
        criterion: what ranked the entries.
        asked: the ratio of the rule.
        size: units of the group, or single weights of the layer that are left when the plan's channels are
            removed.
        kept: of these.
        note: in words, when rounding or a minimum changed what was asked; else "".
    """

    key: str
    granularity: Granularity
    criterion: str
    asked: float
    size: int
    kept: int
    note: str = ""


@dataclass(frozen=True, eq=False)
class Plan:
    """Exactly what stays.

    Args:
        keep: key of the recipe -> bool, True = keep: (size,) for a group, the shape of its dense weight for a
            layer (False too where the plan's channels take the weight away).
        entries: one for each key, in the recipe's order.
        structure: of the network that the plan is for.
        model: name of its architecture, if known.
    """

    keep: Mapping[str, Tensor]
    entries: tuple[PlanEntry, ...]
    structure: Structure
    model: str | None = None

    @cached_property
    def channels(self) -> dict[str, Tensor]:
        """Group id -> (size,) bool."""
        return {entry.key: self.keep[entry.key] for entry in self.entries if entry.granularity == "channel"}

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """Layer name -> bool of the shape of its dense weight."""
        return {entry.key: self.keep[entry.key] for entry in self.entries if entry.granularity == "weight"}


def kept_count(size: int, ratio: float, multiple_of: int = 1, minimum: int = 1) -> int:
    """How many of `size` entries stay when `ratio` of them is asked to go.

    The count that goes is rounded to the nearest integer, a half in favour of keeping. What stays is then
    raised to `minimum`, and up to a multiple of `multiple_of`, but never above `size`.

    Args:
        size: entries there are, at least 0.
        ratio: fraction to remove, in [0, 1].
        multiple_of: 1 = no rounding.
        minimum: entries that always stay, where there are as many.
    Raises:
        ValueError: if an argument is out of its range.
    """
    if size < 0 or minimum < 0 or multiple_of < 1 or not 0 <= ratio <= 1:
        raise ValueError(
            f"Cannot count what stays of {size} at ratio {ratio} (multiple of {multiple_of}, at least "
            f"{minimum}): the ratio must lie in 0..1, the multiple be at least 1, the others at least 0."
        )
    return rounded_up(size - math.ceil(size * ratio - 0.5 - _NEARLY), size, multiple_of, minimum)


def rounded_up(kept: int, size: int, multiple_of: int = 1, minimum: int = 1) -> int:
    """`kept` raised to the minimum and up to a multiple, never above `size`."""
    return min(-(-max(kept, minimum) // multiple_of) * multiple_of, size)


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
) -> Plan:
    """Count exactly what a recipe keeps, and rank what that is.

    Channels come first. A rule for single weights then counts those weights of its layer that are left: at
    ratio 0.5 half of the weights of the smaller network are zero, whatever the channel rules took.

    Scope "layer" ranks within each key and keeps exactly what its ratio asks. Scope "global" adds up what the
    ratios of one granularity and criterion ask to remove, and removes that many of the lowest scores over all
    of their keys together. Scores of groups are first made comparable by `criteria.across_groups`, because
    filters of another fan-in have norms on another scale; scores of single weights are compared as they are
    (Han et al. 2015, arXiv:1506.02626; LAMP brings its own normalisation, Lee et al. 2020, arXiv:2010.07611).
    Every group keeps its minimum.

    Args:
        module: the network, never changed.
        recipe: keys are group ids for "channel", names of convolutions and linear layers for "weight".
        example_inputs: positional arguments of its forward.
        task: for criteria that need calibration data.
        structure: of this network, if already found.
        scores: if already known: group id -> (size,), parameter name -> shape of the weight; higher = keep.
            What is missing is computed.
    Raises:
        ValueError: an unknown key, a granularity that its key does not have, a criterion that is unknown or
            needs data that was not given, or scores of the wrong shape.
    """
    structure = structure or find_structure(module, example_inputs)
    channel = {key: rule for key, rule in recipe.rules.items() if rule.granularity == "channel"}
    weight = {key: rule for key, rule in recipe.rules.items() if rule.granularity == "weight"}
    groups = {key: _group(structure, key) for key in channel}
    weights = {key: _weight(module, structure, key) for key in weight}
    known = _Scores(module, recipe, tuple(example_inputs), task, structure, scores or {})

    keep: dict[str, Tensor] = {}
    entries: dict[str, PlanEntry] = {}
    units = {key: known.of_group(group, channel[key].criterion) for key, group in groups.items()}
    for keys in _pools(channel, recipe):
        _plan_units(keys, groups, channel, units, recipe, keep, entries)
    left = {key: _left(structure, keep, key, weights[key]) for key in weight}
    singles = {key: known.of_weight(key, weights[key], rule.criterion) for key, rule in weight.items()}
    for keys in _pools(weight, recipe):
        _plan_weights(keys, weight, singles, left, recipe, keep, entries)
    ordered = tuple(entries[key] for key in recipe.rules)
    model = getattr(module, "architecture", None) or recipe.model
    return Plan({entry.key: keep[entry.key] for entry in ordered}, ordered, structure, model)


def _pools(rules: Mapping[str, Rule], recipe: Recipe) -> Iterable[list[str]]:
    """Keys that are ranked together."""
    if recipe.scope == "layer":
        return [[key] for key in rules]
    pools: dict[str, list[str]] = {}
    for key, rule in rules.items():
        pools.setdefault(rule.criterion, []).append(key)
    return pools.values()


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


def _plan_weights(
    keys: list[str],
    rules: Mapping[str, Rule],
    scores: Mapping[str, Tensor],
    left: Mapping[str, Tensor],
    recipe: Recipe,
    keep: dict[str, Tensor],
    entries: dict[str, PlanEntry],
) -> None:
    sizes = {key: int(left[key].sum()) for key in keys}
    remaining = {key: scores[key][left[key]] for key in keys}
    counts = {key: kept_count(sizes[key], rules[key].ratio, 1, 0) for key in keys}
    if len(keys) > 1:
        counts = _shared(remaining, sum(counts.values()))
    for key in keys:
        mask = torch.zeros_like(left[key])
        mask[left[key]] = keep_by_rank(remaining[key], counts[key])
        keep[key] = mask
        note = _together(len(keys))
        rule = rules[key]
        entries[key] = PlanEntry(key, "weight", rule.criterion, rule.ratio, sizes[key], counts[key], note)


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


def _weight(module: nn.Module, structure: Structure, key: str) -> Tensor:
    """The weight of a "weight" rule, or a sentence on why it has none."""
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, WEIGHTED)}
    if key not in layers:
        what = (
            "is a group" if key in structure.by_id else "names no convolution or linear layer of this network"
        )
        raise ValueError(f"{key!r} {what}; granularity 'weight' needs the name of such a layer.")
    if _weight_name(key) not in structure.shapes:
        raise ValueError(f"The weight of {key!r} is shared with another layer; use that layer's name.")
    return layers[key].weight


def _weight_name(layer: str) -> str:
    return f"{layer}.weight" if layer else "weight"


def _left(structure: Structure, keep: Mapping[str, Tensor], layer: str, weight: Tensor) -> Tensor:
    """Which weights of a layer are left when the channels are removed, bool of the weight's shape."""
    left = torch.ones(weight.shape, dtype=torch.bool)
    for group in structure.groups:
        if group.id in keep:
            for member in group.members:
                if member.parameter == _weight_name(layer):
                    left.index_fill_(member.dim, member.index[~keep[group.id]].flatten(), False)
    return left


class _Scores:
    """Scores as they are asked for: given ones first, the others computed once for each criterion."""

    def __init__(
        self,
        module: nn.Module,
        recipe: Recipe,
        example_inputs: tuple[Any, ...],
        task: Task | None,
        structure: Structure,
        given: Mapping[str, Tensor],
    ) -> None:
        self.module, self.recipe, self.inputs, self.task = module, recipe, example_inputs, task
        self.structure, self.given = structure, given
        self._statistics: dict[frozenset[str], Statistics | None] = {}
        self._computed: dict[tuple[Granularity, str], dict[str, Tensor]] = {}

    def of_group(self, group: Group, criterion: str) -> Tensor:
        """(size,), on the CPU."""
        return self._checked(group.id, group.id, (group.size,), "channel", criterion)

    def of_weight(self, layer: str, weight: Tensor, criterion: str) -> Tensor:
        """Like the weight, on the CPU."""
        return self._checked(_weight_name(layer), layer, tuple(weight.shape), "weight", criterion)

    def _checked(
        self, name: str, key: str, shape: tuple[int, ...], granularity: Granularity, criterion: str
    ) -> Tensor:
        found = self.given.get(name)
        if found is None:
            found = self._all(granularity, criterion)[name]
        if tuple(found.shape) != shape:
            raise ValueError(f"The scores of {key!r} have shape {tuple(found.shape)}; expected is {shape}.")
        return found.detach().cpu()

    def _all(self, granularity: Granularity, criterion: str) -> dict[str, Tensor]:
        """Scores of all keys of the recipe that use this granularity and criterion."""
        from pruning.criteria import CRITERIA, score_groups, score_weights

        if (granularity, criterion) not in self._computed:
            rules = self.recipe.rules.items()
            keys = {k for k, rule in rules if rule.granularity == granularity and rule.criterion == criterion}
            statistics = self._known(CRITERIA[criterion].needs, criterion)
            seed = self.recipe.seed
            if granularity == "channel":
                groups = [group for group in self.structure.groups if group.id in keys]
                found = score_groups(self.module, groups, criterion, statistics, seed)
            else:
                layers = [layer for layer in find_layers(self.module, self.inputs) if layer.name in keys]
                if held := next((layer for layer in layers if not layer.prunable), None):
                    raise ValueError(f"Weights of {held.name!r} cannot be pruned: {held.reason}")
                found = score_weights(self.module, layers, criterion, statistics, seed)
            self._computed[granularity, criterion] = found
        return self._computed[granularity, criterion]

    def _known(self, needs: frozenset[str], criterion: str) -> Statistics | None:
        """Statistics of calibration data, collected once for each set of needs."""
        from pruning.statistics import collect_statistics

        if not needs:
            return None
        if self.task is None:
            raise ValueError(f"The criterion {criterion!r} needs calibration data; give make_plan a task.")
        if needs not in self._statistics:
            self._statistics[needs] = collect_statistics(self.module, self.task, needs)
        return self._statistics[needs]
