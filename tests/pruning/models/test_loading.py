"""Shipped weights are what their cards say; other weights are checked before they are used."""

import hashlib
import math
from collections.abc import Callable

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from pruning.evaluate import evaluate, wilson
from pruning.models import ASSETS, MODELS, build_model, load_model, read_card
from pruning.tasks import MissingData, load_task
from pruning.train import TRAININGS

SHIPPED = [name for name in MODELS if (ASSETS / f"{name}.safetensors").is_file()]
LEAST_ACCURACY = {
    "digits": 0.97,
    "mnist-lenet-300-100": 0.983,
    "mnist-lenet-5": 0.991,
    "cifar10-resnet20": 0.905,
}


def test_every_built_in_network_ships() -> None:
    assert list(MODELS) == SHIPPED == list(TRAININGS)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_network_is_ready_to_use(name: str) -> None:
    loaded = load_model(name)
    assert loaded.name == name == loaded.module.architecture
    assert loaded.task == MODELS[name].task
    assert not any(part.training for part in loaded.module.modules())
    assert [tuple(x.shape) for x in loaded.example_inputs] == [(1, *MODELS[name].input_shape)]
    assert all(parameter.dtype == torch.float32 for parameter in loaded.module.parameters())
    assert name in loaded.provenance


@pytest.mark.parametrize("name", SHIPPED)
def test_a_card_belongs_to_its_weights(name: str) -> None:
    card = load_model(name).card
    data = (ASSETS / f"{name}.safetensors").read_bytes()
    assert card["sha256"] == hashlib.sha256(data).hexdigest()
    assert card["bytes"] == len(data)
    assert card["parameters"] == sum(parameter.numel() for parameter in build_model(name).parameters())
    assert card["training"]["epochs"] == TRAININGS[name].epochs
    for measured in card["accuracy"].values():
        assert measured["accuracy"] == measured["correct"] / measured["n"]
        assert measured["interval"] == pytest.approx(wilson(measured["correct"], measured["n"]))
    least = LEAST_ACCURACY.get(name, LEAST_ACCURACY["digits"])
    assert card["accuracy"]["test"]["accuracy"] >= least


@pytest.mark.parametrize("name", SHIPPED)
def test_a_card_tells_the_measured_accuracy(name: str) -> None:
    loaded = load_model(name)
    try:
        task = load_task(loaded.task)
    except MissingData as error:
        pytest.skip(str(error))
    report = evaluate(loaded.module, task, "test", batch_size=500)
    said = loaded.card["accuracy"]["test"]
    assert report.n == said["n"]
    # Another processor rounds differently, which can turn one image on the border between two classes.
    assert abs(int(report.right.sum()) - said["correct"]) <= 1
    assert report.loss == pytest.approx(said["loss"], rel=1e-3)


def good_state() -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in build_model("digits-cnn").state_dict().items()}


def test_weights_are_loaded_from_bytes_and_from_a_path(tmp_path) -> None:
    state = good_state()
    path = tmp_path / "mine.safetensors"
    path.write_bytes(save(state))
    for weights in (path, str(path), path.read_bytes()):
        loaded = load_model("digits-cnn", weights)
        assert torch.equal(loaded.module.head.weight, state["head.weight"])
        assert loaded.card == {}
    torch.save({"state_dict": state}, tmp_path / "mine.pt")
    assert torch.equal(load_model("digits-cnn", tmp_path / "mine.pt").module.head.bias, state["head.bias"])


def test_half_precision_weights_become_float32() -> None:
    state = {name: t.half() if t.is_floating_point() else t for name, t in good_state().items()}
    module = load_model("digits-cnn", save(state)).module
    assert module.head.weight.dtype == torch.float32
    assert torch.equal(module.head.weight, state["head.weight"].float())


def missing(state: dict[str, Tensor]) -> None:
    del state["head.weight"], state["head.bias"]


def extra(state: dict[str, Tensor]) -> None:
    state["tail.weight"] = torch.zeros(2)


def misshaped(state: dict[str, Tensor]) -> None:
    state["head.weight"] = torch.zeros(10, 127)


def not_a_number(state: dict[str, Tensor]) -> None:
    state["fc.bias"][3] = math.nan


def infinite(state: dict[str, Tensor]) -> None:
    state["fc.bias"][3] = -math.inf


def too_large_for_float32(state: dict[str, Tensor]) -> None:
    state["fc.bias"] = torch.full((128,), 1e300, dtype=torch.float64)


def negative_variance(state: dict[str, Tensor]) -> None:
    state["features.unit1a.norm.running_var"].fill_(-1.0)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (missing, "lacks the tensor 'head.weight'"),
        (extra, "'tail.weight'"),
        (misshaped, "'head.weight' has shape"),
        (not_a_number, "'fc.bias' holds NaN"),
        (infinite, "'fc.bias' holds an infinite"),
        (too_large_for_float32, "'fc.bias' has values too large for float32"),
        (negative_variance, "outputs on an example image"),
    ],
)
def test_wrong_weights_are_refused_in_one_sentence(
    damage: Callable[[dict[str, Tensor]], None], says: str
) -> None:
    state = good_state()
    damage(state)
    with pytest.raises(ValueError, match=r"^[^\n]+\.$") as caught:
        load_model("digits-cnn", save(state))
    assert says in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"\xff" * 8, b"\x80\x04}.", save({"a": torch.ones(9)})[:40]])
def test_what_is_no_weights_file_is_refused_in_one_sentence(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+\.$"):
        load_model("digits-cnn", data)


def test_an_unknown_model_has_neither_weights_nor_card() -> None:
    with pytest.raises(ValueError, match="There is no model 'nothing'"):
        load_model("nothing")
    with pytest.raises(ValueError, match="There is no model 'nothing'"):
        read_card("nothing")
