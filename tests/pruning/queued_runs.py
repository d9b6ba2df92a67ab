"""Helpers of the tests of runs: wait, look, and see whether a process lives."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from pruning.history import History, Run

Queue = Callable[..., str]


def until(true: Callable[[], object], seconds: float = 120.0) -> float:
    """Wait until something is true; the seconds that it took."""
    start = time.monotonic()
    while not true():
        assert time.monotonic() - start < seconds, "it did not come true"
        time.sleep(0.02)
    return time.monotonic() - start


def row(history: History, run_id: str) -> Run:
    found = history.get(run_id)
    assert found is not None
    return found


def lives(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
