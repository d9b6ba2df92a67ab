import threading
import time
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from pruning import latency
from pruning.latency import (
    Timing,
    measure_latency,
    measure_layers,
    median_interval,
    refine_latency,
    to_batch,
)
from pruning.layers import private_copy


class Clock:
    """Time that passes only where a test lets it pass, but for a nanosecond per look at it."""

    now = 0.0

    @classmethod
    def read(cls) -> float:
        cls.now += 1e-9
        return cls.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> type[Clock]:
    monkeypatch.setattr(Clock, "now", 0.0)
    monkeypatch.setattr(latency, "perf_counter", Clock.read)
    return Clock


class Sleep(nn.Module):
    """Takes a given time; notes when it was called."""

    def __init__(self, seconds: float, calls: list[str] | None = None, name: str = "") -> None:
        super().__init__()
        self.seconds, self.calls, self.name = seconds, calls, name

    def forward(self, x: Tensor) -> Tensor:
        if self.calls is not None:
            self.calls.append(self.name)
        Clock.now += self.seconds
        return x


X = (torch.zeros(1, 3),)


def test_a_network_twice_as_slow_is_measured_as_such() -> None:
    timing = measure_latency(Sleep(0.002), X, baseline=Sleep(0.004), repeats=20, budget_s=5)
    assert timing.ratio == pytest.approx(2, abs=1e-4)
    assert timing.ratio_interval == pytest.approx((2, 2), abs=1e-4)
    assert (timing.q1, timing.median, timing.q3) == pytest.approx((0.002, 0.002, 0.002), abs=1e-6)
    assert timing.baseline is not None
    assert timing.baseline.median == pytest.approx(0.004, abs=1e-6)
    assert timing.n == timing.baseline.n == 20
    assert timing.warning == ""


def test_quartiles_and_interval_are_those_of_the_turns() -> None:
    class Growing(Sleep):
        def forward(self, x: Tensor) -> Tensor:
            self.seconds += 1.0
            return super().forward(x)

    timing = measure_latency(Growing(0.0), X, baseline=Sleep(12.0), repeats=9, budget_s=500)
    assert (timing.q1, timing.median, timing.q3) == pytest.approx((6, 8, 10))  # 4 to 12, after the warm-up
    assert timing.ratio == pytest.approx(12 / 8)
    assert timing.ratio_interval == pytest.approx((12 / 11, 12 / 5))  # ranks 2 and 8 of 9
    assert timing.spread == pytest.approx(0.5)


def test_a_slowing_machine_slows_both() -> None:
    class Tired(Sleep):
        def forward(self, x: Tensor) -> Tensor:
            self.seconds = 0.001 + Clock.now / 100
            return super().forward(x)

    timing = measure_latency(Tired(0), X, baseline=Tired(0), repeats=100, budget_s=100)
    assert timing.ratio == pytest.approx(1, abs=1e-3)
    assert timing.baseline is not None
    assert timing.spread > 0.5


def test_turns_alternate() -> None:
    calls: list[str] = []
    measure_latency(Sleep(0, calls, "a"), X, baseline=Sleep(0, calls, "b"), repeats=4)
    assert "".join(calls) == "ababab" + "abbaabba"  # warm-up, then turns


@pytest.mark.parametrize(
    ("interval", "said"), [((0.9, 1.1), True), ((1.0, 1.1), True), ((1.01, 1.1), False), ((0.8, 0.99), False)]
)
def test_an_interval_that_contains_one_is_said_in_words(interval: tuple[float, float], said: bool) -> None:
    steady = Timing(1.0, 0.95, 1.05, 50, 1, 1)
    warning = latency._warning(steady, steady, interval)
    assert ("No difference can be told" in warning) is said
    assert bool(warning) is said


def test_the_budget_bounds_the_time() -> None:
    timing = measure_latency(Sleep(0.01), X, baseline=Sleep(0.01), repeats=10_000, budget_s=0.2)
    assert Clock.now < 0.2 + 0.021
    assert timing.n >= 7


def test_a_network_slower_than_the_budget_is_measured_once_and_the_warning_says_so() -> None:
    timing = measure_latency(Sleep(0.05), X, repeats=50, budget_s=0.01)
    assert timing.n == 1
    assert "Only 1 turn fitted" in timing.warning


def test_refining_grows_the_timing_and_holds_nothing_between() -> None:
    before = torch.get_num_threads()
    network = Sleep(0.002).train()
    steps = refine_latency(
        network, X, baseline=Sleep(0.002), threads=before + 1, repeats=1000, budget_s=0.3, slice_s=0.05
    )
    counts = []
    for timing in steps:
        counts.append(timing.n)
        assert network.training
        assert torch.get_num_threads() == before
        assert not torch.is_inference_mode_enabled()
        assert measure_latency(Sleep(0), X, repeats=1).n == 1  # another one may measure meanwhile
    assert len(counts) >= 2
    assert counts == sorted(set(counts))
    assert timing.ratio_interval is not None
    assert timing.threads == before + 1


def test_noise_is_said_in_words() -> None:
    class Noisy(Sleep):
        def forward(self, x: Tensor) -> Tensor:
            self.seconds = 0.006 - self.seconds  # 2 ms and 4 ms in turns
            return super().forward(x)

    assert "noisy" in measure_latency(Noisy(0.002), X, repeats=12).warning
    assert measure_latency(Sleep(0.002), X, repeats=12).warning == ""


