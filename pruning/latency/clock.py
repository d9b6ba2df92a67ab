"""What time is read from: the processor's clock, or events on a GPU's own queue of work."""

from __future__ import annotations

import sys
from time import perf_counter
from typing import Any, Protocol

import torch
from torch import nn

from pruning.device import CPU


class Clock(Protocol):
    """Marks points in time; what lies between two of them is known once the clock has settled."""

    exact: bool  # whether the code between two marks is counted itself, hooks too

    def mark(self) -> Any:
        """This point in time."""

    def settle(self) -> None:
        """Wait until everything before the last mark is done."""

    def between(self, begin: Any, end: Any) -> float:
        """Seconds from one mark to another."""


def now() -> float:
    """Seconds on the processor's clock, for budgets."""
    return perf_counter()


def interruptions(threads: int) -> int:
    """How often the system has taken the processor away for something else; 0 where it does not say.

    Args:
        threads: that compute; with one, only the calling thread counts (on Linux), else the whole process.
    """
    if sys.platform == "win32":
        return 0
    import resource

    who = resource.RUSAGE_SELF
    if threads == 1 and sys.platform == "linux":
        who = resource.RUSAGE_THREAD
    return resource.getrusage(who).ru_nivcsw


class HostClock:
    """The processor's clock: a forward on it has ended when the call returns."""

    exact = True

    def __init__(self) -> None:
        self.mark = perf_counter

    def settle(self) -> None:
        pass

    def between(self, begin: float, end: float) -> float:
        return end - begin


class CudaClock:
    """Events between the kernels of a GPU: a call returns before its work is done, so the processor's clock
    would time how fast work is handed over.

    Args:
        device: of the network's parameters.
    """

    exact = False

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.current_stream(device)

    def mark(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record(self._stream)
        return event

    def settle(self) -> None:
        self._stream.synchronize()

    def between(self, begin: torch.cuda.Event, end: torch.cuda.Event) -> float:
        return begin.elapsed_time(end) / 1e3


def clock_on(device: torch.device) -> Clock:
    """Events on a GPU, else the processor's clock."""
    return CudaClock(device) if device.type == "cuda" else HostClock()


def clock_for(module: nn.Module) -> Clock:
    """Events where the parameters are on a GPU, else the processor's clock."""
    return clock_on(next((p.device for p in module.parameters() if p.device.type == "cuda"), CPU))
