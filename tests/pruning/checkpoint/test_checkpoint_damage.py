"""Damaged, changed and forged checkpoints: always one sentence, never another network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_nets import INPUTS, Net, channel_recipe, forged, make_net, outputs, plan_for

from pruning.checkpoint import checkpoint_bytes, load_checkpoint, read_state_dict
from pruning.checkpoint.container import read_container
from pruning.masks import apply_masks
from pruning.recipe import Recipe, Rule
from pruning.shrink import shrink


def small_file(form: str) -> bytes:
    """Two rules, so that the file has both kinds of record."""
    module = make_net(channels=2, hidden=3)
    rules = {
        "stem": Rule(ratio=0.5, criterion="random"),
        "hidden": Rule(ratio=0.5, granularity="weight", criterion="random"),
    }
    recipe = Recipe(rules=rules)
    plan = plan_for(module, recipe)
    return checkpoint_bytes(shrink(module, plan, INPUTS), plan, recipe, form=form)


FILES = {form: small_file(form) for form in ("dense", "sparse")}


def load(data: bytes) -> None:
    load_checkpoint(data, Net(2, 3), INPUTS)


def test_the_files_themselves_are_good() -> None:
    for data in FILES.values():
        load(data)
        assert forged(data) == data


def test_no_flipped_bit_passes() -> None:
    data = FILES["sparse"]
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << (position % 8)
        with pytest.raises(ValueError, match=r"file|tensor|header"):
            load(bytes(damaged))


@pytest.mark.parametrize("form", FILES)
def test_no_cut_passes(form: str) -> None:
    data = FILES[form]
    for length in range(0, len(data), 3):
        with pytest.raises(ValueError, match="file"):
            load(data[:length])
    with pytest.raises(ValueError, match="file"):
        load(data + b"\0")


@given(form=st.sampled_from(sorted(FILES)), data=st.data())
def test_no_damage_passes(form: str, data: st.DataObject) -> None:
    whole = FILES[form]
    begin = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(begin, min(len(whole), begin + 40)))
    damaged = whole[:begin] + data.draw(st.binary(max_size=40)) + whole[end:]
    if damaged == whole:
        return
    for read in (load, read_state_dict):
        with pytest.raises(ValueError, match=r"\w{3}") as caught:
            read(damaged)
        message = str(caught.value)
        assert message.endswith(".")
        assert message.isprintable()
        assert len(message) < 400


def masked(**record: object) -> dict[str, object]:
    """The file's record of its packed tensor, changed."""
    table = json.loads(read_container(FILES["sparse"])[1]["pruning.masked"])
    return {"pruning.masked": {"hidden.weight": {**table["hidden.weight"], **record}}}


def keep(size: object, kept: object, key: str = "stem") -> dict[str, object]:
    return {"pruning.keep": {key: {"size": size, "kept": kept}}}


