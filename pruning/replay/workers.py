"""Independent pieces of work on all cores, one core each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


class Pool:
    """Maps a function over pieces, as many at a time as there are workers.

    Small operations gain little from being split among cores, and lose much where a core is busy with
    something else: at the end of every operation all wait for the slowest. Whole pieces do not wait.
    """

    def __init__(self, executor: ThreadPoolExecutor | None, count: int) -> None:
        self._executor, self.count = executor, count

    def map(self, function: Callable[[T], R], pieces: Iterable[T]) -> Iterator[R]:
        """Results in the order of the pieces."""
        return self._executor.map(function, pieces) if self._executor else map(function, pieces)


@contextmanager
def workers(device: torch.device) -> Iterator[Pool]:
    """As many as torch has threads; on an accelerator, or with one thread, the caller works alone."""
    count = torch.get_num_threads()
    if count == 1 or device.type != "cpu":
        yield Pool(None, 1)
        return
    ready = threading.Barrier(count + 1)

    def alone() -> None:
        torch.get_num_threads()  # sets up this thread, which would undo what follows
        torch.set_num_threads(1)  # of this thread, and of threads that come later
        ready.wait()

    with ThreadPoolExecutor(count, "replay", initializer=alone) as executor:
        for _ in range(count):
            executor.submit(int)
        ready.wait()
        torch.set_num_threads(count)  # threads that come later are as they were
        yield Pool(executor, count)
