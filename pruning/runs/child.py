"""The server's end of the line to a worker."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from pruning.runs.progress import PAUSED, Progress

MOST_LOG = 1_000_000  # bytes of standard error that are kept


class Child:
    """A worker's process.

    Args:
        run_id: of its run.
        command: that starts a worker, without the run's id.
        environment: that it is given.
        log: file that its standard error goes to, as far as `MOST_LOG`.
    """

    def __init__(
        self, run_id: str, command: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> None:
        self.run_id = run_id
        self.progress: Progress | None = None  # until it has said something
        self._process = subprocess.Popen(
            [*command, run_id],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the server, which then ends its workers in order
            creationflags=getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0),
        )
        for target, arguments in ((self._listen, ()), (_copy, (self._process.stderr, log))):
            threading.Thread(target=target, args=arguments, name=f"run-{run_id}", daemon=True).start()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def paused(self) -> bool:
        """Whether it is held, and another run may work."""
        return self.progress is not None and self.progress.phase == PAUSED

    @property
    def status(self) -> int | None:
        """Exit status, negative for a signal; None while it lives."""
        return self._process.poll()

    def send(self, command: str) -> bool:
        """Give a command; False if nobody is there to take it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{command}\n".encode())
            self._process.stdin.flush()
        except (OSError, ValueError):
            return False
        return self.status is None

    def hang_up(self) -> None:
        """Tell it that the server ends."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within so many seconds."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self.status is not None

    def clear(self) -> None:
        """Kill it and all that it started, also if it has ended by itself."""
        if hasattr(os, "killpg"):
            with suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait()
        self.hang_up()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if said := Progress.read(line.decode(errors="replace")):
                self.progress = said
        self._process.stdout.close()


def _copy(source: IO[bytes], target: Path) -> None:
    """Read a stream to its end; what fits is kept in a file."""
    room = MOST_LOG
    try:
        with target.open("wb") as file:
            while room > 0 and (data := os.read(source.fileno(), 65_536)):
                file.write(data[:room])
                file.flush()
                room -= len(data)
    except OSError:  # no room on the disk: the worker must not wait for it
        pass
    while os.read(source.fileno(), 65_536):
        pass
    source.close()
