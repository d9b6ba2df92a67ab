import threading

import pytest
import torch
from fake_clock import Clock, stop_time
from torch import Tensor, nn

from pruning.latency.table import (
    ChannelPoint,
    ChannelTable,
    candidate_counts,
    measure_channels,
    refine_channels,
)

X = (torch.zeros(1, 8),)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> type[Clock]:
    return stop_time(monkeypatch)


class Vector(nn.Linear):
    """Computes eight outputs at a time, a millisecond each; and a bit that is the same for any number."""

    def forward(self, x: Tensor) -> Tensor:
        Clock.now += 1e-3 * -(-self.out_features // 8)
        return super().forward(x)


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(Vector(8, 40), nn.ReLU(), nn.Linear(40, 2)).eval()


def test_counts_after_which_one_more_costs_a_step_are_good(net: nn.Module) -> None:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    table = measure_channels(net, X, "0", budget_s=2)
    assert [point.kept for point in table.points] == list(candidate_counts(40))
    assert table.good == (8, 16, 24, 32)
    assert table.said == "One channel more than 8, 16, 24, 32 costs at least 2% of the time."
    assert table.size == 40
    times = {point.kept: point for point in table.points}
    assert times[17].seconds == pytest.approx(3e-3, abs=1e-6)
    assert times[24].seconds == pytest.approx(3e-3, abs=1e-6)
    assert times[24].ratio == pytest.approx(5 / 3, abs=1e-3)
    assert times[24].macs / times[40].macs == pytest.approx(24 / 40)
    assert times[40].step is None
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert ChannelTable.from_json(table.to_json()) == table


class Steady(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        Clock.now += 1e-3 + 1e-5 * self.out_features
        return super().forward(x)


def test_time_that_falls_without_steps_has_no_good_counts() -> None:
    table = measure_channels(nn.Sequential(Steady(8, 40), nn.Linear(40, 2)), X, "0", budget_s=2)
    assert table.good == ()
    assert "without clear steps" in table.said
    flat = measure_channels(nn.Sequential(nn.Linear(8, 20), Steady(20, 2)), X, "0", budget_s=1)
    assert flat.said == "No count saves time that can be told from noise on this machine."


def test_noise_as_large_as_the_steps_hides_them() -> None:
    class Noisy(Vector):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            Noisy.calls += 1
            Clock.now += 1e-2 * (Noisy.calls * 7 % 5)
            return super().forward(x)

    table = measure_channels(nn.Sequential(Noisy(8, 24), nn.Linear(24, 2)), X, "0", budget_s=2)
    assert table.good == ()


def test_too_few_turns_say_so(net: nn.Module) -> None:
    table = measure_channels(net, X, "0", budget_s=1e-4)
    assert table.good == ()
    assert table.said.startswith("Only 4 turns fitted")


def test_a_gap_between_counts_is_no_step(net: nn.Module) -> None:
    table = measure_channels(net, X, "0", counts=[8, 16, 17, 32], budget_s=1)
    assert [point.kept for point in table.points] == [8, 16, 17, 32, 40]
    assert table.good == (16,)


def test_every_slice_yields_a_table_and_a_stop_ends_it(net: nn.Module) -> None:
    stop, turns = threading.Event(), []
    for table in refine_channels(net, X, "0", budget_s=2, slices=5, stop=stop):
        turns.append(table.points[0].turns)
        if len(turns) == 2:
            stop.set()
    assert len(turns) == 2
    assert turns[0] < turns[1]


def test_the_same_seed_takes_the_same_turns_in_an_order_that_changes(net: nn.Module) -> None:
    seen: list[int] = []

    class Noted(Vector):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(self.out_features)
            return super().forward(x)

    def orders() -> list[tuple[int, ...]]:
        seen.clear()
        measure_channels(nn.Sequential(Noted(8, 10), nn.Linear(10, 2)), X, "0", counts=[4, 7], budget_s=0.5)
        return [tuple(seen[at : at + 3]) for at in range(0, len(seen) - 2, 3)][-40:]

    first = orders()
    assert orders() == first
    assert len(set(first)) > 3


def test_candidates_are_multiples_of_eight_and_odd_ones_beside_them() -> None:
    assert candidate_counts(5, 2) == (2, 3, 4, 5)
    assert candidate_counts(32) == (7, 8, 9, 15, 16, 17, 23, 24, 25, 32)
    many = candidate_counts(300)
    assert {16, 32, 288, 300, 75, 150, 225} <= set(many)
    assert any(count % 2 for count in many)
    assert all(len(candidate_counts(size)) <= 60 for size in (64, 128, 256, 512, 2048, 100_000))


def test_wrong_arguments_and_texts_are_named(net: nn.Module) -> None:
    with pytest.raises(ValueError, match="can keep 1 to 40 channels"):
        measure_channels(net, X, "0", counts=[0, 8])
    with pytest.raises(ValueError, match="positive"):
        measure_channels(net, X, "0", budget_s=0)
    with pytest.raises(ValueError, match="nowhere"):
        measure_channels(net, X, "nowhere")
    with pytest.raises(ValueError, match="The channel table is not valid"):
        ChannelTable.from_json("{}")
    with pytest.raises(ValueError, match="ratio"):
        ChannelPoint(kept=1, macs=1, seconds=1, q1=1, q3=1, ratio=0, interval=(1, 1), step=None, turns=1)
