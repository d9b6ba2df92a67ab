"""Time against channels: why a cut of half the MACs can save nothing, and at which counts to stop."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from pruning.cost import CostModel
from pruning.documents import FROZEN, Count, Seconds, read_json
from pruning.groups import Structure, find_structure
from pruning.latency.clock import clock_for
from pruning.latency.timing import FEWEST, Turns, Way, median_interval, quartiles
from pruning.latency.turns import check_positive, measuring, ready, take_turns, to_batch
from pruning.layers import duplicate
from pruning.shrink import shrink_by_keep

STEP = 0.02  # one more channel costs a step if the forward then takes at least 2 % longer
FEW = 16  # channels up to which every count is measured
MOST = 32  # multiples that are measured at most
Ratio = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ChannelPoint(BaseModel):
    """Time of the network with one group cut to a count, in turns with the dense one.

    Args:
        kept: channels that stay.
        macs: of the whole network, for one sample.
        seconds, q1, q3: median and quartiles of a forward.
        ratio: median of the dense network's time over this one's; above 1 = faster.
        interval: 95 % interval of `ratio`.
        step: 95 % interval of the time that the fastest larger count takes over this one's; None for the
            dense network, which has no larger one.
        turns: that count.
    """

    model_config = FROZEN

    kept: Count
    macs: Count
    seconds: Seconds
    q1: Seconds
    q3: Seconds
    ratio: Ratio
    interval: tuple[Ratio, Ratio]
    step: tuple[Ratio, Ratio] | None
    turns: Count


class ChannelTable(BaseModel):
    """Measured time of a network at many counts of one group's channels, on one machine.

    Args:
        model: name of the architecture, if known.
        key: group id.
        batch_size: images per forward.
        threads: torch's threads.
        way: how the networks ran, see `pruning.latency.WAYS`.
        points: by ascending count; the last is the dense network.
        version: of this file format.
    """

    model_config = FROZEN

    model: str | None
    key: str
    batch_size: Count
    threads: Count
    way: Way
    points: Annotated[tuple[ChannelPoint, ...], Field(min_length=1)]
    version: Literal[1] = 1

    @property
    def size(self) -> int:
        """Channels of the dense network's group."""
        return self.points[-1].kept

    @property
    def good(self) -> tuple[int, ...]:
        """Counts below the dense one's after which one more channel costs a step, ascending; often none.

        It is the last count of a plateau of time: one channel more, and every larger count measured, takes at
        least `STEP` longer, beyond the 95 % interval of the ratio within turns. Where time only follows the
        count, or noise hides the steps, no count is good.
        """
        return tuple(
            point.kept
            for point, above in pairwise(self.points)
            if above.kept == point.kept + 1
            and point.turns >= FEWEST
            and point.step is not None
            and point.step[0] > 1 + STEP
        )

    @property
    def said(self) -> str:
        """What the table tells, in one sentence."""
        turns = self.points[-1].turns
        if turns < FEWEST:
            return f"Only {turns} turns fitted into the time, too few to tell any count from another."
        if self.good:
            counts = ", ".join(map(str, self.good))
            return f"One channel more than {counts} costs at least {STEP:.0%} of the time."
        if not any(point.interval[0] > 1 for point in self.points[:-1]):
            return "No count saves time that can be told from noise on this machine."
        return "No good counts can be told from noise on this machine: time falls without clear steps."

    def to_json(self) -> str:
        """This table as JSON."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str) -> ChannelTable:
        """Read a table.

        Raises:
            ValueError: if the text is no table, saying where.
        """
        return read_json(cls, text, "channel table")


def candidate_counts(size: int, minimum: int = 1) -> tuple[int, ...]:
    """The counts to measure: all of a small group; else multiples of 8 (of 16, 32, ... where there would be
    over 32), some odd counts beside them, and the quarters; the dense one always."""
    if size <= FEW:
        return tuple(range(max(1, minimum), size + 1))
    every = 8
    while size // every > MOST:
        every *= 2
    multiples = list(range(every, size, every))
    beside = multiples if len(multiples) <= FEW else multiples[:: len(multiples) // FEW + 1]
    quarters = [size * part // 4 for part in (1, 2, 3)]
    found = {*multiples, *(count + 1 for count in beside), *quarters, *(q - 1 for q in quarters), size}
    return tuple(sorted(count for count in found if max(1, minimum) <= count <= size))


def measure_channels(
    module: nn.Module,
    example_inputs: Sequence[Tensor],
    key: str,
    *,
    structure: Structure | None = None,
    counts: Sequence[int] | None = None,
    batch_size: int = 1,
    threads: int | None = None,
    way: Way = "eager",
    budget_s: float = 10.0,
) -> ChannelTable:
    """The last table of `refine_channels`."""
    *_, table = refine_channels(
        module,
        example_inputs,
        key,
        structure=structure,
        counts=counts,
        batch_size=batch_size,
        threads=threads,
        way=way,
        budget_s=budget_s,
        slices=4,
    )
    return table


def refine_channels(
    module: nn.Module,
    example_inputs: Sequence[Tensor],
    key: str,
    *,
    structure: Structure | None = None,
    counts: Sequence[int] | None = None,
    batch_size: int = 1,
    threads: int | None = None,
    way: Way = "eager",
    budget_s: float = 10.0,
    slices: int = 10,
    stop: threading.Event | None = None,
    seed: int = 0,
) -> Iterator[ChannelTable]:
    """Cut one group to many counts, and time all these really smaller networks in turns with the dense one.

    A turn is a forward of each, in a random order. Each slice of the budget measures fresh copies of the
    networks: where their tensors happen to lie in memory makes some of them a little slower for good, which
    would pass for a step. Which channels go does not matter for the time; the last ones go.

    Args:
        module: the dense network; never changed.
        example_inputs: of its forward, batch first.
        key: group id.
        structure: of the network; found if None.
        counts: to keep, each from the group's minimum to its size; `candidate_counts` if None. The dense
            network is always measured.
        batch_size, threads, way: as in `measure_latency`.
        budget_s: seconds of measuring; cutting, and preparing for `way`, come on top.
        slices: tables yielded, the last one complete; at least one turn each.
        stop: ends it early when set, after the slice under way.
        seed: of the order within turns.
    Raises:
        ValueError: if there is no such group, a count does not fit it, or as `measure_latency`.
    """
    check_positive(batch_size, slices, threads, budget_s)
    structure = structure or find_structure(module, example_inputs)
    group = structure.group(key)
    wanted = sorted({*(counts or candidate_counts(group.size, group.minimum)), group.size})
    if wanted[0] < group.minimum or wanted[-1] > group.size:
        raise ValueError(f"{key[:80]!r} can keep {group.minimum} to {group.size} channels; give such counts.")
    cut = partial(_cut, module, key, group.size, example_inputs, structure)
    networks = [module if kept == group.size else cut(kept) for kept in wanted]
    costs = CostModel(module, example_inputs, structure)
    macs = {kept: costs.cost({key: kept}).macs for kept in wanted}
    inputs, clock, order = to_batch(example_inputs, batch_size), clock_for(module), random.Random(seed)
    turns = Turns.none(len(networks))
    for _ in range(slices):
        if stop is not None and stop.is_set() and len(turns):
            return
        fresh, _ = ready([duplicate(network) for network in networks], inputs, threads, way)
        with measuring(fresh, threads) as used:
            forwards = [partial(network, *inputs) for network in fresh]
            turns.extend(take_turns(forwards, 1_000_000, budget_s / slices, clock, order))
        yield ChannelTable(
            model=getattr(module, "architecture", None),
            key=key,
            batch_size=batch_size,
            threads=used,
            way=way,
            points=tuple(_point(place, kept, macs[kept], turns) for place, kept in enumerate(wanted)),
        )


def _cut(
    module: nn.Module,
    key: str,
    size: int,
    example_inputs: Sequence[Tensor],
    structure: Structure,
    kept: int,
) -> nn.Module:
    return shrink_by_keep(module, {key: torch.arange(size) < kept}, example_inputs, structure)


def _point(place: int, kept: int, macs: int, turns: Turns) -> ChannelPoint:
    """The figures of one count, its time compared with the dense one's and with every larger one's."""
    dense = len(turns.times) - 1
    own = quartiles([turns.times[place][turn] for turn in turns.counted(place)], 1, 1)
    faster = turns.ratios(dense, place)
    larger = [median_interval(turns.ratios(other, place)) for other in range(place + 1, dense + 1)]
    return ChannelPoint(
        kept=kept,
        macs=macs,
        seconds=own.median,
        q1=own.q1,
        q3=own.q3,
        ratio=median(faster),
        interval=median_interval(faster),
        step=min(larger, default=None),
        turns=len(faster),
    )