def test_threads_and_flags_are_set_back_even_after_a_failure() -> None:
    before = torch.get_num_threads()
    seen = []

    class Fails(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append((torch.get_num_threads(), self.training, torch.is_inference_mode_enabled()))
            raise RuntimeError("no")

    network = Fails().train()
    with pytest.raises(RuntimeError, match="no"):
        measure_latency(network, X, threads=before + 1)
    assert seen == [(before + 1, False, True)]
    assert torch.get_num_threads() == before
    assert network.training
    assert not torch.is_inference_mode_enabled()
    assert measure_latency(Sleep(0), X, threads=1, repeats=2).threads == 1


def test_only_one_measurement_runs_at_a_time() -> None:
    calls: list[str] = []

    class Yields(Sleep):
        def forward(self, x: Tensor) -> Tensor:
            time.sleep(0.001)  # lets another thread run, if it may
            return super().forward(x)

    others = [
        threading.Thread(target=measure_latency, args=(Yields(0.001, calls, name), X), kwargs={"repeats": 5})
        for name in "ab"
    ]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert len(calls) == 2 * 8
    assert sum(one != two for one, two in pairwise(calls)) == 1


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"threads": 0}, {"repeats": 0}, {"budget_s": 0}])
@pytest.mark.parametrize("function", [measure_latency, measure_layers])
def test_wrong_numbers_are_named(function, wrong: dict) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="positive"):
        function(Sleep(0), X, **wrong)


def test_median_interval_takes_the_ranks_of_the_sign_test() -> None:
    """The usual table: ranks 1 and 6 of 6, 2 and 9 of 10, 10 and 21 of 30, 40 and 61 of 100."""
    for n, low, high in ((6, 1, 6), (10, 2, 9), (30, 10, 21), (100, 40, 61)):
        assert median_interval(list(range(n, 0, -1))) == (low, high)
    assert median_interval([3.0, 1.0]) == (1.0, 3.0)


def test_median_interval_covers_the_median() -> None:
    draws = torch.rand(1000, 25, generator=torch.Generator().manual_seed(0))
    covered = sum(low <= 0.5 <= high for low, high in map(median_interval, draws.tolist())) / 1000
    assert 0.94 < covered < 0.985


def test_to_batch_repeats_and_cuts() -> None:
    x = torch.arange(6).view(3, 2)
    assert torch.equal(to_batch((x,), 2)[0], x[:2])
    assert to_batch((x,), 7)[0][:, 0].tolist() == [0, 2, 4, 0, 2, 4, 0]


class Inside(nn.Module):
    """A container that works itself, calls one part twice, and leaves one unused."""

    def __init__(self) -> None:
        super().__init__()
        self.once, self.twice, self.never = Sleep(4), Sleep(2), Sleep(100)

    def forward(self, x: Tensor) -> Tensor:
        Clock.now += 3
        return self.twice(self.once(self.twice(x)))


def test_layer_times_sum_to_the_whole_and_land_where_the_work_is() -> None:
    times = measure_layers(nn.Sequential(Inside(), Sleep(1)), X, repeats=6, budget_s=500)
    assert [(layer.name, layer.kind) for layer in times] == [
        ("", "Sequential"),
        ("0", "Inside"),
        ("0.twice", "Sleep"),
        ("0.once", "Sleep"),
        ("1", "Sleep"),
    ]
    assert [layer.seconds for layer in times] == pytest.approx([0, 3, 4, 4, 1], abs=1e-6)
    assert [layer.share for layer in times] == pytest.approx([0, 3 / 12, 4 / 12, 4 / 12, 1 / 12], abs=1e-6)


def test_overhead_under_hooks_is_not_counted() -> None:
    """Hooked containers take longer than the untouched network leaves them: what remains is shared."""

    class Slower(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            Clock.now += 3 if self._forward_hooks else 1
            return super().forward(x)

    times = measure_layers(Slower(Slower(Sleep(4)), Sleep(2)), X, repeats=6, budget_s=500)
    assert {layer.name: layer.seconds for layer in times} == pytest.approx(
        {"": 1, "0": 1, "0.0": 4, "1": 2}, abs=1e-6
    )


def test_a_network_of_one_leaf_has_all_the_time() -> None:
    (only,) = measure_layers(Sleep(0.001), X, repeats=3)
    assert (only.name, only.share) == ("", 1.0)
    assert only.seconds == pytest.approx(0.001, abs=1e-6)


def test_no_hook_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def hooks(module: nn.Module) -> int:
        return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules())

    class Fails(Sleep):
        def forward(self, x: Tensor) -> Tensor:
            if self._forward_hooks:
                raise RuntimeError("under hooks")
            return x

    copies: list[nn.Module] = []

    def noted_copy(module: nn.Module) -> nn.Module:
        copies.append(private_copy(module))
        return copies[-1]

    monkeypatch.setattr(latency, "private_copy", noted_copy)
    good, bad = nn.Sequential(nn.Linear(3, 3)), nn.Sequential(Fails(0))
    measure_layers(good, X, repeats=2)
    with pytest.raises(RuntimeError, match="under hooks"):
        measure_layers(bad, X, repeats=2)
    assert len(copies) == 2
    assert [hooks(module) for module in (good, bad, *copies)] == [0, 0, 0, 0]
