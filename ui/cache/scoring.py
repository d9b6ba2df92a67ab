"""Criteria at work: which fit, statistics on calibration data, scores and what they allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pruning
from pruning.groups.choices import DEFAULT, Choices
from pruning.recipe import Granularity
from pruning.sparsity import LayerScores, Stops, masks_weights, parse, scored_as
from pruning.weights import SortedScores
from ui.cache.data import task
from ui.cache.keeping import kept, resource
from ui.cache.networks import blocks, keys, layers, model, structure
from ui.draft import usual_criterion

if TYPE_CHECKING:
    from torch import Tensor


def criterion_fits(name: str, granularity: Granularity) -> bool:
    """Whether there is such a criterion, and it can rank parts of this granularity."""
    return name in pruning.CRITERIA and scored_as(granularity) in pruning.CRITERIA[name].granularities


def criterion_for(granularity: Granularity, wanted: str) -> str:
    """That criterion if it was chosen and can rank parts of this granularity, else the usual one."""
    chosen = wanted not in ("l2", "influence")  # the usual ones
    return wanted if chosen and criterion_fits(wanted, granularity) else usual_criterion(granularity)


@kept(16)
def statistics(model_id: str, needs: tuple[str, ...]) -> pruning.Statistics:
    """Activation and gradient statistics on calibration data; raises `MissingData` without data."""
    return pruning.collect_statistics(model(model_id).module, task(model_id), frozenset(needs))


def unscorable(
    model_id: str, granularity: Granularity, criterion: str, choices: Choices = DEFAULT
) -> dict[str, str]:
    """Keys that a criterion cannot rank and that stay whole under it, each with the reason; usually none."""
    return _unscorable(model_id, criterion, choices) if granularity == "channel" else {}


@resource(max_entries=64)
def _unscorable(model_id: str, criterion: str, choices: Choices) -> dict[str, str]:
    return pruning.unscorable(model(model_id).module, structure(model_id, choices).groups, criterion)


def scores(
    model_id: str, granularity: Granularity, criterion: str, seed: int = 0, choices: Choices = DEFAULT
) -> dict[str, Tensor]:
    """Scores, higher = keep: group id -> (size,), block id -> (1,), or parameter name -> weight shape.

    Groups that the criterion cannot rank (`unscorable`) are left out.

    Raises:
        MissingData: if the criterion needs calibration data and there is none.
    """
    kind = scored_as(granularity)
    return _scores(model_id, kind, criterion, seed, choices if kind == "channel" else DEFAULT)


@kept(32)
def _scores(
    model_id: str, granularity: Granularity, criterion: str, seed: int, choices: Choices
) -> dict[str, Tensor]:
    needs = tuple(sorted(pruning.CRITERIA[criterion].needs))
    known = statistics(model_id, needs) if needs else None
    module = model(model_id).module
    if granularity == "channel":
        cannot = unscorable(model_id, granularity, criterion, choices)
        groups = [group for group in structure(model_id, choices).groups if group.id not in cannot]
        return pruning.score_groups(module, groups, criterion, statistics=known, seed=seed)
    if granularity == "layer":
        return pruning.score_blocks(module, blocks(model_id).blocks, criterion, statistics=known, seed=seed)
    return pruning.score_weights(module, layers(model_id), criterion, statistics=known, seed=seed)


@resource(max_entries=64)
def score_histograms(
    model_id: str, granularity: Granularity, criterion: str, seed: int, choices: Choices
) -> dict[str, tuple[int, ...]]:
    """Group id or layer name -> counts of its scores in 28 bins, lowest first, for a small drawing."""
    found = scores(model_id, granularity, criterion, seed, choices)
    bins = {key: SortedScores(values).compact(28).counts for key, values in found.items()}
    return {key.removesuffix(".weight"): tuple(counts.tolist()) for key, counts in bins.items()}


@kept(64)
def sorted_scores(
    model_id: str, granularity: Granularity, criterion: str, seed: int, choices: Choices, key: str
) -> SortedScores:
    """Scores of one group or layer, sorted once.

    Args:
        key: group id or layer name.
    Raises:
        KeyError: if there is no such group or layer, or the criterion cannot rank it.
        MissingData: as `scores`.
    """
    if granularity == "channel":
        return SortedScores(scores(model_id, granularity, criterion, seed, choices)[key])
    return SortedScores(_layer_scores(model_id, criterion, seed, key), reuse=True)  # one copy less


def _layer_scores(model_id: str, criterion: str, seed: int, name: str) -> Tensor:
    """Scores of one layer's weights alone, in memory of their own."""
    needs = tuple(sorted(pruning.CRITERIA[criterion].needs))
    known = statistics(model_id, needs) if needs else None
    own = [layer for layer in layers(model_id) if layer.name == name]
    module = model(model_id).module
    (found,) = pruning.score_weights(module, own, criterion, known, seed).values()
    weight = module.get_submodule(name).weight.untyped_storage()  # type: ignore[operator]
    shared = needs or found.untyped_storage().data_ptr() == weight.data_ptr()
    return found.clone() if shared else found


@resource(max_entries=64)
def stops(model_id: str, granularity: Granularity, criterion: str, seed: int = 0) -> dict[str, Stops]:
    """Key -> the counts that a granularity allows; none for those that allow every count.

    Raises:
        MissingData: as `scores`.
    """
    if not masks_weights(granularity) or granularity == "weight":  # single weights allow every count
        return {}
    found, module = scores(model_id, granularity, criterion, seed), model(model_id).module
    cutter = parse(granularity).prepare(module)
    cuts = {
        key: cutter(LayerScores(module.get_submodule(key), found[pruning.layers.qualified(key, "weight")]))
        for key in keys(model_id, granularity)
    }
    return {key: cut.stops for key, cut in cuts.items() if cut.stops is not None}
