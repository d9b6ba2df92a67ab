"""The time of a whole network, alone or in turns with another one."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from pruning.device import place_of
from pruning.evaluate import evaluating
from pruning.latency import clock as clocks
from pruning.latency.clock import Clock, clock_for, now
from pruning.latency.timing import Timing, Turns, Way, summarise
from pruning.latency.ways import prepare

_alone = threading.Lock()  # two measurements in one process would time each other


def measure_latency(
    module: nn.Module,
    example_inputs: Sequence[Tensor],
    *,
    baseline: nn.Module | None = None,
    batch_size: int = 1,
    threads: int | None = None,
    way: Way = "eager",
    repeats: int = 200,
    budget_s: float = 2.0,
) -> Timing:
    """Time the forward of a network, in turns with a baseline if there is one.

    One turn is a forward of each, the order changing from turn to turn, so that a machine that slows down
    slows down both; the ratio is taken within each turn. A turn in whose middle the system gave the processor
    to another process does not count, as long as enough others do. Only one measurement runs at a time in a
    process. On a GPU the times are those between events on its own queue.

    Args:
        module: run in eval mode without gradients, and left as it was.
        example_inputs: arguments of the forward, batch first; repeated or cut to `batch_size`.
        baseline: usually the dense network; takes the same inputs and runs the same way.
        batch_size: images per forward.
        threads: torch's threads during the measurement; as they are if None. Set back afterwards. Small
            networks on a busy machine are steadiest with 1: several threads wait for the slowest of them.
        way: "eager", "frozen" or "compiled", see `WAYS`; the latter two run private copies.
        repeats: at most this many turns.
        budget_s: seconds after which no new turn begins, warm-up included and preparation left out. One turn
            is always made.
    Returns:
        Timing; its `warning` says so when the ratio's interval contains 1 or the times scatter.
    Raises:
        ValueError: if a number is not positive, or the network cannot be prepared that way.
    Source: the interval of a median is that of the sign test: W. R. Thompson 1936, "On confidence ranges for
        the median", Annals of Mathematical Statistics 7. It assumes turns that are independent of each other.
    """
    *_, timing = refine_latency(
        module,
        example_inputs,
        baseline=baseline,
        batch_size=batch_size,
        threads=threads,
        way=way,
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
    way: Way = "eager",
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
        ValueError: as `measure_latency`.
    """
    check_positive(batch_size, repeats, threads, budget_s, slice_s)
    inputs = to_batch(example_inputs, batch_size)
    networks, seconds = ready([module] if baseline is None else [module, baseline], inputs, threads, way)
    clock = clock_for(module)
    turns = Turns.none(len(networks))
    spent = 0.0
    while not len(turns) or (spent < budget_s and len(turns) < repeats):
        with measuring(networks, threads) as used:
            begin = now()
            forwards = [partial(network, *inputs) for network in networks]
            left = repeats - len(turns), min(slice_s, budget_s - spent)
            turns.extend(take_turns(forwards, *left, clock))
        spent += now() - begin
        found = summarise(turns, batch_size, used)
        yield replace(found, way=way, preparation=seconds, device=place_of(module))


def to_batch(example_inputs: Sequence[Tensor], batch_size: int) -> tuple[Tensor, ...]:
    """Repeat or cut every input along its first dimension to `batch_size` samples."""
    return tuple(
        x[torch.arange(batch_size, device=x.device) % len(x)].contiguous() if x.dim() else x
        for x in example_inputs
    )


def check_positive(batch_size: int, repeats: int, threads: int | None, *seconds: float) -> None:
    """Refuse numbers with which nothing can be measured."""
    if min(batch_size, repeats, 1 if threads is None else threads) < 1 or not min(seconds) > 0:
        raise ValueError("Batch size, threads, repeats and time budget must all be positive.")


def ready(
    networks: Sequence[nn.Module], inputs: tuple[Tensor, ...], threads: int | None, way: Way
) -> tuple[list[nn.Module], float]:
    """The networks as they will run, under the conditions of the measurement; and the seconds this took."""
    if way == "eager":
        return list(networks), 0.0
    with measuring(networks, threads):  # compiled code is for the number of threads that it was compiled with
        begin = now()
        return [prepare(network, inputs, way) for network in networks], now() - begin


@contextmanager
def measuring(networks: Sequence[nn.Module], threads: int | None) -> Iterator[int]:
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


def take_turns(
    forwards: Sequence[Callable[[], object]],
    repeats: int,
    budget_s: float,
    clock: Clock,
    shuffle: random.Random | None = None,
) -> Turns:
    """Times of each forward, one per turn, after a warm-up of up to three turns in a fifth of the budget.

    Args:
        shuffle: draws the order of each turn; without it every turn is the one before backwards.
    """
    begin = now()
    for _ in range(3):
        for forward in forwards:
            forward()
        if now() - begin > budget_s / 5:
            break
    clock.settle()
    turns = Turns.none(len(forwards))
    threads = torch.get_num_threads()
    order = list(range(len(forwards)))
    for _ in range(repeats):
        for i in order:
            before = clocks.interruptions(threads)
            start = clock.mark()
            forwards[i]()
            end = clock.mark()
            clock.settle()
            turns.times[i].append(clock.between(start, end))
            turns.calm[i].append(clocks.interruptions(threads) == before)
        if shuffle:
            shuffle.shuffle(order)
        else:
            order.reverse()
        if now() - begin > budget_s:
            break
    return turns
