"""Measured time: of a whole network, beside another one in turns, and of each part of it."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from statistics import median, quantiles
from time import perf_counter

import torch
from torch import Tensor, nn

from pruning.evaluate import Interval, evaluating
from pruning.layers import private_copy

NOISY = 0.2  # a spread (q3 - q1) / median above this is called noisy
FEWEST = 6  # with fewer turns no pair of ranks encloses a median with 95 %

_alone = threading.Lock()  # two measurements in one process would time each other


@dataclass(frozen=True)
class Timing:
    """How long one forward takes, in seconds.

    Args:
        median, q1, q3: of the n measured forwards.
        n: forwards measured (turns, when there is a baseline).
        batch_size: images per forward.
        threads: threads that torch used.
        baseline: the same figures of the network measured in turns with this one.
        ratio: median over the turns of baseline's time / this one's time; above 1 = faster.
        ratio_interval: 95 % interval of that median.
        warning: in words, why the figures should not be trusted; empty if nothing speaks against them.
    """

    median: float
    q1: float
    q3: float
    n: int
    batch_size: int
    threads: int
    baseline: Timing | None = None
    ratio: float | None = None
    ratio_interval: Interval | None = None
    warning: str = ""

    @property
    def spread(self) -> float:
        """Width of the middle half of the times, as a fraction of the median."""
        return (self.q3 - self.q1) / self.median


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


def measure_latency(
    module: nn.Module,
    example_inputs: Sequence[Tensor],
    *,
    baseline: nn.Module | None = None,
    batch_size: int = 1,
    threads: int | None = None,
    repeats: int = 200,
    budget_s: float = 2.0,
) -> Timing:
    """Time the forward of a network, in turns with a baseline if there is one.

    One turn is a forward of each, the order changing from turn to turn, so that a machine that slows down
    slows down both; the ratio is taken within each turn. Only one measurement runs at a time in a process.

    Args:
        module: run in eval mode without gradients, and left as it was.
        example_inputs: arguments of the forward, batch first; repeated or cut to `batch_size`.
        baseline: usually the dense network; takes the same inputs.
        batch_size: images per forward.
        threads: torch's threads during the measurement; as they are if None. Set back afterwards.
        repeats: at most this many turns.
        budget_s: seconds after which no new turn begins, warm-up included. One turn is always made.
    Returns:
        Timing; its `warning` says so when the ratio's interval contains 1 or the times scatter.
    Raises:
        ValueError: if a number is not positive.
    Source: the interval of a median is that of the sign test: W. R. Thompson 1936, "On confidence ranges for
        the median", Annals of Mathematical Statistics 7. It assumes turns that are independent of each other.
    """
    *_, timing = refine_latency(
        module,
        example_inputs,
        baseline=baseline,
        batch_size=batch_size,
        threads=threads,
        repeats=repeats,
        budget_s=budget_s,
        slice_s=budget_s,
    )
    return timing


def refine_latency(
    module: nn.Module,
    example_inputs: Sequence[Tensor],
    *,
    baseline: nn.Module | None = None,
    batch_size: int = 1,
    threads: int | None = None,
    repeats: int = 200,
    budget_s: float = 2.0,
    slice_s: float = 0.1,
) -> Iterator[Timing]:
    """As `measure_latency`, but yield the timing so far after each slice of the budget.

    Between two slices nothing is held, so that a caller may stop at any of them, or do something else.

    Args:
        slice_s: seconds from one timing to the next, warm-up included.
        All others: see `measure_latency`.
    Raises:
        ValueError: if a number is not positive.
    """
    if min(batch_size, repeats, 1 if threads is None else threads) < 1 or not min(budget_s, slice_s) > 0:
        raise ValueError("Batch size, threads, repeats and time budget must all be positive.")
    inputs = to_batch(example_inputs, batch_size)
    networks = [module] if baseline is None else [module, baseline]
    times: list[list[float]] = [[] for _ in networks]
    spent = 0.0
    while not times[0] or (spent < budget_s and len(times[0]) < repeats):
        with _measuring(networks, threads) as used:
            begin = perf_counter()
            turns = _take_turns(
                [partial(net, *inputs) for net in networks],
                repeats - len(times[0]),
                min(slice_s, budget_s - spent),
            )
        for known, new in zip(times, turns, strict=True):
            known += new
        spent += perf_counter() - begin
        yield _timing(times, batch_size, used)


def measure_layers(
    module: nn.Module,
    example_inputs: Sequence[Tensor],
    *,
    batch_size: int = 1,
    threads: int | None = None,
    repeats: int = 50,
    budget_s: float = 2.0,
) -> tuple[LayerTime, ...]:
    """Time every part of a network, so that the parts sum to the whole.

    Leaf modules are timed by hooks on a private copy. What remains of the time of the untouched network,
    measured in turns with that copy, is what containers do themselves (additions, attention products, calls);
    it is shared among them in proportion to their own time under hooks, which carry some overhead.

    Args:
        module, example_inputs, batch_size, threads, repeats, budget_s: as in `measure_latency`.
    Returns:
        One entry per module that ran, in the order in which they began; `seconds` sum to the median time of
        the network without hooks.
    Raises:
        ValueError: as in `measure_latency`.
    """
    if min(batch_size, repeats, 1 if threads is None else threads) < 1 or not budget_s > 0:
        raise ValueError("Batch size, threads, repeats and time budget must all be positive.")
    inputs = to_batch(example_inputs, batch_size)
    hooked = private_copy(module)
    clock = _SelfTimes(hooked)
    with _measuring([module, hooked], threads):
        whole, _ = _take_turns([partial(module, *inputs), partial(clock.run, inputs)], repeats, budget_s)
    total = median(whole)
    own = {name: median(seconds) for name, seconds in clock.seconds.items()}
    parts = dict(hooked.named_modules())
    leaves = {name: time for name, time in own.items() if next(parts[name].children(), None) is None}
    containers = {name: time for name, time in own.items() if name not in leaves}
    in_leaves = min(total, sum(leaves.values())) if containers else total
    scaled = _scale(leaves, in_leaves) | _scale(containers, total - in_leaves)
    return tuple(
        LayerTime(name, type(parts[name]).__name__, scaled[name], scaled[name] / total) for name in own
    )


def to_batch(example_inputs: Sequence[Tensor], batch_size: int) -> tuple[Tensor, ...]:
    """Repeat or cut every input along its first dimension to `batch_size` samples."""
    return tuple(
        x[torch.arange(batch_size, device=x.device) % len(x)].contiguous() if x.dim() else x
        for x in example_inputs
    )


def median_interval(values: Sequence[float]) -> Interval:
    """95 % interval of a median by ranks; the whole range if there are fewer than six values.

    Args:
        values: any order, at least one.
    Returns:
        (low, high), two of the values: the innermost pair of mirrored ranks with at least 95 % coverage.
    Source: see `measure_latency`.
    """
    ordered, n = sorted(values), len(values)
    outside, rank = 0.0, 0  # the median lies below the rank-th value with a risk of `outside`
    while True:
        risk = math.exp(
            math.lgamma(n + 1) - math.lgamma(rank + 1) - math.lgamma(n - rank + 1) - n * math.log(2)
        )
        if outside + risk > 0.025:
            break
        outside, rank = outside + risk, rank + 1
    rank = max(rank, 1)
    return ordered[rank - 1], ordered[n - rank]


@contextmanager
def _measuring(networks: Sequence[nn.Module], threads: int | None) -> Iterator[int]:
    """Alone, in eval mode, without gradients, with the wanted threads; everything set back afterwards."""
    with _alone, ExitStack() as stack:
        before = torch.get_num_threads()
        if threads is not None:
            stack.callback(torch.set_num_threads, before)
            torch.set_num_threads(threads)
        for network in networks:
            stack.enter_context(evaluating(network))
        stack.enter_context(torch.inference_mode())
        yield torch.get_num_threads()


def _take_turns(forwards: Sequence[Callable[[], object]], repeats: int, budget_s: float) -> list[list[float]]:
    """Times of each forward, one per turn, after a warm-up of up to three turns in a fifth of the budget."""
    begin = perf_counter()
    for _ in range(3):
        for forward in forwards:
            forward()
        if perf_counter() - begin > budget_s / 5:
            break
    times: list[list[float]] = [[] for _ in forwards]
    order = list(range(len(forwards)))
    for _ in range(repeats):
        for i in order:
            start = perf_counter()
            forwards[i]()
            _wait_for_device()
            times[i].append(perf_counter() - start)
        order.reverse()
        if perf_counter() - begin > budget_s:
            break
    return times


def _timing(times: Sequence[Sequence[float]], batch_size: int, threads: int) -> Timing:
    """The figures of one network, or of two that took turns, the baseline second."""
    own = _summary(times[0], batch_size, threads)
    if len(times) == 1:
        return replace(own, warning=_warning(own))
    dense = _summary(times[1], batch_size, threads)
    ratios = [slow / fast for fast, slow in zip(*times, strict=True)]
    ratio, interval = median(ratios), median_interval(ratios)
    return replace(
        own,
        baseline=dense,
        ratio=ratio,
        ratio_interval=interval,
        warning=_warning(own, dense, interval),
    )


def _wait_for_device() -> None:
    """A forward on a GPU returns before it is done."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def _summary(times: Sequence[float], batch_size: int, threads: int) -> Timing:
    q1, middle, q3 = quantiles(times, n=4, method="inclusive") if len(times) > 1 else [times[0]] * 3
    return Timing(middle, q1, q3, len(times), batch_size, threads)


