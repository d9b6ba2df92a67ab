"""A Python process that knows nothing of this one: for checks, and for work that would disturb a server."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

FRESH_TIMEOUT_S = 300
REFUSED = 3  # exit status of a process whose last line is a sentence for the user
_LOOK_S = 0.2


def run_fresh(module: str, *arguments: str, stop: threading.Event | None = None) -> None:
    """Run `python -m module arguments` to its end.

    Args:
        module: of this package.
        stop: ends the process when set.
    Raises:
        ValueError: in one sentence: the process's own where it exits with REFUSED, else its last line.
    """
    root = Path(__file__).resolve().parents[2]
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = _wait(process, stop or threading.Event())
    if process.returncode:
        last = (said.strip().splitlines() or ["no message"])[-1]
        own = process.returncode == REFUSED
        raise ValueError(last if own else f"A fresh process could not load the file: {last[:300]}")


def _wait(process: subprocess.Popen[str], stop: threading.Event) -> str:
    """What it wrote to its standard error; it is killed if that takes too long."""
    for _ in range(int(FRESH_TIMEOUT_S / _LOOK_S)):
        try:
            return process.communicate(timeout=_LOOK_S)[1]
        except subprocess.TimeoutExpired:
            if stop.is_set():
                break
    process.kill()
    process.communicate()
    if stop.is_set():
        raise ValueError("The work was stopped.")
    raise ValueError(f"A fresh process did not end in {FRESH_TIMEOUT_S} seconds.")
