"""What is saved loads again as the same network, bit for bit, in exactly the bytes foretold."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load as safetensors_load
from safetensors.torch import save as safetensors_save
from small_nets import INPUTS, Net, channel_recipe, make_net, outputs, plan_for, stir, weight_recipe
from torch import nn

from pruning.checkpoint import (
    SizeModel,
    checkpoint_bytes,
    checkpoint_size,
    dense_size,
    load_checkpoint,
    read_state_dict,
    save_checkpoint,
)
from pruning.groups import find_structure
from pruning.masks import apply_masks
from pruning.models import MODELS, build_model
from pruning.models.loading import example_inputs
from pruning.plan import Plan, make_plan
from pruning.recipe import Recipe, Rule
from pruning.shrink import shrink


def assert_same(module: nn.Module, loaded: nn.Module, x: torch.Tensor) -> None:
    assert not loaded.training
    ours, theirs = module.state_dict(), loaded.state_dict()
    assert list(ours) == list(theirs)
    for name, tensor in ours.items():
        assert theirs[name].dtype == tensor.dtype
        assert torch.equal(theirs[name], tensor), name
    assert torch.equal(outputs(loaded, x), outputs(module.eval(), x))


@pytest.mark.parametrize("name", MODELS)
def test_every_built_in_network_survives_the_file(name: str, tmp_path: Path) -> None:
    module = build_model(name)
    stir(module)
    module.eval()
    inputs = example_inputs(MODELS[name])
    structure = find_structure(module, inputs)
    recipe = channel_recipe(module, [group.id for group in structure.groups], seed=3)
    plan = make_plan(module, recipe, example_inputs=inputs, structure=structure)
    small = shrink(module, plan, inputs)
    path = save_checkpoint(tmp_path / "a.safetensors", small, plan, recipe)
    again = load_checkpoint(path)
    assert_same(small, again.module, torch.randn(3, *MODELS[name].input_shape))
    assert again.architecture == again.module.architecture == name
    assert again.recipe == recipe
    assert again.keep.keys() == plan.keep.keys()
    assert all(torch.equal(again.keep[key], plan.keep[key]) for key in plan.keep)
    kept = {entry.key: entry.kept for entry in plan.entries}
    size = path.stat().st_size
    assert again.file_bytes == size == checkpoint_size(small, plan, recipe)
    assert size == SizeModel(module, structure).size(recipe, kept)
    assert size < dense_size(module) == len(safetensors_save(dict(module.state_dict())))


@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.9, 0.99, 1.0])
def test_sparse_form_holds_the_same_weights_in_fewer_bytes(ratio: float, tmp_path: Path) -> None:
    module = build_model("mnist-lenet-300-100").eval()
    inputs = example_inputs(MODELS["mnist-lenet-300-100"])
    recipe = weight_recipe(module, inputs, ratio)
    plan = plan_for(module, recipe, inputs)
    masked = apply_masks(module, plan)
    sizes = SizeModel(module, plan.structure)
    kept = {entry.key: entry.kept for entry in plan.entries}
    written: dict[str, int] = {}
    for form in ("dense", "sparse"):
        path = save_checkpoint(tmp_path / f"{form}.safetensors", masked, plan, recipe, form=form)
        again = load_checkpoint(path)
        assert_same(masked, again.module, torch.randn(3, 1, 28, 28))
        assert again.form == form
        assert all(torch.equal(again.keep[key], plan.keep[key]) for key in plan.keep)
        written[form] = path.stat().st_size
        assert written[form] == sizes.size(recipe, nonzero=kept, form=form)
        assert written[form] == checkpoint_size(masked, plan, recipe, form=form)
        state = read_state_dict(path)
        assert all(torch.equal(state[name], tensor) for name, tensor in masked.state_dict().items())
    if ratio >= 0.3:
        bits_kept = 32 * (1 - ratio)
        assert written["sparse"] < written["dense"] * (bits_kept + 1.05) / 32 + 4000
    if ratio == 0.99:
        assert written["sparse"] < 0.03 * written["dense"]


def test_a_kept_weight_that_is_zero_stays_kept_in_the_sparse_form() -> None:
    module = make_net()
    recipe = Recipe(rules={"hidden": Rule(ratio=0.5, granularity="weight", criterion="random")})
    plan = plan_for(module, recipe)
    masked = apply_masks(module, plan)
    kept = plan.keep["hidden"].nonzero()[:3]
    with torch.no_grad():
        masked.hidden.weight[kept[:, 0], kept[:, 1]] = torch.tensor([0.0, -0.0, 1e-45])
    again = load_checkpoint(checkpoint_bytes(masked, plan, recipe, form="sparse"), Net())
    assert torch.equal(again.keep["hidden"], plan.keep["hidden"])
    assert torch.equal(again.module.hidden.weight.view(torch.int32), masked.hidden.weight.view(torch.int32))


def mixed_plan(module: nn.Module) -> tuple[Plan, Recipe]:
    rules = {
        "stem": Rule(ratio=0.4, criterion="random"),
        "inner": Rule(ratio=0.5, granularity="weight", criterion="random"),
        "head": Rule(ratio=0.8, granularity="weight", criterion="random"),
        "hidden": Rule(ratio=0.3, criterion="random"),
    }
    recipe = Recipe(rules=rules, seed=5)
    return plan_for(module, recipe), recipe


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_channels_and_single_weights_together(form: str) -> None:
    module = make_net()
    plan, recipe = mixed_plan(module)
    small = shrink(module, plan, INPUTS)
    data = checkpoint_bytes(small, plan, recipe, form=form)
    again = load_checkpoint(data, Net(), INPUTS)
    assert_same(small, again.module, INPUTS[0])
    assert all(torch.equal(again.keep[key], keep) for key, keep in plan.channels.items())
    for layer in plan.weights:
        weight = small.get_submodule(layer).weight
        assert again.keep[layer].shape == weight.shape
        assert torch.equal(again.keep[layer], weight != 0)
    kept = {entry.key: entry.kept for entry in plan.entries}
    sizes = SizeModel(module, plan.structure)
    channels = {key: kept[key] for key in plan.channels}
    assert len(data) == sizes.size(recipe, channels, {key: kept[key] for key in plan.weights}, form=form)


def test_a_network_whose_channels_are_only_masked_keeps_its_shapes() -> None:
    module = make_net()
    recipe = channel_recipe(module, ["stem", "hidden"])
    plan = plan_for(module, recipe)
    masked = apply_masks(module, plan)
    again = load_checkpoint(checkpoint_bytes(masked, plan, recipe), Net(), INPUTS)
    assert_same(masked, again.module, INPUTS[0])
    assert torch.equal(again.keep["stem"], plan.keep["stem"])


def test_trained_further_and_in_another_precision() -> None:
    module = make_net().double()
    inputs = (INPUTS[0].double(),)
    recipe = channel_recipe(module, ["stem", "inner", "hidden"])
    plan = plan_for(module, recipe, inputs)
    small = shrink(module, plan, inputs).train()
    small(inputs[0]).square().sum().backward()
    torch.optim.SGD(small.parameters(), lr=0.1).step()
    data = checkpoint_bytes(small, plan, recipe)
    again = load_checkpoint(data, Net().double(), inputs)
    assert_same(small, again.module, inputs[0])
    assert all(parameter.requires_grad for parameter in again.module.parameters())


@settings(deadline=None, max_examples=25)
@given(
    channels=st.integers(1, 7),
    hidden=st.integers(1, 17),
    ratios=st.lists(st.floats(0, 1), min_size=5, max_size=5),
    by_weight=st.lists(st.booleans(), min_size=5, max_size=5),
    form=st.sampled_from(["dense", "sparse"]),
    seed=st.integers(0, 1000),
    multiple=st.integers(1, 4),
)
def test_any_sizes_any_ratios(
    channels: int,
    hidden: int,
    ratios: list[float],
    by_weight: list[bool],
    form: str,
    seed: int,
    multiple: int,
) -> None:
    module = make_net(seed, channels=channels, hidden=hidden)
    structure = find_structure(module, INPUTS)
    groups = {group.id for group in structure.groups}
    rules = {}
    for key, ratio, weight in zip(
        ["stem", "inner", "hidden", "head", "outer"], ratios, by_weight, strict=True
    ):
        granularity = "weight" if weight or key not in groups else "channel"
        rules[key] = Rule(ratio=ratio, granularity=granularity, criterion="random")
    recipe = Recipe(rules=rules, seed=seed, multiple_of=multiple)
    plan = make_plan(module, recipe, example_inputs=INPUTS, structure=structure)
    small = shrink(module, plan, INPUTS)
    data = checkpoint_bytes(small, plan, recipe, form=form)
    again = load_checkpoint(data, Net(channels, hidden), INPUTS)
    assert_same(small, again.module, INPUTS[0])
    assert again.recipe == recipe
    assert len(data) == checkpoint_size(small, plan, recipe, form=form)
    kept = {entry.key: entry.kept for entry in plan.entries}
    counts = [{key: kept[key] for key in part} for part in (plan.channels, plan.weights)]
    assert len(data) == SizeModel(module, structure).size(recipe, *counts, form=form)


def test_the_given_module_and_the_callers_random_numbers_stay() -> None:
    module = make_net()
    plan, recipe = mixed_plan(module)
    data = checkpoint_bytes(shrink(module, plan, INPUTS), plan, recipe)
    fresh = make_net(1)
    before = copy.deepcopy(fresh.state_dict())
    load_checkpoint(data, fresh, INPUTS)
    assert all(torch.equal(before[name], tensor) for name, tensor in fresh.state_dict().items())
    lenet = build_model("mnist-lenet-300-100")
    inputs = example_inputs(MODELS["mnist-lenet-300-100"])
    recipe = weight_recipe(lenet, inputs)
    plan = plan_for(lenet, recipe, inputs)
    data = checkpoint_bytes(apply_masks(lenet, plan), plan, recipe)
    state = torch.random.get_rng_state()
    load_checkpoint(data)
    assert torch.equal(state, torch.random.get_rng_state())


def test_other_programs_read_the_file(tmp_path: Path) -> None:
    """The tensors are plain safetensors; the metadata says everything in JSON."""
    module = make_net()
    recipe = channel_recipe(module, ["stem", "inner"])
    plan = plan_for(module, recipe)
    small = shrink(module, plan, INPUTS)
    path = save_checkpoint(tmp_path / "a.safetensors", small, plan, recipe, extra={"accuracy": "0.97"})
    state = safetensors_load(path.read_bytes())
    assert state.keys() == small.state_dict().keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in small.state_dict().items())
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert metadata["accuracy"] == "0.97"
    assert metadata["format"] == "pt"
    assert Recipe.from_json(metadata["pruning.recipe"]) == recipe
    record = json.loads(metadata["pruning.keep"])["inner"]
    bits = bin(int(record["kept"], 16))[2:].zfill(4 * len(record["kept"]))
    assert [bit == "1" for bit in bits[: record["size"]]] == plan.keep["inner"].tolist()
    assert load_checkpoint(path, Net(), INPUTS).extra == {"accuracy": "0.97"}


def test_size_counts_extra_metadata_and_names_what_it_does_not_know() -> None:
    module = make_net()
    recipe = channel_recipe(module, ["stem"])
    plan = plan_for(module, recipe)
    small = shrink(module, plan, INPUTS)
    extra = {"note": 'quotes " and ümlauts'}
    data = checkpoint_bytes(small, plan, recipe, extra=extra)
    sizes = SizeModel(module, plan.structure)
    kept = {"stem": plan.entries[0].kept}
    assert len(data) == checkpoint_size(small, plan, recipe, extra=extra)
    assert len(data) == sizes.size(recipe, kept, extra=extra)
    for wrong in ({"stem": 99}, {"stem": -1}, {"nothing": 1}):
        with pytest.raises(ValueError, match=r"stem|nothing"):
            sizes.size(recipe, wrong)
    for wrong in ({"head": 10**6}, {"head": -1}, {"nothing": 1}):
        with pytest.raises(ValueError, match=r"head|nothing"):
            sizes.size(recipe, nonzero=wrong)


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = make_net()
    recipe = channel_recipe(module, ["stem"])
    plan = plan_for(module, recipe)
    small = shrink(module, plan, INPUTS)
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ValueError, match="No space left"):
        save_checkpoint(path, small, plan, recipe)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    save_checkpoint(path, small, plan, recipe)
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ValueError, match="cannot be written"):
        save_checkpoint(tmp_path / "no folder" / "a.safetensors", small, plan, recipe)


def test_what_does_not_belong_together_is_not_saved(tmp_path: Path) -> None:
    module = make_net()
    plan, recipe = mixed_plan(module)
    small = shrink(module, plan, INPUTS)
    channels = channel_recipe(module, ["stem"])
    other = plan_for(module, channel_recipe(module, ["inner"]))
    path = tmp_path / "a.safetensors"
    cases = [
        (module, plan, {}, "weights where the plan removes them"),
        (shrink(module, other, INPUTS), plan, {}, "mask of 'inner.weight' has shape"),
        (nn.Linear(2, 2), plan, {}, "this network does not have"),
        (shrink(module, other, INPUTS), plan_for(module, channels), {}, "other shapes"),
        (small, plan, {"form": "zip"}, "no form 'zip'"),
        (small, plan, {"extra": {"pruning.recipe": "x"}}, "rename"),
        (small, plan, {"extra": {"format": "x"}}, "rename"),
    ]
    for network, its_plan, options, message in cases:
        with pytest.raises(ValueError, match=message):
            save_checkpoint(path, network, its_plan, recipe, **options)
    with torch.no_grad():
        small.head.bias[0] = float("nan")
    with pytest.raises(ValueError, match=r"'head\.bias' holds NaN"):
        save_checkpoint(path, small, plan, recipe)
    assert not path.exists()
