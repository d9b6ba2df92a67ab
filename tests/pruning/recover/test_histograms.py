"""Histograms of weights while they are pruned."""

from __future__ import annotations

import math
from time import process_time

import numpy as np
import pytest
import torch
from tiny_networks import NETWORKS, tiny
from torch import nn

from pruning.models import load_model
from pruning.recover import histograms as file
from pruning.recover.histograms import histograms
from pruning.recover.record import BINS


def edges_of(found: dict) -> dict[str, float]:
    return {name: one.edge for name, one in found.items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_is_counted_once(name: str) -> None:
    module = tiny(name)
    for layer, found in histograms(module).items():
        weight = module.get_submodule(layer).weight
        assert sum(found.counts) + found.zero == weight.numel()
        assert found.edge == weight.abs().max()
        assert len(found.counts) == BINS


def test_a_shared_weight_is_shown_once() -> None:
    assert list(histograms(tiny("tied"))) == ["first", "again", "head"]


def test_counts_are_those_of_numpy_without_zeros() -> None:
    layer = nn.Linear(40, 30)
    with torch.no_grad():
        layer.weight[::3] = 0
        layer.weight[1, :5] = 1e-4
    found = histograms(nn.Sequential(layer))["0"]
    values = layer.weight.detach().flatten().numpy()
    expected, _ = np.histogram(values[values != 0], BINS, (-found.edge, found.edge))
    assert list(found.counts) == expected.tolist()
    assert found.zero == 400
    assert found.near == int(((np.abs(values) < found.edge / 100) & (values != 0)).sum()) >= 5


@pytest.mark.parametrize("edge", [0.1, 1 / 3, 0.7, 1.1, math.pi, 1e-8, 7e5])
def test_zeros_are_in_no_bin_whatever_the_edge(edge: float) -> None:
    layer = nn.Linear(5, 5)
    nn.init.zeros_(layer.weight)
    found = histograms(nn.Sequential(layer), {"0": edge})["0"]
    assert (found.counts, found.zero, found.near, found.edge) == ((0,) * BINS, 25, 0, edge)


def test_edges_stay_and_what_lies_beyond_is_in_the_last_bin() -> None:
    module = tiny("plain")
    first = histograms(module)
    with torch.no_grad():
        module.conv1.weight.mul_(3)
    later = histograms(module, edges_of(first))
    assert edges_of(later) == edges_of(first)
    edge = first["conv1"].edge
    beyond = int((module.conv1.weight > edge * (1 - 1 / BINS)).sum())
    assert later["conv1"].counts[-1] >= beyond > 0
    assert sum(later["conv1"].counts) == module.conv1.weight.numel()


def test_layers_that_are_gone_are_left_out() -> None:
    edges = {"conv1": 1.0, "gone": 1.0}
    assert list(histograms(tiny("plain"), edges)) == ["conv1"]


def test_the_largest_layers_are_shown_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "MOST_HISTOGRAMS", 2)
    assert list(histograms(tiny("plain"))) == ["conv2", "head"]


def test_weights_that_went_wrong_do_not_stop_it() -> None:
    layer = nn.Linear(4, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[float("nan"), float("inf"), 0.5, 0], [0.25, 0, 0, 0]]))
    found = histograms(nn.Sequential(layer))["0"]
    assert found.edge == 0.5
    assert (sum(found.counts), found.zero) == (3, 4)


def test_it_takes_a_few_milliseconds() -> None:
    module = load_model("cifar10-resnet20").module
    edges = edges_of(histograms(module))
    times = []
    for _ in range(25):
        start = process_time()
        histograms(module, edges)
        times.append(process_time() - start)
    assert min(times) < 0.005
