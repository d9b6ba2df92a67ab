"""`python -m pruning.runs.worker ID`: the process that works on one run.

Commands come on standard input (see `pruning.runs.control`); its end means that the server has ended.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress

import torch
from filelock import Timeout

from pruning.history import History, Run
from pruning.history.files import lock_of
from pruning.runs.control import GRACE_S, NOT_MINE, Control, Stopped
from pruning.runs.work import Job, Work
from pruning.runs.works import WORKS

_LOCK_S = 5.0  # whoever looks whether a run lives holds its lock for a moment
_NICE = 10


def work_on(run: Run, history: History, control: Control, works: Mapping[str, Work] = WORKS) -> None:
    """Do the work of a queued run as soon as the machine is free, and leave its row as it ended.

    Args:
        run: its row.
        history: where the row is.
        control: what the work reports to.
        works: kind -> what is done.
    """
    try:
        control.take_machine()
        if history.claim(run.id):
            works[run.kind](Job(run, history.settings(run.id), history.folder(run.id), history, control))
            history.set_state(run.id, "done")
    except Stopped as stopped:
        control.leave_row(stopped)
    except Exception as error:
        traceback.print_exc()
        history.set_state(run.id, "failed", error=_sentence(error))
    finally:
        control.close()


def main(run_id: str, works: Mapping[str, Work] = WORKS, grace_s: float = GRACE_S) -> int:
    """Be the process of one run.

    Args:
        run_id: of the run.
        works: kind -> what is done.
        grace_s: seconds that a step may take after the order to stop.
    Returns:
        The exit status: 0 however the run ended, as its row says; NOT_MINE if it is not this process's.
    """
    _be_modest()
    history = History()
    run = history.get(run_id)
    if run is None or run.kind not in works or not history.folder(run_id).is_dir():
        return NOT_MINE
    lock = lock_of(run_id)
    try:
        lock.acquire(timeout=_LOCK_S)
    except Timeout:
        return NOT_MINE
    try:
        # Not sys.stdin: its buffer would be locked by the thread that reads it when Python ends.
        commands = io.FileIO(0, closefd=False)
        work_on(run, history, Control(history, run_id, commands, sys.stdout, leave, grace_s), works)
    finally:
        lock.release()
    return 0


def threads() -> int:
    """Of torch in a worker: half of the machine's cores; results depend on it in the last digit."""
    return max(1, (os.cpu_count() or 2) // 2)


def leave() -> None:
    """End this process and all that it has started, at once."""
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


def _be_modest() -> None:
    """The server and its visitors come first. On Windows the dispatcher has asked for a low priority."""
    with suppress(AttributeError, OSError):
        os.nice(_NICE)
    torch.set_num_threads(threads())


def _sentence(error: Exception) -> str:
    """What to tell of a failure."""
    words = " ".join(str(error).split())
    if isinstance(error, ValueError):
        return words
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return "There is not enough memory for this run; choose a smaller batch size or another device."
    return f"{type(error).__name__}: {words}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
