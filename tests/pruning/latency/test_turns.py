import threading
import time
from itertools import pairwise

import pytest
import torch
from fake_clock import Clock, Sleep, X, stop_time
from torch import Tensor, nn

from pruning.latency import (
    Timing,
    measure_latency,
    measure_layers,
    median_interval,
    refine_latency,
    to_batch,
)
from pruning.latency import clock as clocks
from pruning.latency.timing import warning_of


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> type[Clock]:
    return stop_time(monkeypatch)


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
    warning = warning_of(steady, steady, interval)
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


def test_turns_in_which_the_processor_was_taken_away_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    class Taken(Sleep):
        """Every third forward loses the processor for a while."""

        n = 0

        def forward(self, x: Tensor) -> Tensor:
            self.n += 1
            self.seconds = 0.5 if self.n % 3 == 0 else 0.002
            counts[0] += self.n % 3 == 0
            return super().forward(x)

    counts = [0]
    monkeypatch.setattr(clocks, "interruptions", lambda threads: counts[0])
    timing = measure_latency(Taken(0), X, baseline=Sleep(0.004), repeats=30, budget_s=100)
    assert (timing.n, timing.left_out) == (20, 10)
    assert timing.q3 == pytest.approx(0.002, abs=1e-6)
    assert timing.ratio_interval == pytest.approx((2, 2), abs=1e-4)
    few = measure_latency(Taken(0), X, repeats=7, budget_s=100)  # five calm ones are too few
    assert (few.n, few.left_out) == (7, 0)


def test_interruptions_only_ever_grow() -> None:
    assert 0 <= clocks.interruptions(1) <= clocks.interruptions(1)
    assert 0 <= clocks.interruptions(2) <= clocks.interruptions(2)


class Event:
    """A GPU's event, on a queue of work that the fake clock is the end of."""

    def __init__(self, enable_timing: bool = False) -> None:
        assert enable_timing
        self.at = -1.0

    def record(self, stream: object) -> None:
        self.at = Clock.now

    def elapsed_time(self, end: "Event") -> float:
        return 1e3 * (end.at - self.at)


def test_on_a_gpu_events_are_read_and_not_the_processors_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []

    class Stream:
        def synchronize(self) -> None:
            waits.append(Clock.now)

    class OnGpu(Sleep):
        def parameters(self, recurse: bool = True):  # type: ignore[no-untyped-def]
            return iter([torch.empty(0, device="meta"), type("P", (), {"device": torch.device("cuda", 1)})()])

    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream())
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(clocks, "perf_counter", lambda: 0.0)  # the call returns at once
    timing = measure_latency(OnGpu(0.003), X, repeats=5)
    assert timing.median == pytest.approx(0.003)
    assert len(waits) == 1 + 5  # after the warm-up, and in each turn before it is read
    assert isinstance(clocks.clock_for(nn.Linear(1, 1)), clocks.HostClock)
