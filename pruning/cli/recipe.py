"""What `prune` prunes: the recipe of a file, or the same ratio everywhere."""

from __future__ import annotations

from argparse import Namespace

from pruning.criteria import CRITERIA
from pruning.groups import Structure
from pruning.models import LoadedModel
from pruning.recipe import Recipe
from pruning.tasks import load_task
from pruning.uniform import uniform_recipe as uniform

MAX_RECIPE_BYTES = 16_000_000


def uniform_recipe(arguments: Namespace, loaded: LoadedModel, structure: Structure) -> Recipe:
    """The same ratio for every key."""
    by_data = arguments.granularity == "layer" and CRITERIA[arguments.criterion].needs
    return uniform(
        loaded,
        structure,
        ratio=arguments.ratio,
        granularity=arguments.granularity,
        criterion=arguments.criterion,
        seed=arguments.seed,
        task=load_task(loaded.task, arguments.data_dir) if by_data else None,
    )


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
