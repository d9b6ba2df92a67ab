"""Networks whose code leaves several ways to be cut come back from a file as the one that was saved."""

from __future__ import annotations

import pytest
import torch
from huggingface import NETWORKS
from zoo import Baked, ratio_plan

from pruning.checkpoint import load_checkpoint, save_checkpoint
from pruning.groups import Choices, find_structure
from pruning.models import load_model
from pruning.plan import make_plan
from pruning.recipe import Recipe, Rule
from pruning.shrink import is_graph, shrink


def roundtrip(module, inputs, choices, path):
    structure = find_structure(module, inputs, choices)
    rules = {group.id: Rule(ratio=0.5, criterion="random") for group in structure.groups}
    recipe = Recipe(rules=rules, heads=choices.heads, norms=choices.norms)
    plan = make_plan(module, Recipe.from_json(recipe.to_json()), example_inputs=inputs)
    small = shrink(module, plan, inputs)
    again = load_checkpoint(save_checkpoint(path, small, plan, recipe), module, inputs)
    assert again.recipe == recipe
    with torch.no_grad():
        assert torch.equal(again.module(*inputs), small(*inputs))
    return plan, small, again.module


@pytest.mark.parametrize("name", ["GPT-2", "Phi-3", "T5", "Segformer", "MobileNetV2"])
@pytest.mark.parametrize("choices", [Choices(), Choices("inside", "statistics")], ids=["default", "inside"])
def test_bit_for_bit(name, choices, tmp_path):
    module, inputs = NETWORKS[name](0)
    plan, *_ = roundtrip(module, inputs, choices, tmp_path / "a.safetensors")
    assert plan.structure.choices == choices


def test_a_graph_comes_back_as_a_graph(tmp_path):
    module, inputs = Baked().eval(), (torch.randn(3, 12),)
    _, small, again = roundtrip(module, inputs, Choices(), tmp_path / "a.safetensors")
    assert is_graph(small)
    assert is_graph(again)


def test_the_residual_stream_of_a_built_in_network(tmp_path):
    loaded = load_model("digits-vit")
    choices = Choices(norms="statistics")
    structure = find_structure(loaded.module, loaded.example_inputs, choices)
    stream = next(group for group in structure.groups if group.grade == "statistics")
    plan = ratio_plan(structure, 0.25)
    assert plan.grade == "statistics"
    recipe = Recipe(rules={stream.id: Rule(ratio=0.25)}, norms="statistics")
    plan = make_plan(loaded.module, recipe, example_inputs=loaded.example_inputs)
    small = shrink(loaded.module, plan, loaded.example_inputs)
    again = load_checkpoint(save_checkpoint(tmp_path / "a.safetensors", small, plan, recipe))
    with torch.no_grad():
        assert torch.equal(again.module(*loaded.example_inputs), small(*loaded.example_inputs))
