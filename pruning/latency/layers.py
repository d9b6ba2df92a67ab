"""Where the time goes: of each part of a network, so that the parts sum to the whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

from torch import Tensor, nn

from pruning.latency.clock import Clock, HostClock, clock_for
from pruning.latency.turns import check_positive, measuring, take_turns, to_batch
from pruning.layers import private_copy

_CALLS = 20  # of a module that does nothing, to time its hooks


@dataclass(frozen=True)
class LayerTime:
    """Time of one module without the modules inside it.

    Args:
        name: its path; "" is the network itself (what happens between its layers).
        kind: its class.
        seconds: per forward of the network; over all modules these sum to the time of the whole.
        share: of the whole, in [0, 1].
    """

    name: str
    kind: str
    seconds: float
    share: float


@dataclass(frozen=True)
class LayerProfile:
    """The time of a network by module.

    Args:
        layers: one entry per module that ran, in the order in which they began.
        whole: median seconds of a forward without hooks, measured in turns with the hooked copy.
        raw: sum over the modules of their median seconds under hooks, nothing taken off.
        corrected: the same after the cost of the hooks themselves is taken off, before the sum is made exact.
        batch_size: images per forward.
        threads: threads that torch used.
    """

    layers: tuple[LayerTime, ...]
    whole: float
    raw: float
    corrected: float
    batch_size: int
    threads: int


def measure_layers(
    module: nn.Module,
    example_inputs: Sequence[Tensor],
    *,
    batch_size: int = 1,
    threads: int | None = None,
    repeats: int = 50,
    budget_s: float = 2.0,
) -> tuple[LayerTime, ...]:
    """The layers of `profile_layers`."""
    return profile_layers(
        module,
        example_inputs,
        batch_size=batch_size,
        threads=threads,
        repeats=repeats,
        budget_s=budget_s,
    ).layers


def profile_layers(
    module: nn.Module,
    example_inputs: Sequence[Tensor],
    *,
    batch_size: int = 1,
    threads: int | None = None,
    repeats: int = 50,
    budget_s: float = 2.0,
) -> LayerProfile:
    """Time every part of a network, so that the parts sum to the whole.

    Every module of a private copy is timed by hooks. A pair of hooks takes microseconds, which is nothing to
    a large layer and much to a small one: what it adds to a call is measured in the same turns, on a module
    that does nothing, and taken off. What then remains between the leaf modules and the time of the untouched
    network, measured in turns with that copy, is what containers do themselves (additions, attention
    products, calls); it is shared among them in proportion to their own time under hooks.

    Args:
        module, example_inputs, batch_size, threads, repeats, budget_s: as in `measure_latency`.
    Returns:
        A profile whose layers' `seconds` sum to the median time of the network without hooks; `raw` and
        `corrected` tell how far the sums were from it before.
    Raises:
        ValueError: as in `measure_latency`.
    """
    check_positive(batch_size, repeats, threads, budget_s)
    inputs, clock = to_batch(example_inputs, batch_size), clock_for(module)
    hooked, idle = private_copy(module), _Idle()
    watch, idle_watch = _SelfTimes(hooked, clock), _SelfTimes(idle, HostClock())
    with measuring([module, hooked], threads) as used:
        # The cost of hooks is measured in the same turns: it depends on what else the machine does.
        forwards = [partial(run, *inputs) for run in (module, watch.run)]
        forwards += [partial(run, inputs[0]) for run in (idle, idle_watch.run)]
        turns = take_turns(forwards, repeats, budget_s, clock)
    chosen = turns.counted()
    whole, _, bare, _ = (median(times[turn] for turn in chosen) for times in turns.times)
    for each in (watch, idle_watch):
        each.keep(chosen, of=len(turns))
    # On a GPU hooks run while it is still busy with what came before.
    cost = _hook_cost(bare, idle_watch.medians()) if clock.exact else (0.0, 0.0)
    raw, own = watch.medians(), watch.medians(*cost)
    parts = dict(hooked.named_modules())
    seconds = _fitted(own, {name for name in own if next(parts[name].children(), None) is None}, whole)
    return LayerProfile(
        layers=tuple(
            LayerTime(name, type(parts[name]).__name__, seconds[name], seconds[name] / whole) for name in own
        ),
        whole=whole,
        raw=sum(raw.values()),
        corrected=sum(own.values()),
        batch_size=batch_size,
        threads=used,
    )


def _fitted(own: dict[str, float], leaves: set[str], whole: float) -> dict[str, float]:
    """The same times with the sum of the whole: leaves as measured, containers share the rest."""
    inner = {name: time for name, time in own.items() if name in leaves}
    outer = {name: time for name, time in own.items() if name not in leaves}
    in_leaves = min(whole, sum(inner.values())) if any(outer.values()) else whole
    return _scale(inner, in_leaves) | _scale(outer, whole - in_leaves)


def _scale(times: dict[str, float], total: float) -> dict[str, float]:
    """The same proportions with another sum."""
    whole = sum(times.values())
    return {name: time * total / whole if whole else 0.0 for name, time in times.items()}


class _SelfTimes:
    """Hooks every module of a network and collects, per run, each one's time without that of its children.

    The hooks only write down: which module began (or that one ended), and when. All else comes after the run.
    """

    def __init__(self, module: nn.Module, clock: Clock) -> None:
        self._module, self._clock = module, clock
        self._runs: list[list[tuple[str | None, Any]]] = []

    def run(self, *inputs: Tensor) -> None:
        """One forward with hooks, which come off again."""
        marks: list[tuple[str | None, Any]] = []
        write, mark = marks.append, self._clock.mark
        handles = []

        def leave(*_: object) -> None:
            write((None, mark()))

        def enter(name: str) -> Callable[..., None]:
            return lambda *_: write((name, mark()))

        try:
            for name, part in self._module.named_modules():
                handles.append(part.register_forward_pre_hook(enter(name)))
                handles.append(part.register_forward_hook(leave))
            self._module(*inputs)
        finally:
            for handle in handles:
                handle.remove()
        self._runs.append(marks)

    def keep(self, chosen: Sequence[int], of: int) -> None:
        """Keep some of the last runs; those before were warm-up."""
        last = self._runs[-of:]
        self._runs = [last[run] for run in chosen]

    def medians(self, within: float = 0.0, around: float = 0.0) -> dict[str, float]:
        """Each module's own seconds, the median over the runs, without what its hooks cost.

        Args:
            within, around: seconds that a pair of hooks adds to a call, in what it measures and outside that.
        """
        runs = [self._own(marks, within, around) for marks in self._runs]
        names = dict.fromkeys(name for run in runs for name in run)
        return {name: max(0.0, median(run.get(name, 0.0) for run in runs)) for name in names}

    def _own(self, marks: list[tuple[str | None, Any]], within: float, around: float) -> dict[str, float]:
        times: dict[str, float] = {}
        calls: list[tuple[str, Any]] = []  # that have begun and not ended, outermost first
        inside = [0.0]  # seconds in the calls inside each of them
        for name, mark in marks:
            if name is not None:
                times.setdefault(name, 0.0)
                calls.append((name, mark))
                inside.append(0.0)
            else:
                ended, begin = calls.pop()
                elapsed = self._clock.between(begin, mark)
                times[ended] += elapsed - inside.pop() - within
                inside[-1] += elapsed + around
        return times


class _Idle(nn.Module):
    """Calls a module that does nothing, many times: what its hooks take shows by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(_CALLS):
            self.part(x)
        return x


def _hook_cost(bare: float, hooked: Mapping[str, float]) -> tuple[float, float]:
    """Seconds that a pair of hooks adds to a call: within what it measures of the call, and around that.

    Args:
        bare: seconds of `_Idle` without hooks.
        hooked: own seconds of its modules under hooks.
    """
    within = hooked["part"] / _CALLS
    return within, max(0.0, (sum(hooked.values()) - bare) / _CALLS - within)
