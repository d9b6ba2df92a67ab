import pytest
from fake_clock import Clock, Sleep, X, stop_time
from torch import Tensor, nn

from pruning.latency import clock as clocks
from pruning.latency import measure_layers, profile_layers
from pruning.layers import private_copy


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> type[Clock]:
    return stop_time(monkeypatch)


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

    monkeypatch.setattr("pruning.latency.layers.private_copy", noted_copy)
    good, bad = nn.Sequential(nn.Linear(3, 3)), nn.Sequential(Fails(0))
    measure_layers(good, X, repeats=2)
    with pytest.raises(RuntimeError, match="under hooks"):
        measure_layers(bad, X, repeats=2)
    assert len(copies) == 2
    assert [hooks(module) for module in (good, bad, *copies)] == [0, 0, 0, 0]


def test_the_cost_of_hooks_is_taken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    def dear_look() -> float:
        Clock.now += 1e-6  # what a hook costs, once before its own mark and once within
        return Clock.now

    monkeypatch.setattr(clocks, "perf_counter", dear_look)
    profile = profile_layers(nn.Sequential(Sleep(4e-6), Sleep(2e-6)), X, repeats=6, budget_s=500)
    assert profile.raw == pytest.approx(11e-6)
    assert profile.corrected == pytest.approx(6e-6)
    assert profile.whole == pytest.approx(7e-6)  # with the look at its end
    assert [layer.seconds for layer in profile.layers] == pytest.approx([0, 7e-6 * 4 / 6, 7e-6 * 2 / 6])


def test_runs_in_which_the_processor_was_taken_away_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    class Taken(Sleep):
        n = 0

        def forward(self, x: Tensor) -> Tensor:
            self.n += 1
            counts[0] += self.n % 4 == 0
            Clock.now += 5.0 * (self.n % 4 == 0)
            return super().forward(x)

    counts = [0]
    monkeypatch.setattr(clocks, "interruptions", lambda threads: counts[0])
    profile = profile_layers(nn.Sequential(Taken(1.0), Sleep(2.0)), X, repeats=40, budget_s=5000)
    assert [layer.seconds for layer in profile.layers] == pytest.approx([0, 1, 2], abs=1e-6)
    assert profile.raw == pytest.approx(3, abs=1e-6)
