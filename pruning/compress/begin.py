"""Begin with a network that has been pruned before, such as a finished fine-tuning's."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from pruning.blocks import find_blocks
from pruning.checkpoint import load_checkpoint
from pruning.checkpoint.load import Source
from pruning.device import device_of
from pruning.groups import find_structure
from pruning.models import LoadedModel
from pruning.plan import Plan, PlanEntry
from pruning.recipe import Recipe


@dataclass(frozen=True)
class Begun:
    """A network that was pruned, and perhaps trained since.

    Args:
        module: in eval mode.
        plan: what was removed of the dense network.
        recipe: what was decided.
    """

    module: nn.Module
    plan: Plan
    recipe: Recipe


def begun(loaded: LoadedModel, source: Source) -> Begun:
    """A pruned network out of its checkpoint.

    Args:
        loaded: the dense network.
        source: as for `load_checkpoint`.
    Raises:
        ValueError: one sentence, if the file is damaged or of another architecture.
    """
    found = load_checkpoint(source)
    if found.architecture != loaded.name:
        raise ValueError(f"The file is of {found.architecture or 'another network'}, not of {loaded.name}.")
    structure = find_structure(loaded.module, loaded.example_inputs, found.recipe.choices)
    blocks = find_blocks(loaded.module, loaded.example_inputs, structure).blocks
    entries = tuple(
        PlanEntry(
            key=key,
            granularity=rule.granularity,
            criterion=rule.criterion,
            asked=rule.ratio,
            size=found.keep[key].numel(),
            kept=int(found.keep[key].sum()),
        )
        for key, rule in found.recipe.rules.items()
        if key in found.keep
    )
    dropped = tuple(
        block for block in blocks if block.id in found.keep and not bool(found.keep[block.id].any())
    )
    plan = Plan(found.keep, entries, structure, loaded.name, dropped)
    return Begun(found.module.to(device_of(loaded.module)), plan, found.recipe)
