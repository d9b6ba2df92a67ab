"""The recipe that asks for the same ratio everywhere."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from pruning.blocks import find_blocks, lowest
from pruning.counts import kept_count
from pruning.criteria import CRITERIA, score_blocks
from pruning.layers import find_layers
from pruning.recipe import Recipe, Rule, Scope
from pruning.sparsity import parse
from pruning.statistics import collect_statistics

if TYPE_CHECKING:
    from pruning.groups import Structure
    from pruning.models import LoadedModel
    from pruning.tasks import Task


def uniform_recipe(
    loaded: LoadedModel,
    structure: Structure,
    *,
    ratio: float,
    granularity: str,
    criterion: str,
    seed: int = 0,
    scope: Scope = "layer",
    task: Task | None = None,
) -> Recipe:
    """One rule for every key of a granularity.

    Args:
        loaded: the network.
        structure: its groups.
        ratio: of every key; for "layer" the fraction of the blocks that go, the lowest scores first.
        granularity, criterion: of every rule.
        seed: of criteria that draw numbers.
        scope: of the recipe.
        task: data for "layer" by a criterion that needs statistics; else unused.
    Raises:
        ValueError: if nothing in the network can be pruned so, or the criterion is unknown or cannot.
    """
    if granularity == "layer":
        rules = _blocks(loaded, structure, ratio, criterion, seed, task)
    else:
        rule = Rule(ratio=ratio, granularity=granularity, criterion=criterion)
        rules = dict.fromkeys(_keys(loaded, structure, granularity), rule)
    if not rules:
        raise ValueError(f"Nothing in {loaded.name} can be pruned by {granularity}.")
    found = asdict(structure.choices) if granularity != "layer" else {}
    return Recipe(rules=rules, scope=scope, seed=seed, **found, model=loaded.name)


def _keys(loaded: LoadedModel, structure: Structure, granularity: str) -> list[str]:
    if granularity == "channel":
        return [group.id for group in structure.groups]
    misfit = parse(granularity).misfit
    return [
        layer.name
        for layer in find_layers(loaded.module, loaded.example_inputs)
        if layer.prunable and not misfit(loaded.module.get_submodule(layer.name))
    ]


def _blocks(
    loaded: LoadedModel, structure: Structure, ratio: float, criterion: str, seed: int, task: Task | None
) -> dict[str, Rule]:
    """That fraction of the blocks is dropped."""
    blocks = find_blocks(loaded.module, loaded.example_inputs, structure).blocks
    if not blocks:
        return {}
    statistics = None
    if task is not None and (needs := CRITERIA[criterion].needs):
        statistics = collect_statistics(loaded.module, task, needs)
    scores = score_blocks(loaded.module, blocks, criterion, statistics, seed)
    gone = lowest(scores, len(blocks) - kept_count(len(blocks), ratio, minimum=0))
    return {
        block.id: Rule(ratio=float(block.id in gone), granularity="layer", criterion=criterion)
        for block in blocks
    }
