"""Long work in the background: worker threads, progress, partial results, cancel.

A job belongs to the server, not to a page: it survives a page switch, a refresh and a closed tab, and is
found again by its owner's token or by what it computes. Workers never call Streamlit.
"""

from __future__ import annotations

import atexit
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

JobState = Literal["queued", "running", "done", "failed", "cancelled"]
Work = Callable[["Job"], Any]
AT_EXIT_S = 10.0  # how long a server that ends waits for the step under way


@dataclass(eq=False)
class Job:
    """One piece of long work. The worker writes, pages read; every field may be read at any time.

    Args:
        kind: what sort of work it is ("scan").
        key: what exactly is computed (a digest); two requests with one kind and key share one job.
        label: for the screen.
        total: steps that finish it, 0 if unknown.
        owners: tokens of those who asked for it.
        state: "queued", "running", "done", "failed" or "cancelled".
        done: steps finished.
        error: one sentence, if it failed.
        result: what the work returned, if it is done.
        started, ended: in seconds of `time.monotonic`, None before.
    """

    kind: str
    key: str
    label: str = ""
    total: int = 0
    owners: frozenset[str] = frozenset()
    state: JobState = "queued"
    done: int = 0
    error: str = ""
    result: Any = None
    started: float | None = None
    ended: float | None = None
    stop: threading.Event = field(default_factory=threading.Event, repr=False)
    _parts: list[Any] = field(default_factory=list, repr=False)

    # For the worker

    def add(self, part: Any) -> None:
        """Append a partial result; pages see it at their next look."""
        self._parts.append(part)

    def advance(self, done: int | None = None, total: int | None = None) -> None:
        """Report steps finished: one more, or `done` in all."""
        self.total = self.total if total is None else total
        self.done = self.done + 1 if done is None else done

    # For pages

    @property
    def parts(self) -> tuple[Any, ...]:
        """The partial results so far, oldest first."""
        return tuple(self._parts)

    @property
    def busy(self) -> bool:
        """Whether it waits or runs: the time to poll."""
        return self.state in ("queued", "running")

    @property
    def fraction(self) -> float:
        """Share of the steps finished, in [0, 1]."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since it started to run."""
        return 0.0 if self.started is None else (self.ended or time.monotonic()) - self.started

    @property
    def left(self) -> float | None:
        """Estimated seconds until it is done, None while nothing is known."""
        if self.state != "running" or not self.fraction:
            return None
        return self.elapsed * (1.0 / self.fraction - 1.0)


class JobManager:
    """A queue of jobs and the threads that work it off, oldest request first.

    Args:
        workers: jobs that run at the same time; one, because a measurement wants the processor for itself.
        kept: ended jobs that are remembered, with their results.
    """

    def __init__(self, workers: int = 1, kept: int = 32) -> None:
        self._kept = kept
        self._jobs: dict[tuple[str, str], Job] = {}  # in the order of their submission
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[tuple[Job, Work] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"job-{number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()
        # A daemon thread that is killed inside torch when Python ends would abort the whole process.
        atexit.register(self.close, AT_EXIT_S)

    def submit(
        self,
        owner: str,
        kind: str,
        key: str,
        work: Work,
        *,
        total: int = 0,
        label: str = "",
        anew: bool = False,
    ) -> Job:
        """Ask for work; a job for the same kind and key that is waiting, running or done is shared.

        Args:
            owner: token of the visitor who asks.
            work: is given the job, adds parts and advances it, looks at `job.stop` between steps, and returns
                the result. It must not call Streamlit, nor change what `ui.cache` returned.
            anew: do again what is done; only a job that is waiting or running is shared.
        """
        with self._lock:
            known = self._jobs.get((kind, key))
            shared = ("queued", "running") if anew else ("queued", "running", "done")
            if known and known.state in shared and not known.stop.is_set():
                known.owners |= {owner}
                return known
            job = Job(kind, key, label, total, frozenset({owner}))
            self._jobs.pop((kind, key), None)
            self._jobs[kind, key] = job
            self._forget_oldest()
        self._queue.put((job, work))
        return job

    def get(self, kind: str, key: str) -> Job | None:
        """The job that computes, or computed, exactly this."""
        return self._jobs.get((kind, key))

    def forget(self, kind: str, key: str) -> None:
        """Drop an ended job and its result, so that the next request computes it anew."""
        with self._lock:
            if (kind, key) in self._jobs and not self._jobs[kind, key].busy:
                del self._jobs[kind, key]

    def of(self, owner: str, kind: str | None = None) -> list[Job]:
        """The jobs that this visitor asked for, the latest first."""
        with self._lock:
            jobs = list(self._jobs.values())
        return [job for job in reversed(jobs) if owner in job.owners and kind in (None, job.kind)]

    def waiting_before(self, job: Job) -> int:
        """How many busy jobs come before this one."""
        with self._lock:
            jobs = list(self._jobs.values())
        return sum(other.busy for other in jobs[: jobs.index(job)]) if job in jobs else 0

    def cancel(self, job: Job, owner: str, *, forget: bool = False) -> bool:
        """Withdraw one owner's wish; the job stops when nobody wishes for it any more.

        Args:
            forget: a job that stops is not found again, as if nobody had ever asked for it.
        Returns:
            Whether it stops (at its next step, or at once if it has not begun).
        """
        with self._lock:
            if owner not in job.owners or not job.busy:
                return False
            job.owners -= {owner}
            if job.owners:
                return False
            job.owners = frozenset({owner})  # so that whoever cancelled it still sees how far it came
            job.stop.set()
            if job.state == "queued":
                _end(job, "cancelled")
            if forget:
                self._jobs.pop((job.kind, job.key), None)
            return True

    def close(self, timeout: float | None = None) -> None:
        """Stop everything and wait for the threads, each for so many seconds at most (None: for ever)."""
        with self._lock:
            for job in self._jobs.values():
                job.stop.set()
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(timeout)

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            job, work = item
            with self._lock:
                if job.stop.is_set():
                    _end(job, "cancelled")
                    continue
                job.state, job.started = "running", time.monotonic()
            self._run(job, work)
            del job, work, item  # an idle worker must not keep a network alive

    def _run(self, job: Job, work: Work) -> None:
        try:
            job.result = work(job)
        except ValueError as error:  # the engine's own sentence
            _end(job, "cancelled" if job.stop.is_set() else "failed", str(error))
        except Exception as error:
            _end(job, "failed", f"{type(error).__name__}: {error}")
        else:
            _end(job, "cancelled" if job.stop.is_set() else "done")

    def _forget_oldest(self) -> None:
        ended = [place for place, job in self._jobs.items() if not job.busy]
        for place in ended[: max(0, len(ended) - self._kept)]:
            del self._jobs[place]


def _end(job: Job, state: JobState, error: str = "") -> None:
    if job.ended is None:
        job.ended = time.monotonic()
        job.error = error
        job.state = state
