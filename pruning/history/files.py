"""The files of runs: one folder each in the cache directory, bounded in all."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from filelock import FileLock, Timeout

from pruning.store import cache_dir, megabytes

MEGABYTES = 2000  # default bound of all runs' files together
LOCK = "alive.lock"  # held by the process that works on the run
_ID = re.compile(r"[0-9a-f]{12}")


def is_id(run_id: object) -> bool:
    """Whether this could be the id of a run; it may come from an address."""
    return isinstance(run_id, str) and _ID.fullmatch(run_id) is not None


def runs_dir() -> Path:
    """The folder of all runs' folders."""
    return cache_dir() / "runs"


def folder_of(run_id: str) -> Path:
    """The folder of a run's files; there is none for most kinds.

    Raises:
        ValueError: if this is no id.
    """
    if not is_id(run_id):
        raise ValueError(f"{str(run_id)[:40]!r} is not the id of a run; it has 12 hexadecimal digits.")
    return runs_dir() / run_id


def lock_of(run_id: str) -> FileLock:
    """The lock that whoever works on a run holds as long as it lives. Its folder must exist."""
    return FileLock(folder_of(run_id) / LOCK, thread_local=False)


def alive(run_id: str) -> bool:
    """Whether a process works on a run."""
    if not folder_of(run_id).is_dir():
        return False
    lock = lock_of(run_id)
    try:
        lock.acquire(blocking=False)
    except (Timeout, OSError):
        return True
    lock.release()
    return False


def bound() -> int:
    """Bytes that all runs' files may take: 2 GB, or PRUNING_RUNS_MB.

    Raises:
        ValueError: if that is no number.
    """
    return megabytes("PRUNING_RUNS_MB", MEGABYTES * 1_000_000)


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder and below; 0 if there is none."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:  # it has just gone
                continue
    return total


def remove(run_id: str) -> None:
    """Remove a run's files. What cannot be removed stays."""
    shutil.rmtree(folder_of(run_id), ignore_errors=True)
