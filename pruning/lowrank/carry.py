"""What was decided for a network, for the same network with factorised layers."""

from __future__ import annotations

from torch import nn

from pruning.groups import Structure
from pruning.lowrank.geometry import PARTS
from pruning.recipe import Recipe, Rule
from pruning.sparsity import masks_weights, parse


def carried(recipe: Recipe, small: nn.Module, structure: Structure) -> Recipe:
    """A recipe of a whole network, for the one that `factorise` has made of it.

    Rules on single weights of a factorised layer hold for each of the layers in its place that the
    granularity fits: kernel patterns need kernels, which not all of them have. The channels that a layer puts
    out are those of the last one in its place, so rules on them go over to that one's group.

    Args:
        recipe: of the network before.
        small: the factorised one.
        structure: of `small`, by the recipe's choices.
    Returns:
        The same recipe if it names no factorised layer.
    Raises:
        ValueError: channels that the factorised network has no group for, or a layer in whose place none is
            left that the granularity fits.
    """
    sizes = {group.id: group.size for group in structure.groups}
    modules = {name for name, _ in small.named_modules()}
    rules: dict[str, Rule] = {}
    for key, rule in recipe.rules.items():
        parts = [f"{key}.{part}" for part in PARTS if f"{key}.{part}" in modules]
        if masks_weights(rule.granularity):
            rules |= dict.fromkeys(_fitting(small, key, parts, rule) if parts else [key], rule)
        elif rule.granularity == "channel" and key not in sizes:
            if not parts or parts[-1] not in sizes:
                raise ValueError(
                    f"The channels of {key!r} cannot be removed once layers are factorised; take that rule "
                    "back, or turn low rank off."
                )
            rules[parts[-1]] = rule
        else:
            rules[key] = rule
    return recipe.model_copy(update={"rules": rules})


def _fitting(small: nn.Module, key: str, parts: list[str], rule: Rule) -> list[str]:
    """Those layers in a layer's place that a rule on single weights fits."""
    misfit = parse(rule.granularity).misfit
    found = [part for part in parts if not misfit(small.get_submodule(part))]
    if not found:
        raise ValueError(
            f"None of the layers in the place of {key!r} can be pruned by {rule.granularity!r}; take that "
            "rule back, or turn low rank off."
        )
    return found
