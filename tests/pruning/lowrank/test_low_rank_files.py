"""A factorised network, pruned before, after or not at all, comes out of its file bit for bit the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from small_nets import (
    INPUTS,
    Net,
    channel_recipe,
    forged,
    make_net,
    outputs,
    plan_for,
    weight_recipe,
)
from torch import nn

from pruning.checkpoint import (
    checkpoint_bytes,
    checkpoint_size,
    load_checkpoint,
    program_bytes,
    prz_bytes,
    self_check,
)
from pruning.groups import find_structure
from pruning.lowrank import factorise, find_factorable, record_of
from pruning.lowrank.geometry import Ranks
from pruning.masks import apply_masks
from pruning.models import MODELS, build_model
from pruning.models.loading import example_inputs
from pruning.plan import Plan, make_plan
from pruning.recipe import Recipe, Rule
from pruning.shrink import shrink
from pruning.tasks import load_task

RANKS: Mapping[str, Ranks] = {"inner": (3, 4), "outer": (3,), "hidden": (4,)}
X = torch.randn(3, 1, 5, 5, generator=torch.Generator().manual_seed(5))


def halved(module: nn.Module) -> dict[str, Ranks]:
    """Half of the full ranks of every layer that can be factorised."""
    return {
        one.name: one.fitted(tuple(max(1, most // 2) for most in one.most))
        for one in find_factorable(module, INPUTS)
        if not one.reason
    }


def recipe_of(module: nn.Module, kind: str) -> Recipe:
    if kind == "weights":
        return weight_recipe(module, INPUTS)
    return channel_recipe(module, [group.id for group in find_structure(module, INPUTS).groups])


def made(order: str, kind: str) -> tuple[nn.Module, Plan, Recipe]:
    """A network that was factorised and pruned, in one order or the other."""
    dense = make_net()
    if order == "factorised, then pruned":
        network = factorise(dense, RANKS)
        recipe = recipe_of(network, kind)
        plan = plan_for(network, recipe)
        return shrink(network, plan, INPUTS), plan, recipe
    recipe = recipe_of(dense, kind)
    plan = plan_for(dense, recipe)
    small = shrink(dense, plan, INPUTS)
    return factorise(small, halved(small)), plan, recipe


def assert_same(module: nn.Module, loaded: nn.Module, x: torch.Tensor = X) -> None:
    ours, theirs = module.state_dict(), loaded.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert torch.equal(outputs(module, x), outputs(loaded, x))
    before, after = record_of(module), record_of(loaded)
    assert before is not None
    assert after is not None
    assert before.layers == after.layers


@pytest.mark.parametrize("form", ["dense", "sparse", "prz"])
@pytest.mark.parametrize("kind", ["channels", "weights"])
@pytest.mark.parametrize("order", ["factorised, then pruned", "pruned, then factorised"])
def test_both_orders_survive_the_file(order: str, kind: str, form: Any) -> None:
    module, plan, recipe = made(order, kind)
    if form == "prz":
        data = prz_bytes(module, plan, recipe)
    else:
        data = checkpoint_bytes(module, plan, recipe, form=form)
        assert checkpoint_size(module, plan, recipe, form=form) == len(data)
    loaded = load_checkpoint(data, Net(), INPUTS)
    assert_same(module, loaded.module)
    assert loaded.extra == {}
    again = checkpoint_bytes(loaded.module, plan, recipe)  # what was loaded is saved alike
    assert again == checkpoint_bytes(module, plan, recipe)


@pytest.mark.parametrize("whose", ["dense", "factorised"])
def test_without_pruning_either_plan_will_do(whose: str) -> None:
    dense = make_net()
    module = factorise(dense, RANKS)
    plan = plan_for(dense if whose == "dense" else module, Recipe())
    assert_same(module, load_checkpoint(checkpoint_bytes(module, plan, Recipe()), Net()).module)


def test_masked_but_not_smaller() -> None:
    module = factorise(make_net(), RANKS)
    recipe = recipe_of(module, "channels")
    plan = plan_for(module, recipe)
    masked = apply_masks(module, plan)
    assert_same(masked, load_checkpoint(checkpoint_bytes(masked, plan, recipe), Net(), INPUTS).module)


def test_a_built_in_network_in_a_fresh_process_and_as_a_program() -> None:
    name = "digits-vit"
    inputs, task = example_inputs(MODELS[name]), load_task("digits")
    dense = build_model(name).eval()
    candidates = [one for one in find_factorable(dense, inputs) if not one.reason]
    module = factorise(
        dense, {one.name: one.fitted(tuple(max(1, m // 3) for m in one.most)) for one in candidates}
    )
    recipe = Recipe(rules={g.id: Rule(ratio=0.3) for g in find_structure(module, inputs).groups})
    plan = make_plan(module, recipe, example_inputs=inputs)
    small = shrink(module, plan, inputs)
    data = checkpoint_bytes(small, plan, recipe)
    check = self_check(data, small, task.test, limit=64, fresh_process=True)
    assert check.identical
    assert check.n == 64
    assert program_bytes(small, inputs)  # written, loaded again and compared inside


HOSTILE: dict[str, tuple[Any, str]] = {
    "no JSON": ("{", "record of low ranks is not valid"),
    "a list": ([], "record of low ranks is not valid"),
    "no such layer": ({"layers": {"nowhere": {"method": "svd", "ranks": [1]}}}, "no such layer"),
    "a norm": ({"layers": {"norm": {"method": "svd", "ranks": [1]}}}, "Only linear layers"),
    "no such method": ({"layers": {"hidden": {"method": "cp", "ranks": [1]}}}, "no method of low rank"),
    "huge": ({"layers": {"hidden": {"method": "svd", "ranks": [10**9]}}}, "its highest is 6"),
    "negative": ({"layers": {"hidden": {"method": "svd", "ranks": [-1]}}}, "greater than or equal to 1"),
    "too many": ({"layers": {"hidden": {"method": "svd", "ranks": [1, 1]}}}, "needs 1 rank by svd"),
    "other": ({"layers": {"hidden": {"method": "svd", "ranks": [4]}}}, "lacks the tensor"),
    "none": ({"layers": {}}, "lacks the tensor"),
}


@pytest.mark.parametrize("order", ["factorised, then pruned", "pruned, then factorised"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_wrong_record_is_refused_in_one_sentence(name: str, order: str) -> None:
    record, said = HOSTILE[name]
    module, plan, recipe = made(order, "channels")
    if isinstance(record, dict) and order.startswith("pruned"):
        record, said = {**record, "after_pruning": True}, "."
    data = forged(checkpoint_bytes(module, plan, recipe), metadata={"pruning.low_rank": record})
    with pytest.raises(ValueError, match=said) as caught:
        load_checkpoint(data, Net(), INPUTS)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    "tensors",
    [
        {"hidden.first.weight": torch.zeros(2, 99)},
        {"hidden.first.weight": torch.zeros(2)},
        {"hidden.last.weight": None},
        {"hidden.first.weight": None, "hidden.last.weight": None},
        {"hidden.extra.weight": torch.zeros(2, 2)},
    ],
)
def test_wrong_factors_are_refused_in_one_sentence(tensors: dict[str, torch.Tensor | None]) -> None:
    module, plan, recipe = made("pruned, then factorised", "channels")
    data = forged(checkpoint_bytes(module, plan, recipe), tensors=tensors)
    with pytest.raises(ValueError, match=r"\.$") as caught:
        load_checkpoint(data, Net(), INPUTS)
    assert "\n" not in str(caught.value)


def test_factors_of_another_type_are_refused() -> None:
    module, plan, recipe = made("pruned, then factorised", "channels")
    weight = module.state_dict()["hidden.first.weight"]
    data = forged(checkpoint_bytes(module, plan, recipe), tensors={"hidden.first.weight": weight.half()})
    with pytest.raises(ValueError, match="not of one floating-point type"):
        load_checkpoint(data, Net(), INPUTS)


def test_files_of_whole_networks_say_nothing_of_low_rank() -> None:
    module = make_net()
    data = checkpoint_bytes(module, plan_for(module, Recipe()), Recipe())
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert "pruning.low_rank" not in header["__metadata__"]
