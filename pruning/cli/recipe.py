"""What `prune` prunes: the recipe of a file, or the same ratio everywhere."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict

from pruning.blocks import find_blocks, lowest
from pruning.counts import kept_count
from pruning.criteria import CRITERIA, score_blocks
from pruning.groups import Structure
from pruning.layers import find_layers
from pruning.models import LoadedModel
from pruning.recipe import Recipe, Rule
from pruning.sparsity import parse
from pruning.statistics import collect_statistics
from pruning.tasks import load_task

MAX_RECIPE_BYTES = 16_000_000


def uniform_recipe(arguments: Namespace, loaded: LoadedModel, structure: Structure) -> Recipe:
    """The same ratio for every key."""
    if arguments.granularity == "layer":
        return _layer_recipe(arguments, loaded, structure)
    if arguments.granularity == "channel":
        keys = [group.id for group in structure.groups]
    else:
        layers = find_layers(loaded.module, loaded.example_inputs)
        misfit = parse(arguments.granularity).misfit
        keys = [
            layer.name
            for layer in layers
            if layer.prunable and not misfit(loaded.module.get_submodule(layer.name))
        ]
    if not keys:
        raise ValueError(f"Nothing in {loaded.name} can be pruned by {arguments.granularity}.")
    rule = Rule(ratio=arguments.ratio, granularity=arguments.granularity, criterion=arguments.criterion)
    found = asdict(structure.choices)
    return Recipe(rules=dict.fromkeys(keys, rule), seed=arguments.seed, **found, model=loaded.name)


def given_recipe(arguments: Namespace, loaded: LoadedModel) -> Recipe | None:
    """The recipe of the file, if there is one."""
    if arguments.recipe is None:
        return None
    try:
        if arguments.recipe.stat().st_size > MAX_RECIPE_BYTES:
            raise ValueError(f"{arguments.recipe} is too large for a recipe.")
        recipe = Recipe.from_json(arguments.recipe.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"The recipe {arguments.recipe} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ValueError(f"The recipe {arguments.recipe} is not a text file.") from None
    if recipe.model not in (None, loaded.name):
        raise ValueError(f"The recipe was made for {recipe.model}, not for {loaded.name}.")
    for name in ("heads", "norms"):
        if getattr(arguments, name) not in (None, getattr(recipe, name)):
            raise ValueError(f"The recipe says {name} {getattr(recipe, name)!r}; leave --{name} out.")
    return recipe


def _layer_recipe(arguments: Namespace, loaded: LoadedModel, structure: Structure) -> Recipe:
    """That fraction of the blocks, the lowest scores first."""
    blocks = find_blocks(loaded.module, loaded.example_inputs, structure).blocks
    if not blocks:
        raise ValueError(f"Nothing in {loaded.name} can be pruned by layer.")
    statistics = None
    if needs := CRITERIA[arguments.criterion].needs:
        statistics = collect_statistics(loaded.module, load_task(loaded.task, arguments.data_dir), needs)
    scores = score_blocks(loaded.module, blocks, arguments.criterion, statistics, arguments.seed)
    gone = lowest(scores, len(blocks) - kept_count(len(blocks), arguments.ratio, minimum=0))
    rules = {
        block.id: Rule(ratio=float(block.id in gone), granularity="layer", criterion=arguments.criterion)
        for block in blocks
    }
    return Recipe(rules=rules, seed=arguments.seed, model=loaded.name)