FORGED: dict[str, tuple[dict[str, object], str]] = {
    "no digest": ({"pruning.digest": None}, "digest"),
    "short digest": ({"pruning.digest": "00"}, "digest"),
    "plain file": (
        {
            f"pruning.{key}": None
            for key in ("version", "architecture", "form", "recipe", "keep", "masked", "digest")
        },
        "plain .safetensors",
    ),
    "version 2": ({"pruning.version": "2"}, "version '2'"),
    "no version": ({"pruning.version": None}, "version"),
    "unknown form": ({"pruning.form": "zip\n"}, r"form 'zip\\n'"),
    "no recipe": ({"pruning.recipe": None}, "recipe"),
    "recipe of nonsense": ({"pruning.recipe": {"rules": 3}}, "recipe is not valid at rules"),
    "keep is not JSON": ({"pruning.keep": "{"}, "keep"),
    "keep is a list": ({"pruning.keep": []}, "keep"),
    "keep is deep": ({"pruning.keep": "[" * 10**5}, "keep"),
    "keep of texts": ({"pruning.keep": {"stem": "ff"}}, "keep"),
    "no digits": (keep(2, None), "'stem'"),
    "size is a text": (keep("2", "80"), "'stem'"),
    "size is true": (keep(True, "80"), "'stem'"),
    "huge size": (keep(2**60, "80"), "'stem'"),
    "too few digits": (keep(9, "80"), "'stem'"),
    "not hexadecimal": (keep(2, "8 "), "'stem'"),
    "upper case": (keep(2, "8A".lower().upper()), "'stem'"),
    "bits beyond the end": (keep(2, "81"), "'stem'"),
    "another size": (keep(3, "80"), "3 units .* the architecture has 2 units"),
    "unknown group": (keep(2, "80", "nowhere\x1b"), "nowhere.*no such group"),
    "nothing kept": (keep(2, "00"), "keep at least 1"),
    "everything kept": (keep(2, "c0"), "has shape"),
    "masked of texts": ({"pruning.masked": {"hidden.weight": "plain"}}, "masked"),
    "unknown encoding": (masked(encoding="zip"), "masked tensor 'hidden.weight'"),
    "encoding is a list": (masked(encoding=[]), "masked tensor 'hidden.weight'"),
    "shape is a text": (masked(shape="3"), "masked tensor 'hidden.weight'"),
    "shape negative": (masked(shape=[-3, 1]), "masked tensor 'hidden.weight'"),
    "not packed after all": (masked(encoding="plain"), "not in the file"),
    "terabytes": (masked(shape=[2**40, 2**20]), "has shape|damaged"),
    "smaller than its values": (masked(shape=[1, 1]), "impossible"),
    "another tensor": (
        {"pruning.masked": {"head.weight": {"encoding": "bitmap", "shape": [3, 3]}}},
        "not in the file",
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_metadata_with_a_fitting_digest(name: str) -> None:
    change, message = FORGED[name]
    with pytest.raises(ValueError, match=message) as caught:
        load(forged(FILES["sparse"], metadata=change))
    assert str(caught.value).endswith(".")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stem.bias": None}, "lacks the tensor 'stem.bias'"),
        ({"more": torch.ones(2)}, "too many, 'more'"),
        ({"stem.bias": torch.ones(5)}, "'stem.bias' has shape 5"),
        ({"stem.bias": torch.ones(1, dtype=torch.int64)}, "'stem.bias' is torch.int64"),
        ({"stem.bias": torch.tensor([float("nan")])}, "'stem.bias' holds NaN"),
        ({"hidden.weight": torch.ones(3, 1)}, "not in the file as values and positions"),
        ({"hidden.weight.values": None}, "not in the file as values and positions"),
        ({"hidden.weight.values": torch.ones(1)}, "damaged"),
        ({"hidden.weight.values": torch.ones(2, 1)}, "impossible"),
        ({"hidden.weight.positions": torch.zeros(9, dtype=torch.uint8)}, "damaged"),
        ({"hidden.weight.positions": torch.zeros(1, dtype=torch.int8)}, "impossible"),
        ({"hidden.weight.positions": torch.full((1,), 255, dtype=torch.uint8)}, "damaged"),
    ],
)
def test_forged_tensors_with_a_fitting_digest(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(forged(FILES["sparse"], tensors=change))


def test_a_packed_tensor_cannot_claim_a_terabyte_as_an_upload() -> None:
    """No architecture says here how large it may be; its positions of no kept weight take no bytes."""
    data = forged(
        FILES["sparse"],
        metadata={"pruning.masked": {"hidden.weight": {"encoding": "elias-fano", "shape": [2**38]}}},
        tensors={
            "hidden.weight.values": torch.ones(0),
            "hidden.weight.positions": torch.ones(0, dtype=torch.uint8),
        },
    )
    with pytest.raises(ValueError, match="claim 1,099,511,627,776 bytes"):
        read_state_dict(data)
    with pytest.raises(ValueError, match="has shape"):
        load(data)


def test_an_architecture_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="'net', not built in; give load_checkpoint a module"):
        load_checkpoint(FILES["dense"])
    with pytest.raises(ValueError, match="unnamed architecture"):
        load_checkpoint(forged(FILES["dense"], metadata={"pruning.architecture": ""}))
    with pytest.raises(ValueError, match="example_inputs"):
        load_checkpoint(FILES["dense"], Net(2, 3))
    with pytest.raises(ValueError, match=r"lacks the tensor 'hidden.fc1"):
        load_checkpoint(forged(FILES["dense"], metadata={"pruning.architecture": "digits-mlp"}))


def test_a_weights_only_checkpoint_needs_no_example_inputs() -> None:
    module = make_net()
    rules = {"hidden": Rule(ratio=0.5, granularity="weight", criterion="random")}
    plan = plan_for(module, Recipe(rules=rules))
    data = checkpoint_bytes(apply_masks(module, plan), plan, Recipe(rules=rules))
    assert torch.equal(load_checkpoint(data, Net()).keep["hidden"], plan.keep["hidden"])


def test_an_upload_of_a_pruned_network_loses_nothing() -> None:
    module = make_net()
    recipe = channel_recipe(module, ["stem"])
    plan = plan_for(module, recipe)
    small = shrink(module, plan, INPUTS)
    state = read_state_dict(checkpoint_bytes(small, plan, recipe))
    assert all(torch.equal(state[name], tensor) for name, tensor in small.state_dict().items())


def test_a_file_of_version_1_loads_for_ever() -> None:
    """Written once, never again: whoever took a checkpoint home must be able to load it later."""
    again = load_checkpoint(Path(__file__).with_name("version-1.safetensors"), Net(4, 8), INPUTS)
    found = outputs(again.module, torch.linspace(-1, 1, 25).reshape(1, 1, 5, 5))
    torch.testing.assert_close(found, torch.tensor(json.loads(again.extra["outputs"])))
    assert {key: int(keep.sum()) for key, keep in again.keep.items()} == {"stem": 2, "hidden": 8, "inner": 11}
