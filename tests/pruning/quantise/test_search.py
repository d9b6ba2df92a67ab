"""The search for CLIP-Q's parameters."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from fake_task import FakeTask, fake_task
from tiny_networks import Plain, Tied
from torch import nn

from pruning.quantise import Clip, ClipQ, search
from pruning.quantise.search import size_of

LAYERS = ("conv2", "head")
SMALL = {"shares": (0.0, 0.5, 0.9), "bits": (1, 4)}


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return Plain().eval()


@pytest.fixture
def task(net: nn.Module) -> FakeTask:
    """The network is always right on it, so that every change costs."""
    task = fake_task(images=200)
    with torch.no_grad():
        right = net(task.validation.x).argmax(1)
    return replace(task, validation=replace(task.validation, targets=right))


def test_size_by_hand() -> None:
    assert size_of(10, Clip(0.0, 4)) == 40
    assert size_of(10, Clip(0.5, 2)) == 10 * (1 + 1)
    assert size_of(100, Clip(0.9, 1)) == pytest.approx(100 * (0.468996 + 0.1), rel=1e-5)


@pytest.mark.parametrize("ratio", [8.0, 16.0, 40.0])
def test_it_is_as_small_as_asked_and_changes_nothing(net: nn.Module, task: FakeTask, ratio: float) -> None:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    seen = []
    found = search(net, task, LAYERS, ratio=ratio, **SMALL, on_tried=seen.append)  # type: ignore[arg-type]
    assert found.ratio >= ratio
    assert set(found.clips) == set(LAYERS)
    assert found == search(net, task, LAYERS, ratio=ratio, **SMALL)  # type: ignore[arg-type]
    assert len(seen) == len(found.tried) == 2 * 6
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    ClipQ(net, found.clips)


def test_no_other_choice_that_is_as_small_changes_less(net: nn.Module, task: FakeTask) -> None:
    found = search(net, task, LAYERS, ratio=12.0, **SMALL)  # type: ignore[arg-type]
    by_layer = [[one for one in found.tried if one.layer == name] for name in LAYERS]

    def sums(pair: tuple) -> tuple[float, float]:  # type: ignore[type-arg]
        return sum(one.change for one in pair), sum(one.bits for one in pair)

    chosen = tuple(next(one for one in options if one.clip == found.clips[one.layer]) for options in by_layer)
    change, bits = sums(chosen)
    for pair in itertools.product(*by_layer):
        other = sums(pair)
        assert other[1] > bits or other[0] >= change


def test_more_is_taken_when_more_is_asked(net: nn.Module, task: FakeTask) -> None:
    ratios = [search(net, task, LAYERS, ratio=ratio).ratio for ratio in (5.0, 10.0, 30.0)]
    assert ratios == sorted(ratios)
    assert ratios[0] < ratios[-1]


def test_a_network_without_numbers_is_searched_all_the_same(net: nn.Module) -> None:
    with torch.no_grad():
        net.norm2.running_var.fill_(math.inf)  # type: ignore[union-attr, operator]
        net.head.bias[0] = math.nan  # type: ignore[union-attr, index]
    assert search(net, fake_task(), LAYERS, ratio=8.0, **SMALL).ratio >= 8  # type: ignore[arg-type]


def test_shared_weights_are_one(net: nn.Module) -> None:
    found = search(Tied().eval(), fake_task(), ["again", "twin"], ratio=8.0, **SMALL)  # type: ignore[arg-type]
    assert list(found.clips) == ["again"]


@pytest.mark.parametrize("ratio", [1000.0, 1.0, 0.0, float("nan")])
def test_a_ratio_out_of_reach_is_refused(net: nn.Module, ratio: float) -> None:
    with pytest.raises(ValueError, match="ask for a ratio in between"):
        search(net, fake_task(), LAYERS, ratio=ratio)


def test_refused(net: nn.Module) -> None:
    with pytest.raises(ValueError, match="nothing to choose from"):
        search(net, fake_task(), [], ratio=8.0)
    with pytest.raises(ValueError, match="no weight of its own"):
        search(net, fake_task(), ["norm1"], ratio=8.0)