def _warning(own: Timing, dense: Timing | None = None, interval: Interval | None = None) -> str:
    """Why these figures should not be trusted, in words; empty if nothing speaks against them."""
    words = []
    if own.n < FEWEST:
        words.append(f"Only {own.n} turn{'s' * (own.n > 1)} fitted into the time; allow more.")
    spread = max(own.spread, dense.spread if dense else 0.0)
    if spread > NOISY:
        words.append(
            f"The machine is noisy: the middle half of the times spreads over {spread:.0%} of the median."
        )
    if interval and interval[0] <= 1 <= interval[1]:
        words.append(
            f"No difference can be told: the 95 % interval of the ratio, "
            f"{interval[0]:.2f} to {interval[1]:.2f}, contains 1."
        )
    return " ".join(words)


def _scale(times: dict[str, float], total: float) -> dict[str, float]:
    """The same proportions with another sum."""
    whole = sum(times.values())
    return {name: time * total / whole if whole else 0.0 for name, time in times.items()}


class _SelfTimes:
    """Hooks every module of a network and collects, per run, each one's time without that of its children."""

    def __init__(self, module: nn.Module) -> None:
        self.seconds: dict[str, list[float]] = {}
        self._module = module
        self._run: dict[str, float] = {}
        self._stack: list[list[float]] = []  # per open call: when it began, seconds spent in its children

    def run(self, inputs: Sequence[Tensor]) -> None:
        """One forward with hooks, which come off again."""
        self._run, self._stack = {}, []
        handles = []
        try:
            for name, part in self._module.named_modules():
                handles.append(part.register_forward_pre_hook(self._enter(name)))
                handles.append(part.register_forward_hook(self._leave(name)))
            self._module(*inputs)
        finally:
            for handle in handles:
                handle.remove()
        for name, seconds in self._run.items():
            self.seconds.setdefault(name, []).append(seconds)

    def _enter(self, name: str) -> Callable[..., None]:
        def hook(*_: object) -> None:
            self._run.setdefault(name, 0.0)
            self._stack.append([perf_counter(), 0.0])

        return hook

    def _leave(self, name: str) -> Callable[..., None]:
        def hook(*_: object) -> None:
            begin, inside = self._stack.pop()
            elapsed = perf_counter() - begin
            self._run[name] += elapsed - inside
            if self._stack:
                self._stack[-1][1] += elapsed

        return hook
