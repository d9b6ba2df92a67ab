"""A recipe of the whole network prunes the factorised one."""

from __future__ import annotations

import pytest
import torch

import pruning
from pruning.groups import find_structure
from pruning.lowrank import LowRank, carried, low_rank


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("digits-mlp", "svd"),
        ("digits-cnn", "channel-svd"),
        ("digits-resnet", "tucker-2"),
        ("digits-vit", "svd"),
    ],
)
@pytest.mark.parametrize("granularity", ["channel", "weight"])
def test_what_was_asked_of_a_layer_is_asked_of_the_layers_in_its_place(
    name: str, method: str, granularity: str
) -> None:
    loaded = pruning.load_model(name)
    small = low_rank(loaded.module, LowRank(method=method, energy=0.8), example_inputs=loaded.example_inputs)
    before, after = (find_structure(module, loaded.example_inputs) for module in (loaded.module, small))
    layers = pruning.find_layers(loaded.module, loaded.example_inputs)
    keys = (
        [group.id for group in before.groups]
        if granularity == "channel"
        else [layer.name for layer in layers if layer.prunable]
    )
    rules = {key: pruning.Rule(ratio=0.5, granularity=granularity) for key in keys}  # type: ignore[arg-type]
    recipe = carried(pruning.Recipe(rules=rules, seed=3), small, after)
    assert recipe.seed == 3
    assert len(recipe.rules) >= len(rules)
    plan = pruning.make_plan(small, recipe, example_inputs=loaded.example_inputs, structure=after)
    assert {entry.key for entry in plan.entries} == set(recipe.rules)
    assert all(abs(entry.kept - 0.5 * entry.size) <= 1 for entry in plan.entries)
    if granularity == "channel":
        sizes = {group.id: group.size for group in before.groups}
        assert [entry.size for entry in plan.entries] == [sizes[key] for key in keys]
        module = pruning.shrink(small, plan, loaded.example_inputs)
    else:
        module = pruning.apply_masks(small, plan)
    with torch.no_grad():
        assert module(*loaded.example_inputs).shape == loaded.module(*loaded.example_inputs).shape


def test_what_the_factorised_network_has_no_group_for_is_refused() -> None:
    loaded = pruning.load_model("digits-mlp")
    small = low_rank(loaded.module, LowRank(method="svd", energy=0.8), example_inputs=loaded.example_inputs)
    structure = find_structure(small, loaded.example_inputs)
    recipe = pruning.Recipe(rules={"elsewhere": pruning.Rule(ratio=0.5)})
    with pytest.raises(ValueError, match="'elsewhere' cannot be removed once layers are factorised"):
        carried(recipe, small, structure)


@pytest.mark.parametrize(
    ("method", "fits"), [("channel-svd", "first"), ("tucker-2", "core"), ("spatial-svd", "")]
)
def test_kernel_patterns_go_where_there_are_kernels(method: str, fits: str) -> None:
    loaded = pruning.load_model("digits-cnn")
    name = "features.unit3a.conv"
    ranks = {name: (8, 8) if method == "tucker-2" else 8}
    settings = LowRank(method=method, ranks=ranks)  # type: ignore[arg-type]
    small = low_rank(loaded.module, settings, example_inputs=loaded.example_inputs)
    structure = find_structure(small, loaded.example_inputs)
    recipe = pruning.Recipe(rules={name: pruning.Rule(ratio=0.5, granularity="pattern")})
    if not fits:
        with pytest.raises(ValueError, match="None of the layers in the place of"):
            carried(recipe, small, structure)
        return
    found = carried(recipe, small, structure)
    assert list(found.rules) == [f"{name}.{fits}"]
    assert pruning.make_plan(small, found, example_inputs=loaded.example_inputs, structure=structure).entries
