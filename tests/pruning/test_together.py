"""Everything at once: random recipes that mix granularities, choices and rounding, to the file and back."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn

from pruning.blocks import find_blocks
from pruning.checkpoint import checkpoint_bytes, load_checkpoint
from pruning.cost import CostModel
from pruning.groups import Structure, find_structure
from pruning.groups.choices import Choices
from pruning.layers import find_layers
from pruning.models import load_model
from pruning.plan import make_plan
from pruning.recipe import Recipe, Rule
from pruning.shrink import shrink

NETWORKS = ("digits-mlp", "digits-cnn", "digits-resnet", "digits-mobilenet", "digits-vit")
MASKS = ("weight", "n:4", "n:8", "16x1", "4x1", "pattern")


def random_rules(
    draw: random.Random, module: nn.Module, inputs: tuple[torch.Tensor, ...], structure: Structure
) -> dict[str, Rule]:
    rules = {
        group.id: Rule(ratio=draw.random(), criterion=draw.choice(["l1", "l2", "random", "fpgm"]))
        for group in structure.groups
        if draw.random() < 0.6
    }
    for block in find_blocks(module, inputs, structure).blocks:
        if draw.random() < 0.25:
            rules[block.id] = Rule(ratio=1, granularity="layer", criterion="l2")
    for layer in find_layers(module, inputs):
        if layer.prunable and layer.name not in rules and draw.random() < 0.4:
            granularity = draw.choice(MASKS)
            if granularity == "pattern" and min(layer.weight_shape[2:], default=1) < 3:
                granularity = "weight"
            criterion = draw.choice(["l1", "random"])
            rules[layer.name] = Rule(ratio=draw.random(), granularity=granularity, criterion=criterion)
    return rules


@pytest.mark.parametrize("seed", range(10))
def test_a_random_recipe_is_exact_counted_and_comes_back(seed: int) -> None:
    draw = random.Random(seed)
    loaded = load_model(NETWORKS[seed % len(NETWORKS)])
    module, inputs = loaded.module, loaded.example_inputs
    choices = Choices(draw.choice(["whole", "inside"]), draw.choice(["exact", "statistics"]))
    structure = find_structure(module, inputs, choices)
    recipe = Recipe(
        rules=random_rules(draw, module, inputs, structure),
        heads=choices.heads,
        norms=choices.norms,
        scope=draw.choice(["layer", "global"]),
        multiple_of=draw.choice([1, 4]),
        seed=seed,
    )
    recipe = Recipe.from_json(recipe.to_json())
    plan = make_plan(module, recipe, example_inputs=inputs)
    small = shrink(module, plan, inputs)  # compares itself with the masked network
    cost = CostModel(module, inputs, structure).of_plan(plan)
    assert cost.parameters == sum(parameter.numel() for parameter in small.parameters())
    again = load_checkpoint(checkpoint_bytes(small, plan, recipe, form=draw.choice(["dense", "sparse"])))
    more = torch.randn(3, *inputs[0].shape[1:])
    with torch.no_grad():
        assert torch.equal(again.module(more), small(more))
