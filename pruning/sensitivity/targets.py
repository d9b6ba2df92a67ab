"""What a scan prunes, one at a time: groups, layers, blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pruning.blocks import find_blocks
from pruning.criteria import CRITERIA, score_groups, score_weights, unscorable
from pruning.layers import Layer, find_layers
from pruning.masks import keep_by_rank, zero_units
from pruning.plan import kept_count
from pruning.recipe import Granularity
from pruning.replay import Change
from pruning.sparsity import Cut, LayerScores, parse
from pruning.statistics import Statistics, collect_statistics

if TYPE_CHECKING:
    from pruning.blocks import Block
    from pruning.groups import Group, Structure
    from pruning.tasks import Task


@dataclass
class Target:
    """One key of a scan: what it is made of, and what stays of it.

    Args:
        key: group id or layer name.
        size: units or weights.
        kept: ratio -> how many of them stay; weights may all go.
        mask: how many stay -> bool, (size,) for a group, of the weight's shape for a layer; True = keep.
        group: the group; None for a layer or block.
        weight: qualified name of a layer's weight; "" for a group or block.
        block: the block; None for a group or layer.
    """

    key: str
    size: int
    kept: Callable[[float], int]
    mask: Callable[[int], Tensor]
    group: Group | None = None
    weight: str = ""
    block: Block | None = None

    @classmethod
    def of_group(cls, group: Group, scores: Tensor) -> Target:
        """A group, by the scores (size,) of its units."""
        kept = partial(kept_count, group.size, minimum=group.minimum)
        return cls(group.id, group.size, kept, partial(keep_by_rank, scores), group=group)

    @classmethod
    def of_layer(cls, layer: Layer, cut: Cut) -> Target:
        """A layer, as a granularity cuts it."""
        assert layer.weight is not None
        return cls(layer.name, cut.size, cut.kept, cut.mask, weight=layer.weight)

    @classmethod
    def of_block(cls, block: Block) -> Target:
        """A block, which stays or goes."""
        kept, mask = partial(kept_count, 1, minimum=0), partial(torch.full, (1,))
        return cls(block.id, 1, kept, mask, block=block)

    @property
    def tensors(self) -> set[str]:
        """Names of the parameters and buffers that pruning changes."""
        if self.block:
            return set()
        return {member.parameter for member in self.group.members} if self.group else {self.weight}

    def change(self, kept: int) -> Change:
        """The same, for operations that are replayed."""
        mask = self.mask(kept)
        return Change(keep={self.key: mask}) if self.group else Change(masks={self.weight: mask})

    def put(self, tensors: Mapping[str, Tensor], keep: Tensor) -> None:
        """Set what is not kept to zero, in place.

        Args:
            tensors: the network's parameters and buffers by name.
            keep: as `mask` gives it.
        """
        if self.group:
            zero_units(tensors, self.group, keep)
        else:
            weight = tensors[self.weight]
            weight.masked_fill_(~keep.to(weight.device), 0)


def groups_of(
    module: nn.Module,
    task: Task,
    criterion: str,
    structure: Structure,
    scores: Mapping[str, Tensor] | None,
    seed: int,
) -> list[Target]:
    """The groups that the criterion can score."""
    groups = structure.groups
    if scores is None:
        cannot = unscorable(module, groups, criterion)
        groups = tuple(group for group in groups if group.id not in cannot)
        statistics = _statistics(module, task, criterion)
        scores = score_groups(module, groups, criterion, statistics=statistics, seed=seed)
    return [
        Target.of_group(group, scores[group.id].cpu())
        for group in groups
        if group.id in scores and group.size > group.minimum
    ]


def layers_of(
    module: nn.Module,
    task: Task,
    granularity: Granularity,
    criterion: str,
    example_inputs: Sequence[Tensor],
    scores: Mapping[str, Tensor] | None,
    seed: int,
) -> list[Target]:
    """The layers whose weights can be pruned by this granularity."""
    sparsity = parse(granularity)
    layers = [
        layer
        for layer in find_layers(module, example_inputs)
        if layer.prunable and not sparsity.misfit(module.get_submodule(layer.name))
    ]
    if scores is None:
        statistics = _statistics(module, task, criterion)
        scores = score_weights(module, layers, criterion, statistics=statistics, seed=seed)
    cutter = sparsity.prepare(module)
    return [
        Target.of_layer(
            layer, cutter(LayerScores(module.get_submodule(layer.name), scores[layer.weight].cpu()))
        )
        for layer in layers
        if layer.weight and layer.weight in scores
    ]


def blocks_of(
    module: nn.Module,
    ratios: Sequence[float],
    example_inputs: Sequence[Tensor],
    structure: Structure | None,
    scores: Mapping[str, Tensor] | None,
) -> list[Target]:
    """The blocks that can be dropped; those of `scores`, if given."""
    if not set(ratios) <= {0, 1}:
        raise ValueError("A layer is kept (0) or dropped (1); scan whole layers at ratio 1.")
    blocks = find_blocks(module, example_inputs, structure).blocks
    return [Target.of_block(block) for block in blocks if scores is None or block.id in scores]


def _statistics(module: nn.Module, task: Task, criterion: str) -> Statistics | None:
    needs = CRITERIA[criterion].needs
    return collect_statistics(module, task, needs) if needs else None
