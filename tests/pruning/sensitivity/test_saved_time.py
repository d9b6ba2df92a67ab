import threading

import pytest
import torch
from fake_clock import Clock, stop_time
from torch import nn

from pruning.sensitivity import LatencyPoint, LatencyScan, latency_scan

X = (torch.zeros(1, 8),)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    stop_time(monkeypatch)


class Costly(nn.Linear):
    """A linear layer that takes 0.1 ms for each of its outputs."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        Clock.now += 1e-4 * self.out_features
        return super().forward(x)


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(Costly(8, 40), nn.ReLU(), Costly(40, 10), nn.ReLU(), Costly(10, 2)).eval()


def test_savings_are_those_of_the_smaller_network(net: nn.Module) -> None:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    told: list[tuple[LatencyPoint, int, int]] = []
    found = latency_scan(net, X, [0.25, 0.75], budget_s=2, on_point=lambda *all_: told.append(all_))
    assert found.keys == ("0", "2")
    assert found.complete
    assert [point.kept for point in found.curve("0")] == [30, 10]
    for point in found.points:
        expected = 1e-4 * (point.size - point.kept)
        assert point.interval[0] <= point.saved <= point.interval[1]
        assert point.saved == pytest.approx(expected), point
        assert point.dense == pytest.approx(5.2e-3)
    assert found.curve("0")[1].certain
    assert [(done, total) for _, done, total in told] == [(i, 4) for i in range(1, 5)]
    assert tuple(point for point, _, _ in told) == found.points
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert LatencyScan.from_json(found.to_json()) == found


def test_the_budget_is_shared_and_a_stop_ends_it(net: nn.Module) -> None:
    latency_scan(net, X, [0.5], budget_s=0.2)
    assert 0.18 < Clock.now < 0.25
    stop = threading.Event()
    found = latency_scan(net, X, [0.5, 0.75], budget_s=0.1, stop=stop, on_point=lambda *_: stop.set())
    assert len(found.points) == 1
    assert not found.complete


def test_certain_means_that_the_interval_leaves_no_doubt() -> None:
    def point(low: float, high: float, turns: int = 50) -> LatencyPoint:
        return LatencyPoint(
            key="a", ratio=0.5, kept=1, size=2, dense=1.0, saved=0.1, interval=(low, high), turns=turns
        )

    assert point(0.05, 0.2).certain
    assert point(-0.2, -0.05).certain
    assert not point(-0.05, 0.2).certain
    assert not point(0.0, 0.2).certain
    assert not point(0.05, 0.2, turns=5).certain


def test_wrong_arguments_and_texts_are_named(net: nn.Module) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        latency_scan(net, X, [2.0])
    with pytest.raises(ValueError, match="Nothing in this network"):
        latency_scan(nn.Linear(8, 2), X, [0.5])
    with pytest.raises(ValueError, match="The latency scan is not valid at batch_size"):
        LatencyScan.from_json("{}".replace("}", '"batch_size": "x", "model": null}'))
    found = latency_scan(net, X, [0.5], budget_s=0.01)
    with pytest.raises(ValueError, match="was not scanned"):
        found.curve("7")
