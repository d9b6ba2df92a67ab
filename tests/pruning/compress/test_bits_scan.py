"""A scan of bits measures what the whole network with one layer shared answers."""

from __future__ import annotations

import threading

import pytest
from torch import nn

import pruning
from pruning.compress import BitsPoint, BitsScan, Sharing, bits_scan, shared
from pruning.sensitivity import Precise

NAMES = ("digits-mlp", "digits-cnn", "digits-vit")
BITS = (1, 4, 8)


def scan(name: str, **options: object) -> tuple[nn.Module, pruning.Task, list[str], BitsScan]:
    loaded, task = pruning.load_model(name), pruning.load_task("digits")
    layers = [
        layer.name for layer in pruning.find_layers(loaded.module, loaded.example_inputs) if layer.prunable
    ]
    chosen = [layers[0], layers[-1]]
    return loaded.module, task, chosen, bits_scan(loaded.module, task, chosen, BITS, limit=200, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", ["cluster", "uniform", "clip-q"])
def test_each_layer_is_measured_alone(name: str, method: str) -> None:
    sharing = Sharing(method=method)  # type: ignore[arg-type]
    module, task, layers, walk = scan(name, sharing=sharing)
    points = {(point.layer, point.bits): point for point in walk}
    assert set(points) == {(layer, bits) for layer in layers for bits in BITS}
    assert walk.dense.accuracy == pruning.evaluate(module, task, limit=200).accuracy
    for (layer, bits), point in points.items():
        version = shared(module, sharing.model_copy(update={"bits": {layer: bits}}))
        report = pruning.evaluate(version, task, limit=200)
        assert (point.found.accuracy, point.found.interval) == (report.accuracy, report.interval)
        before, after = (each.get_submodule(layer).weight.detach().double() for each in (module, version))
        assert point.error == pytest.approx(float((before - after).square().sum() / before.square().sum()))
    if method != "clip-q":  # which clips as much at any bits
        assert points[layers[0], 1].error > points[layers[0], 4].error > points[layers[0], 8].error
    assert len(walk.points) == len(points)


def test_what_is_known_is_not_measured_again_and_a_stop_ends_it() -> None:
    *_, walk = scan("digits-mlp")
    points = list(walk)
    *_, again = scan("digits-mlp", known=points[:4])
    assert again.points == tuple(points[:4])
    assert [(new.layer, new.bits) for new in again] == [(p.layer, p.bits) for p in points[4:]]
    assert sorted(map(place, again.points)) == sorted(map(place, points))
    stop = threading.Event()
    stop.set()
    *_, stopped = scan("digits-mlp", stop=stop)
    assert not list(stopped)


def test_a_precise_scan_says_how_it_knows() -> None:
    module, task, layers, walk = scan("digits-mlp", precise=Precise(points=5))
    list(walk)
    assert walk.walk.settled == walk.walk.total == len(layers) * len(BITS)
    assert walk.walk.images < walk.walk.images_exact
    for point in walk.points:
        version = shared(module, Sharing(bits={point.layer: point.bits}))
        low, high = point.found.bounds
        assert low <= pruning.evaluate(version, task, limit=200).accuracy <= high


def test_a_weight_that_two_layers_have_in_common_is_measured_once() -> None:
    loaded, task = pruning.load_model("digits-mlp"), pruning.load_task("digits")
    module = nn.Sequential(loaded.module, nn.Linear(10, 10, bias=False), nn.Linear(10, 10, bias=False))
    module[2].weight = module[1].weight
    points = list(bits_scan(module.eval(), task, ["2", "1"], (2,), limit=50))
    version = shared(module, Sharing(bits={"2": 2}))
    assert [point.layer for point in points] == ["2"]
    assert points[0].found.accuracy == pruning.evaluate(version, task, limit=50).accuracy


@pytest.mark.parametrize(
    ("layers", "bits", "split", "sentence"),
    [
        (["nowhere"], (4,), "validation", "no layer 'nowhere'"),
        (["head"], (9,), "validation", "9"),
        (["head"], (4,), "test", "Test data is for final results only"),
    ],
)
def test_what_cannot_be_is_refused(
    layers: list[str], bits: tuple[int, ...], split: str, sentence: str
) -> None:
    loaded, task = pruning.load_model("digits-mlp"), pruning.load_task("digits")
    with pytest.raises(ValueError, match=sentence):
        bits_scan(loaded.module, task, layers, bits, split=split)


def place(point: BitsPoint) -> tuple[str, int, float]:
    return point.layer, point.bits, point.found.accuracy
