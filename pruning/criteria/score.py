"""Scores of a network's layers and groups by any registered criterion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pruning.criteria.base import CRITERIA, Criterion
from pruning.criteria.views import BlockView, GroupView, LayerView
from pruning.layers import Layer
from pruning.statistics import Statistics

if TYPE_CHECKING:
    from pruning.blocks import Block
    from pruning.groups import Group

NOTHING_KNOWN = Statistics(samples=0)
EACH_NEED = {
    "inputs": "input_norm",
    "gradients": "gradient_squares",
    "conductance": "conductance",
    "blocks": "blocks",
}


def score_weights(
    module: nn.Module,
    layers: Iterable[Layer],
    criterion: str,
    statistics: Statistics | None = None,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Score every single weight of the prunable layers; the others are left out.

    Args:
        module: the network, never changed.
        layers: from `find_layers` of this network.
        criterion: name of an entry of `CRITERIA` with granularity "weight".
        statistics: from `collect_statistics` of this network, where the criterion needs them.
        seed: of the criteria that draw numbers.
    Returns:
        Qualified name of the weight -> scores of its shape, float32, finite, on the CPU; higher = keep.
    Raises:
        ValueError: if the criterion is unknown, cannot score single weights, or lacks statistics.
    """
    entry = CRITERIA[criterion]
    if entry.weights is None:
        raise ValueError(f"{entry.label} scores {_only(entry)} only; choose another criterion for weights.")
    statistics = _checked(entry, statistics)
    scores = {}
    for layer in layers:
        if layer.prunable and layer.weight is not None:
            view = LayerView(layer.name, module.get_submodule(layer.name), statistics, seed)
            scores[layer.weight] = _finished(entry.weights(view), layer.name, entry)
    return scores


def score_groups(
    module: nn.Module,
    groups: Iterable[Group],
    criterion: str,
    statistics: Statistics | None = None,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Score every unit of every group.

    Args:
        module: the network, never changed.
        groups: from `find_groups` of this network.
        criterion: name of an entry of `CRITERIA` with granularity "channel".
        statistics: from `collect_statistics` of this network, where the criterion needs them.
        seed: of the criteria that draw numbers.
    Returns:
        Group id -> (size,) scores, float32, finite, on the CPU; higher = keep.
    Raises:
        ValueError: if the criterion is unknown, cannot score one of the groups (see `unscorable`), or lacks
            statistics.
    """
    entry = CRITERIA[criterion]
    if entry.units is None:
        raise ValueError(f"{entry.label} scores {_only(entry)} only; choose another criterion for channels.")
    statistics = _checked(entry, statistics)
    scores = {}
    for group in groups:
        view = GroupView(group, module, statistics, seed)
        if why := entry.misfit(view):
            raise ValueError(_cannot(entry, group.id, why))
        scores[group.id] = _finished(entry.units(view), group.id, entry)
    return scores


def score_blocks(
    module: nn.Module,
    blocks: Iterable[Block],
    criterion: str,
    statistics: Statistics | None = None,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Score every block that could be dropped.

    Args:
        module: the network, never changed.
        blocks: from `find_blocks` of this network.
        criterion: name of an entry of `CRITERIA` with granularity "layer".
        statistics: from `collect_statistics` of this network, where the criterion needs them.
        seed: of the criteria that draw numbers.
    Returns:
        Block id -> (1,) score, float32, finite, on the CPU; higher = keep.
    Raises:
        ValueError: if the criterion is unknown, cannot score whole layers, or lacks statistics.
    """
    entry = CRITERIA[criterion]
    if entry.layers is None:
        raise ValueError(f"{entry.label} cannot score a whole layer; choose another criterion for layers.")
    blocks = tuple(blocks)
    statistics = _checked(entry, statistics) if blocks else NOTHING_KNOWN
    views = [BlockView(block, module, statistics, seed) for block in blocks]
    return {view.block.id: _finished(entry.layers(view), view.block.id, entry) for view in views}


def unscorable(module: nn.Module, groups: Iterable[Group], criterion: str) -> dict[str, str]:
    """The groups that a criterion cannot score, each with the reason in one sentence; usually none.

    Raises:
        ValueError: if the criterion is unknown.
    """
    entry = CRITERIA[criterion]
    found = {group.id: entry.misfit(GroupView(group, module, NOTHING_KNOWN)) for group in groups}
    return {group: _cannot(entry, group, why) for group, why in found.items() if why}


def across_groups(scores: Mapping[str, Tensor], criterion: str) -> dict[str, Tensor]:
    """Scores of groups as they can be compared with each other, for one threshold over all of them.

    Scores that are not comparable as they are (norms grow with fan-in and the number of layers in a group)
    are divided by their mean in the group, the "mean" normalizer of Torch-Pruning (Fang et al. 2023,
    arXiv:2301.12900). The ranking within a group stays. Single weights are compared as they are.

    Args:
        scores: from `score_groups`; what is gone already may be minus infinity, and counts as 0 in a mean.
        criterion: that gave them; an unknown name counts as not comparable.
    """
    if criterion in CRITERIA and CRITERIA[criterion].comparable:
        return dict(scores)
    return {key: _by_mean(values) for key, values in scores.items()}


def _by_mean(scores: Tensor) -> Tensor:
    mean = scores.masked_fill(scores == -torch.inf, 0).abs().mean()
    return scores / mean if mean > 0 else scores


def _only(entry: Criterion) -> str:
    """What a criterion scores, in words."""
    words = {"weight": "single weights", "channel": "whole channels", "layer": "whole layers"}
    return " and ".join(word for name, word in words.items() if name in entry.granularities)


def _cannot(entry: Criterion, group: str, why: str) -> str:
    return f"{entry.label} cannot score the group {group!r}, because {why}; choose another criterion for it."


def _checked(entry: Criterion, statistics: Statistics | None) -> Statistics:
    """The statistics, after a look at whether they hold what a criterion reads."""
    for need in sorted(entry.needs):
        if statistics is None or not getattr(statistics, EACH_NEED[need]):
            raise ValueError(
                f"{entry.label} needs statistics of calibration data: pass"
                f" statistics=collect_statistics(module, task, {{{need!r}}})."
            )
    return NOTHING_KNOWN if statistics is None else statistics


def _finished(scores: Tensor, name: str, entry: Criterion) -> Tensor:
    """Scores as float32 on the CPU, refused if the weights or statistics held NaN or infinity."""
    result = scores.detach().float().cpu()
    if not torch.isfinite(result).all():
        raise ValueError(
            f"{entry.label} gives scores of {name!r} that are not finite; its weights or statistics hold NaN,"
            " infinity or values too large."
        )
    return result
