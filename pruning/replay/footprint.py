"""What one pass over a network's operations takes: time, and memory per image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from torch import Tensor

from pruning.held import held_bytes
from pruning.latency.clock import clock_on
from pruning.replay.program import Program
from pruning.replay.steps import State

IMAGES = 16  # enough to tell what one takes
CACHE = 2 * 2**20  # bytes of the largest tensor that run fastest: the second-level caches of a few cores
MOST = 512  # images of one run at most


@dataclass(frozen=True)
class Footprint:
    """Of one pass.

    Args:
        seconds: for each step, and the end, the time up to it, for the images measured.
        live: for each step, and the end, bytes per image of the tensors held before it.
        largest: bytes per image of the largest result of a step.
    """

    seconds: Sequence[float]
    live: Sequence[int]
    largest: int

    @property
    def images(self) -> int:
        """How many images to run at once, so that tensors stay in the processor's cache between operations.

        Measured on an AMD EPYC with 1 MiB of second-level cache for each of 2 cores: networks for images of
        32 x 32 run fastest with 16 to 64 at a time, those of 8 x 8 with 128 to 360: each time 1 to 3 MiB.
        """
        return max(8, min(MOST, CACHE // max(self.largest, 1)))


def measure_footprint(program: Program, x: Tensor) -> Footprint:
    """Run a few images step by step, once to warm up."""
    x = x[:IMAGES]
    program.run(program.begin(x), len(x))
    state: State = program.begin(x)
    clock, marks = clock_on(x.device), []
    live, largest = [held_bytes(state.values()) // len(x)], 0
    for number, step in enumerate(program.steps):
        begin = clock.mark()
        state = program.run(state, len(x), number, number + 1)
        marks.append((begin, clock.mark()))
        made = [state[ref] for ref in step.outputs if ref in state]
        largest = max([largest, *(tensor.nbytes // len(x) for tensor in made)])
        live.append(held_bytes(state.values()) // len(x))
    clock.settle()
    seconds = accumulate((clock.between(*pair) for pair in marks), initial=0.0)
    return Footprint(list(seconds), live, largest)
