"""The worker's end of the line to its server: commands come in, progress goes out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import TextIO

from filelock import FileLock, Timeout

from pruning.history import History, RunState
from pruning.history.files import runs_dir
from pruning.runs.progress import PAUSED, WAITING, Pace, Progress

NOT_MINE = 4  # exit status of a worker: another one works on this run, or nobody asked for it
COMMANDS = ("pause", "go", "finish", "cancel", "release")
GRACE_S = 8.0  # how long a step may take after the order to stop; then the process ends in its middle
SERVER_ENDED = "The server ended while this run worked; resume it, and it goes on after its last whole epoch."
GAVE_WAY = (
    "It was paused, and other runs needed its place; resume it, and it goes on after its last whole epoch."
)
_SAY_S, _LOOK_S = 0.25, 0.1


class Stopped(BaseException):
    """The run is to end here; not an Exception, so that nothing on the way takes it for a mistake.

    Args:
        state: how the run stands then.
        sentence: for its row.
    """

    def __init__(self, state: RunState, sentence: str = "") -> None:
        super().__init__(sentence)
        self.state: RunState = state
        self.sentence = sentence


class Control:
    """What a piece of work reports to, and what holds or stops it.

    Args:
        history: where the run's row is.
        run_id: of the run.
        commands: lines, each one of `COMMANDS`; their end means that the server has ended.
        output: where progress goes, a JSON object a line.
        leave: ends the process at once.
    """

    def __init__(
        self,
        history: History,
        run_id: str,
        commands: Iterable[bytes],
        output: TextIO,
        leave: Callable[[], None],
        grace_s: float = GRACE_S,
    ) -> None:
        self.finish = threading.Event()  # stop and keep the best
        self._history, self._run_id = history, run_id
        self._commands, self._output, self._leave, self._grace_s = commands, output, leave, grace_s
        self._stopped: Stopped | None = None
        self._held = threading.Event()
        self._over = threading.Event()  # the work has ended by itself
        self._pace = Pace()
        self._progress = Progress()
        self._said = 0.0
        self._machine: FileLock | None = None
        threading.Thread(target=self._listen, name="commands", daemon=True).start()

    # For the work

    def phase(self, name: str, *, go_on: bool = False) -> None:
        """Something else begins.

        Args:
            name: for the screen.
            go_on: whether steps are counted on; else they are not known yet.
        """
        if not go_on:
            self._pace, self._progress = Pace(), Progress()
        self._say(self._progress.model_copy(update={"phase": name}), now=True)
        self.check()

    def step(self, done: int, total: int, images: int = 0) -> None:
        """So many steps are done; blocks while the run is held.

        Args:
            images: that a step is about.
        Raises:
            Stopped: if the run is to end here.
        """
        self._pace.step(done)
        rate = images / self._pace.seconds if self._pace.seconds else 0.0
        left = self._pace.left(total - done)
        phase = self._progress.phase
        self._say(Progress(phase=phase, done=done, total=total, left=left, images_per_s=rate))
        self.check()

    def check(self) -> None:
        """Block while the run is held.

        Raises:
            Stopped: if the run is to end here.
        """
        if self._held.is_set():
            self._hold()
        if self._stopped:
            raise self._stopped

    # For the worker

    def take_machine(self) -> None:
        """Wait until no other run works on this machine.

        Raises:
            Stopped: if the run is to end before.
        """
        self._say(Progress(phase=WAITING), now=True)
        runs_dir().mkdir(parents=True, exist_ok=True)
        lock = FileLock(runs_dir() / "working.lock", thread_local=False)
        while True:
            try:
                lock.acquire(blocking=False)
                break
            except Timeout:
                pass
            if self._stopped:
                raise self._stopped
            time.sleep(_LOOK_S)
        self._machine = lock

    def leave_machine(self) -> None:
        """Let another run work."""
        if self._machine:
            self._machine.release()
            self._machine = None

    def leave_row(self, stopped: Stopped) -> None:
        """Say how the run stands; one that had not begun when the server ended is still in the queue."""
        states: tuple[RunState, ...] = ("running", "paused")
        if stopped.state == "cancelled":
            states += ("queued",)
        self._history.set_state(self._run_id, stopped.state, error=stopped.sentence, only=states)

    def close(self) -> None:
        """The work has ended; what comes now has nothing to stop any more."""
        self._over.set()
        self.leave_machine()

    # Inside

    def _hold(self) -> None:
        """Wait until the run may go on; another one may work meanwhile."""
        before = self._progress
        self._history.set_state(self._run_id, "paused", only=("running",))
        self.leave_machine()
        self._say(before.model_copy(update={"phase": PAUSED, "left": None, "images_per_s": 0.0}), now=True)
        while self._held.is_set() and not self._stopped:
            time.sleep(_LOOK_S)
        if self._stopped:
            raise self._stopped
        self.take_machine()
        self._history.set_state(self._run_id, "running", only=("paused",))
        self._pace.skip()
        self._say(before, now=True)

    def _say(self, progress: Progress, now: bool = False) -> None:
        """Tell the server, a few times a second at most."""
        self._progress = progress
        moment = time.monotonic()
        if not now and moment - self._said < _SAY_S:
            return
        self._said = moment
        try:
            self._output.write(progress.model_dump_json() + "\n")
            self._output.flush()
        except (OSError, ValueError):  # nobody listens any more: the end of the commands will say so
            return

    def _listen(self) -> None:
        for line in self._commands:
            command = line.decode(errors="replace").strip()
            if command == "pause":
                self._held.set()
            elif command == "go":
                self._held.clear()
            elif command == "finish":
                self.finish.set()
                self._held.clear()
            elif command in ("cancel", "release"):
                given_up = command == "cancel"
                self._stop(Stopped("cancelled") if given_up else Stopped("interrupted", GAVE_WAY))
                return
        self._stop(Stopped("interrupted", SERVER_ENDED))

    def _stop(self, stopped: Stopped) -> None:
        """End at the next step; if none comes, in the middle of one."""
        self._stopped = stopped
        if self._over.wait(self._grace_s):
            return
        self.leave_row(stopped)
        self._leave()
