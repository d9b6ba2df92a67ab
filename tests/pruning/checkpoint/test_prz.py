"""Checkpoints as .prz: the same network as from a .safetensors, smaller; damaged ones are refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_nets import INPUTS, Net, channel_recipe, make_net, outputs, plan_for, stir, weight_recipe
from torch import nn

import pruning
from pruning.blocks import find_blocks
from pruning.checkpoint import (
    checkpoint_bytes,
    checkpoint_size,
    load_checkpoint,
    loading_code,
    prz_bytes,
    read_state_dict,
    save_checkpoint,
    save_prz,
    self_check,
)
from pruning.checkpoint.write import describe
from pruning.coding import Coding, breakdown, decode, encode
from pruning.masks import apply_masks
from pruning.models.loading import example_inputs
from pruning.plan import Plan
from pruning.recipe import Recipe, Rule
from pruning.shrink import shrink

ROOT = Path(pruning.__file__).parents[1]


def assert_same(module: nn.Module, loaded: nn.Module, x: torch.Tensor) -> None:
    ours, theirs = module.state_dict(), loaded.state_dict()
    assert list(ours) == list(theirs)
    for name, tensor in ours.items():
        assert theirs[name].dtype == tensor.dtype
        assert theirs[name].numpy(force=True).tobytes() == tensor.numpy(force=True).tobytes(), name
    assert torch.equal(outputs(loaded, x), outputs(module.eval(), x))


def masked_mlp(ratio: float = 0.9) -> tuple[nn.Module, Plan, Recipe]:
    module = pruning.build_model("digits-mlp").eval()
    inputs = example_inputs(pruning.MODELS["digits-mlp"])
    recipe = weight_recipe(module, inputs, ratio)
    plan = plan_for(module, recipe, inputs)
    return apply_masks(module, plan), plan, recipe


@pytest.mark.parametrize("name", pruning.MODELS)
def test_every_built_in_network_survives_the_file(name: str, tmp_path: Path) -> None:
    module = pruning.build_model(name)
    stir(module)
    module.eval()
    inputs = example_inputs(pruning.MODELS[name])
    ids = [group.id for group in pruning.find_groups(module, inputs)]
    recipe = channel_recipe(module, ids, seed=3)
    plan = plan_for(module, recipe, inputs)
    small = shrink(module, plan, inputs)
    path = save_prz(tmp_path / "a.prz", small, plan, recipe, extra={"accuracy": "0.97"})
    again = load_checkpoint(path)
    other = load_checkpoint(checkpoint_bytes(small, plan, recipe))
    assert_same(small, again.module, torch.randn(3, *pruning.MODELS[name].input_shape))
    assert again.architecture == again.module.architecture == name
    assert again.recipe == other.recipe == recipe
    assert again.form == "prz"
    assert again.extra == {"accuracy": "0.97"}
    assert again.file_bytes == path.stat().st_size
    assert again.keep.keys() == other.keep.keys()
    assert all(torch.equal(again.keep[key], keep) for key, keep in other.keep.items())


@settings(max_examples=25)
@given(ratio=st.floats(0, 1), bits=st.integers(1, 8), seed=st.integers(0, 99))
def test_channels_and_shared_single_weights_together(ratio: float, bits: int, seed: int) -> None:
    module = make_net(seed)
    rules = {
        "stem": Rule(ratio=0.4, criterion="random"),
        "inner": Rule(ratio=ratio, granularity="weight", criterion="random"),
        "head": Rule(ratio=ratio, granularity="weight", criterion="random"),
    }
    recipe = Recipe(rules=rules, seed=seed)
    plan = plan_for(module, recipe)
    small = shrink(module, plan, INPUTS)
    with torch.no_grad():
        for layer in plan.weights:
            weight = small.get_submodule(layer).weight
            weight.copy_((weight * 2**bits).round() / 2**bits)
    again = load_checkpoint(prz_bytes(small, plan, recipe), Net(), INPUTS)
    assert_same(small, again.module, INPUTS[0])
    for layer in plan.weights:
        assert torch.equal(again.keep[layer], small.get_submodule(layer).weight != 0)


def test_a_dropped_layer_stays_dropped() -> None:
    module = pruning.build_model("digits-resnet").eval()
    inputs = example_inputs(pruning.MODELS["digits-resnet"])
    block = find_blocks(module, inputs).blocks[0]
    recipe = Recipe(rules={block.id: Rule(ratio=1, granularity="layer")}, model="digits-resnet")
    plan = plan_for(module, recipe, inputs)
    small = shrink(module, plan, inputs)
    again = load_checkpoint(prz_bytes(small, plan, recipe))
    assert_same(small, again.module, torch.randn(2, 1, 8, 8))


def test_half_precision() -> None:
    for dtype in (torch.bfloat16, torch.float16):
        module = make_net().to(dtype)
        with torch.no_grad():
            module.head.bias[:2] = torch.tensor([-0.0, 1e-40], dtype=dtype)
        recipe = channel_recipe(module, ["stem"])
        plan = plan_for(module, recipe, (INPUTS[0].to(dtype),))
        small = shrink(module, plan, (INPUTS[0].to(dtype),))
        again = load_checkpoint(prz_bytes(small, plan, recipe), Net().to(dtype), (INPUTS[0].to(dtype),))
        for name, tensor in small.state_dict().items():
            assert again.module.state_dict()[name].dtype == tensor.dtype
            bits = torch.int16 if tensor.dtype == dtype else torch.int64
            assert torch.equal(again.module.state_dict()[name].view(bits), tensor.view(bits))


def test_it_is_the_smallest_and_the_same_by_every_way(tmp_path: Path) -> None:
    masked, plan, recipe = masked_mlp()
    sizes = {
        form: len(checkpoint_bytes(masked, plan, recipe, form=form)) for form in ("dense", "sparse", "prz")
    }
    assert sizes["prz"] < sizes["sparse"] < sizes["dense"]
    one = save_checkpoint(tmp_path / "one.prz", masked, plan, recipe, form="prz")
    two = save_prz(tmp_path / "two.prz", masked, plan, recipe)
    assert one.read_bytes() == two.read_bytes() == prz_bytes(masked, plan, recipe)
    assert len(save_prz(two, masked, plan, recipe, coding=Coding(huffman=False)).read_bytes()) > sizes["prz"]
    found = breakdown(one.read_bytes())
    assert {part.name: part.nonzero for part in found.parts} == {
        name: int(tensor.count_nonzero()) for name, tensor in masked.state_dict().items()
    }
    state = read_state_dict(one)
    assert all(torch.equal(state[name], tensor) for name, tensor in masked.state_dict().items())


def test_its_size_is_not_foretold() -> None:
    masked, plan, recipe = masked_mlp()
    with pytest.raises(ValueError, match=r"write it with prz_bytes"):
        checkpoint_size(masked, plan, recipe, form="prz")


def test_metadata_are_those_of_the_other_forms() -> None:
    masked, plan, recipe = masked_mlp()
    told = decode(prz_bytes(masked, plan, recipe))[1]
    assert json.loads(told["pruning.masked"]) == [f"{layer}.weight" for layer in plan.weights]
    assert Recipe.from_json(told["pruning.recipe"]) == recipe
    other = describe(masked, plan, recipe, masks={}, form="prz").metadata
    assert {key: text for key, text in told.items() if key != "pruning.masked"} == {
        key: text for key, text in other.items() if key != "pruning.masked"
    }


def test_the_loading_code_predicts_the_same_in_a_fresh_process(tmp_path: Path) -> None:
    masked, plan, recipe = masked_mlp()
    save_prz(tmp_path / "a.prz", masked, plan, recipe)
    (tmp_path / "load.py").write_text(loading_code("digits-mlp", "a.prz"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "load.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    predicted = outputs(masked, torch.zeros(1, 1, 8, 8)).argmax(1).tolist()
    parameters = sum(parameter.numel() for parameter in masked.parameters())
    assert done.stdout == f"predicted class: {predicted}\nparameters: {parameters}\n"


def test_a_fresh_process_gives_every_output_the_same() -> None:
    masked, plan, recipe = masked_mlp()
    test = pruning.load_task("digits").test
    check = self_check(prz_bytes(masked, plan, recipe), masked, test, limit=200, fresh_process=True)
    assert (check.passed, check.identical, check.n) == (True, True, 200)


def test_what_does_not_belong_together_is_not_saved() -> None:
    masked, plan, recipe = masked_mlp()
    with pytest.raises(ValueError, match="rename"):
        prz_bytes(masked, plan, recipe, extra={"pruning.recipe": "x"})
    with pytest.raises(ValueError, match="weights where the plan removes them"):
        prz_bytes(pruning.build_model("digits-mlp"), plan, recipe)
    with torch.no_grad():
        masked.hidden.fc1.bias[0] = float("nan")
    with pytest.raises(ValueError, match="holds NaN"):
        prz_bytes(masked, plan, recipe)


def forged(data: bytes, **changes: str | None) -> bytes:
    """The same tensors with other metadata; None takes one away."""
    tensors, told = decode(data)
    fields = {**told, **{f"pruning.{key}": text for key, text in changes.items()}}
    return encode(tensors, {key: text for key, text in fields.items() if text is not None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": "2"}, "version '2'"),
        ({"form": "dense"}, "unknown form 'dense'"),
        ({"form": "sparse"}, "unknown form 'sparse'"),
        ({"recipe": "{"}, "recipe"),
        ({"keep": None}, "keep"),
        ({"masked": None}, "not readable"),
        ({"masked": "[3]"}, "not readable"),
        ({"masked": '["nothing"]'}, "'nothing' is not readable"),
        ({"bfloat16": "[" * 100_000}, "not readable"),
        ({"bfloat16": '["head.bias"]'}, "'head.bias' is float32"),
        ({"architecture": "digits-cnn"}, "lacks the tensor"),
        ({"architecture": "other"}, "not built in"),
    ],
)
def test_forged_metadata(changes: dict[str, str | None], message: str) -> None:
    masked, plan, recipe = masked_mlp()
    data = prz_bytes(masked, plan, recipe)
    assert load_checkpoint(forged(data)).recipe == recipe, "the forger's own work is not noticed"
    with pytest.raises(ValueError, match=message) as error:
        load_checkpoint(forged(data, **changes))
    assert "\n" not in str(error.value)


def test_forged_tensors() -> None:
    masked, plan, recipe = masked_mlp()
    tensors, told = decode(prz_bytes(masked, plan, recipe))
    cases = {
        "has shape 10x99": {"head.weight": np.zeros((10, 99), "float32")},
        "a tensor too many": {"more": np.zeros(3, "float32")},
        "is torch.int32": {"head.bias": np.zeros(10, "int32")},
        "is uint32": {"head.bias": np.zeros(10, "uint32")},
        "holds an infinite value": {"head.bias": np.full(10, np.inf, "float32")},
        "too many, 'empty'": {"empty": np.zeros((0, 2**30, 2**28), "float32")},
    }
    for message, change in cases.items():
        with pytest.raises(ValueError, match=message):
            load_checkpoint(encode({**tensors, **change}, told))


def test_a_claim_of_huge_tensors_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    masked, plan, recipe = masked_mlp()
    tensors, told = decode(prz_bytes(masked, plan, recipe))
    data = encode({**tensors, "head.weight": np.zeros((10, 2_500_000), "float32")}, told)
    monkeypatch.setattr("pruning.checkpoint.prz.decode", None)  # calling it would be a TypeError
    with pytest.raises(ValueError, match="has shape 10x2500000"):
        load_checkpoint(data)
    with pytest.raises(ValueError, match="at most"):
        read_state_dict(data)


def test_every_changed_byte_is_noticed() -> None:
    module = make_net(channels=1, hidden=1)
    recipe = channel_recipe(module, ["inner"], 0.0)
    data = prz_bytes(module, plan_for(module, recipe), recipe)
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        for read in (load_checkpoint, read_state_dict):
            with pytest.raises(ValueError, match=r"\.$"):
                read(bytes(damaged))
    for length in range(len(data)):
        with pytest.raises(ValueError, match=r"\.$"):
            load_checkpoint(data[:length])


def test_a_prz_of_others_gives_its_tensors_but_no_checkpoint() -> None:
    tensors = {"module.w": np.arange(4, dtype="float32")}
    data = encode(tensors)
    assert read_state_dict(data)["w"].tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match=r"plain \.prz"):
        load_checkpoint(data)
    with pytest.raises(ValueError, match="no tensors"):
        read_state_dict(encode({}))
