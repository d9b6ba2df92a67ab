"""The server's side of long work: which run is next, and what becomes of each."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from pruning.history import History, HistoryError, Kind, RunState
from pruning.history.files import alive
from pruning.history.files import remove as remove_files
from pruning.models import LoadedModel
from pruning.runs.about import Settings
from pruning.runs.child import Child
from pruning.runs.control import GRACE_S, NOT_MINE, SERVER_ENDED
from pruning.runs.progress import Progress
from pruning.runs.submit import submit
from pruning.store import cache_dir
from pruning.tasks import data_dir

KINDS: tuple[Kind, ...] = ("fine-tuning", "study", "compression")  # that workers do
MOST_WORKERS = 4  # processes; all but one are paused
LOG = "log.txt"
_ROOT = Path(__file__).resolve().parents[2]
_TICK_S, _IDLE_S, _LOOK_S = 0.25, 1.0, 5.0
_WORKED: tuple[RunState, ...] = ("running", "paused")
_logger = logging.getLogger(__name__)


class Dispatcher:
    """Starts queued runs, the oldest first, and knows how they go. One a server.

    All runs of the history whose files are on this machine are in one queue, whoever asked for them. One
    works at a time; while it is paused another may. Workers end with the server, and a run that was in work
    is then interrupted and can be resumed.

    Args:
        history: where the runs are.
        command: that starts a worker, without the run's id.
    """

    def __init__(
        self, history: History, *, command: Sequence[str] = (sys.executable, "-m", "pruning.runs.worker")
    ) -> None:
        self.history = history
        self._command = tuple(command)
        self._children: dict[str, Child] = {}
        self._lock = threading.RLock()  # of the children
        self._wake = threading.Event()
        self._closing = False
        self._looked = 0.0
        self._thread: threading.Thread | None = None

    # The server

    def start(self) -> None:
        """Begin to work: what a server that has ended left behind is marked, then the queue goes on.

        Raises:
            HistoryError: if the history cannot be used.
        """
        with self._lock:
            if self._thread is None:
                self._mark_orphans()
                self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)
                self._thread.start()
                atexit.register(self.close)

    def close(self) -> None:
        """End all workers and wait until they have gone."""
        self._closing = True
        self._wake.set()
        if self._thread:
            self._thread.join()
        atexit.unregister(self.close)

    # Visitors

    def submit(
        self,
        loaded: LoadedModel,
        settings: Settings,
        *,
        owner: str = "",
        title: str = "",
        device: str = "cpu",
        pruned: bytes | None = None,
    ) -> str:
        """Put a run into the queue.

        Args:
            loaded: the dense network; its weights are copied, so that a run does not depend on its source.
            settings: of a fine-tuning, a study or a compression.
            owner: token of the visitor who asks.
            title: for the screen; made from the settings if empty.
            device: that it is to run on.
            pruned: checkpoint of the network that a compression begins with, pruned before; None = `loaded`.
        Returns:
            The run's id.
        Raises:
            ValueError: in one sentence, if it cannot be, or too much waits or is kept already.
        """
        run_id = submit(
            self.history, loaded, settings, owner=owner, title=title, device=device, pruned=pruned
        )
        self._wake.set()
        return run_id

    def pause(self, run_id: str, owner: str | None = None) -> bool:
        """Hold a run at its next step; whether it could be told. Others may work meanwhile.

        Args:
            owner: only if it is this visitor's run; None = whoever's it is. The same for all that follow.
        """
        return self._tell(run_id, "pause", owner)

    def go(self, run_id: str, owner: str | None = None) -> bool:
        """Let a paused run go on, as soon as no other one works; whether it could be told."""
        return self._tell(run_id, "go", owner)

    def finish(self, run_id: str, owner: str | None = None) -> bool:
        """Stop a run at its next step and keep the best that it has; whether it could be told."""
        return self._tell(run_id, "finish", owner)

    def cancel(self, run_id: str, owner: str | None = None) -> bool:
        """Stop a run and throw its files away; whether it could be told.

        A running one stops at its next step, and within ten seconds if none comes.
        """
        if not self._owned(run_id, owner):
            return False
        with self._lock:  # so that it is not started between the two
            if self._tell(run_id, "cancel", owner):
                return True
            ended = self.history.set_state(run_id, "cancelled", only=("queued", "interrupted"))
        if ended:
            remove_files(run_id)
        return ended

    def resume(self, run_id: str, owner: str | None = None) -> bool:
        """Put an interrupted or failed run into the queue again; it goes on after its last whole epoch.

        Raises:
            ValueError: if its files are gone, or it is a cell of a study.
        """
        run = self.history.get(run_id)
        if run is None or not self._owned(run_id, owner) or run.state not in ("interrupted", "failed"):
            return False
        if run.study is not None:
            raise ValueError("This run is a part of a study; resume the study.")
        if not self.history.folder(run_id).is_dir():
            raise ValueError("The files of this run have been removed to make room; start it anew.")
        queued = self.history.set_state(run_id, "queued", only=("interrupted", "failed"))
        self._wake.set()
        return queued

    def progress(self, run_id: str) -> Progress | None:
        """What the worker of a run last said; None if it has no worker here."""
        child = self._children.get(run_id)
        return child.progress if child and child.status is None else None

    def waiting_before(self, run_id: str) -> int:
        """How many runs come before a queued one: those in work, and those that wait longer."""
        run = self.history.get(run_id)
        if run is None or run.state != "queued":
            return 0
        waiting = self.history.runs(kind=KINDS, state="queued", oldest_first=True)
        before = [other.id for other in waiting]
        working = self.history.count(kind=KINDS, state="running", study="")
        return working + (before.index(run_id) if run_id in before else len(before))

    # The thread

    def _run(self) -> None:
        while not self._closing:
            try:
                self._tick()
            except HistoryError:  # perhaps it can be used again in a moment
                _logger.exception("The queue cannot be read.")
            self._wake.wait(_TICK_S if self._children else _IDLE_S)
            self._wake.clear()
        self._end_all()

    def _tick(self) -> None:
        for child in list(self._children.values()):
            if child.status is not None:
                self._ended(child)
        if time.monotonic() - self._looked > _LOOK_S:
            self._mark_orphans()
        self._start_next()

    def _start_next(self) -> None:
        with self._lock:
            children = list(self._children.values())
            if not all(child.paused for child in children):
                return
            for run in self.history.runs(kind=KINDS, state="queued", oldest_first=True, limit=50):
                folder = self.history.folder(run.id)
                if run.id not in self._children and folder.is_dir() and not alive(run.id):
                    if len(children) >= MOST_WORKERS:
                        children[0].send("release")
                        return
                    self._children[run.id] = Child(run.id, self._command, self._environment(), folder / LOG)
                    return

    def _ended(self, child: Child) -> None:
        """Say in the row how a run ended whose worker could not."""
        status = child.status
        child.clear()
        run = self.history.get(child.run_id)
        if run is not None and run.state in _WORKED:
            self._interrupt(
                [run.id], f"The worker's process ended unexpectedly ({_reason(status)}); resume the run."
            )
        elif run is not None and run.state == "queued" and status not in (0, NOT_MINE):
            words = f"The worker's process could not begin ({_reason(status)}); its {LOG} says more."
            self.history.set_state(run.id, "failed", error=words, only=("queued",))
        if run is not None and run.state == "cancelled":
            remove_files(run.id)
        self.history.trim()
        with self._lock:
            del self._children[child.run_id]

    def _mark_orphans(self) -> None:
        """Runs that seem to be in work while nobody works on them: their server and worker were killed."""
        self._looked = time.monotonic()
        for run in self.history.runs(kind=KINDS, state=_WORKED, study=""):
            here = self.history.folder(run.id).is_dir()
            if here and run.id not in self._children and not alive(run.id):
                self._interrupt([run.id], SERVER_ENDED)

    def _interrupt(self, ids: Collection[str], sentence: str) -> None:
        for run_id in ids:
            self.history.set_state(run_id, "interrupted", error=sentence, only=_WORKED)
            self._interrupt([cell.id for cell in self.history.runs(study=run_id, state=_WORKED)], sentence)

    def _end_all(self) -> None:
        children = list(self._children.values())
        for child in children:
            if child.progress is None:  # it is still importing, and has not begun
                child.clear()
            child.hang_up()
        until = time.monotonic() + GRACE_S + 2.0
        for child in children:
            child.wait(max(0.0, until - time.monotonic()))
            try:
                self._ended(child)
            except HistoryError:
                _logger.exception("The end of a run cannot be written.")

    # Inside

    def _owned(self, run_id: str, owner: str | None) -> bool:
        run = self.history.get(run_id)
        return run is not None and owner in (None, run.owner)

    def _tell(self, run_id: str, command: str, owner: str | None) -> bool:
        child = self._children.get(run_id)
        return child is not None and self._owned(run_id, owner) and child.send(command)

    def _environment(self) -> dict[str, str]:
        paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "PRUNING_CACHE_DIR": str(cache_dir()),
            "PRUNING_DATA_DIR": str(data_dir()),
            "PRUNING_DATABASE_URL": self.history.url,
        }


def _reason(status: int | None) -> str:
    if status is not None and status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        return f"killed by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")
    return f"exit status {status}"
