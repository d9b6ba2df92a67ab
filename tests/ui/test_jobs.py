"""Background work: order, progress, sharing, cancel, and what survives a failure."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ui.jobs import Job, JobManager

ROOT = Path(__file__).parents[2]


@pytest.fixture
def manager() -> Iterator[JobManager]:
    made = JobManager(workers=1, kept=3)
    yield made
    made.close()


def wait(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.002)


class Gate:
    """Work that waits until it is let through, or stopped."""

    def __init__(self) -> None:
        self.entered, self.open = threading.Event(), threading.Event()

    def __call__(self, job: Job) -> str:
        self.entered.set()
        while not (self.open.is_set() or job.stop.is_set()):
            time.sleep(0.002)
        return "through"


def test_a_job_runs_and_keeps_its_result(manager: JobManager) -> None:
    def work(job: Job) -> int:
        for number in range(3):
            job.add(number)
            job.advance()
        return 42

    job = manager.submit("ann", "scan", "k", work, total=3, label="Scan")
    wait(lambda: not job.busy)
    assert (job.state, job.result, job.parts, job.fraction) == ("done", 42, (0, 1, 2), 1.0)
    assert job.elapsed > 0
    assert manager.get("scan", "k") is job


def test_progress_and_time_left_show_while_it_runs(manager: JobManager) -> None:
    gate = Gate()

    def work(job: Job) -> None:
        job.advance(1, total=4)
        gate(job)

    job = manager.submit("ann", "scan", "k", work)
    assert gate.entered.wait(60)
    assert (job.state, job.fraction) == ("running", 0.25)
    before, left, after = job.elapsed, job.left, job.elapsed
    assert left is not None
    assert 3 * before <= left <= 3 * after
    gate.open.set()
    wait(lambda: not job.busy)
    assert job.left is None


def test_the_same_work_is_shared(manager: JobManager) -> None:
    gate = Gate()
    first = manager.submit("ann", "scan", "k", gate)
    assert manager.submit("bob", "scan", "k", gate) is first
    assert manager.submit("bob", "scan", "other", gate) is not first
    gate.open.set()
    wait(lambda: not first.busy)
    assert manager.submit("cem", "scan", "k", gate) is first, "done work is not done again"


def test_what_is_done_is_done_anew_if_asked(manager: JobManager) -> None:
    gate = Gate()
    first = manager.submit("ann", "scan", "k", gate, anew=True)
    assert manager.submit("bob", "scan", "k", gate, anew=True) is first, "it is under way"
    gate.open.set()
    wait(lambda: not first.busy)
    again = manager.submit("bob", "scan", "k", lambda job: "again", anew=True)
    wait(lambda: not again.busy)
    assert (again.result, manager.get("scan", "k")) == ("again", again)
    assert manager.of("ann") == []
    manager.forget("scan", "k")
    assert manager.get("scan", "k") is None


def test_two_wait_their_turn(manager: JobManager) -> None:
    gate = Gate()
    first = manager.submit("ann", "scan", "1", gate)
    second = manager.submit("bob", "scan", "2", lambda job: "second")
    assert gate.entered.wait(60)
    assert (second.state, manager.waiting_before(second)) == ("queued", 1)
    gate.open.set()
    wait(lambda: not second.busy)
    assert first.ended is not None
    assert second.started is not None
    assert first.ended <= second.started


def test_cancel_stops_a_running_job_and_keeps_its_parts(manager: JobManager) -> None:
    gate = Gate()

    def work(job: Job) -> None:
        job.add("part")
        gate(job)

    job = manager.submit("ann", "scan", "k", work)
    assert gate.entered.wait(60)
    assert manager.cancel(job, "ann")
    wait(lambda: not job.busy)
    assert (job.state, job.parts) == ("cancelled", ("part",))
    assert manager.of("ann") == [job]


def test_cancel_takes_a_waiting_job_out_at_once(manager: JobManager) -> None:
    gate, ran = Gate(), []
    manager.submit("ann", "scan", "1", gate)
    second = manager.submit("ann", "scan", "2", lambda job: ran.append(1))
    manager.cancel(second, "ann")
    assert second.state == "cancelled"
    gate.open.set()
    last = manager.submit("ann", "scan", "3", lambda job: None)
    wait(lambda: not last.busy)
    assert not ran


def test_a_cancelled_job_can_be_asked_for_again(manager: JobManager) -> None:
    gate = Gate()
    job = manager.submit("ann", "scan", "k", gate)
    assert gate.entered.wait(60)
    manager.cancel(job, "ann")
    again = manager.submit("ann", "scan", "k", lambda job: "again")
    assert again is not job
    wait(lambda: not again.busy)
    assert again.result == "again"


def test_a_job_that_gave_way_is_not_found_again(manager: JobManager) -> None:
    gate = Gate()
    job = manager.submit("ann", "scan", "k", gate)
    manager.submit("bob", "scan", "k", gate)
    assert not manager.cancel(job, "ann", forget=True)
    assert manager.get("scan", "k") is job, "somebody still wants it"
    assert manager.cancel(job, "bob", forget=True)
    assert manager.get("scan", "k") is None
    wait(lambda: job.state == "cancelled")


def test_only_owners_cancel_and_the_last_one_decides(manager: JobManager) -> None:
    gate = Gate()
    job = manager.submit("ann", "scan", "k", gate)
    manager.submit("bob", "scan", "k", gate)
    assert not manager.cancel(job, "eve")
    assert not manager.cancel(job, "ann")
    assert not job.stop.is_set()
    assert manager.of("ann") == []
    assert manager.cancel(job, "bob")
    wait(lambda: job.state == "cancelled")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [(ValueError("Give data."), "Give data."), (RuntimeError("boom"), "RuntimeError: boom")],
)
def test_a_failure_is_told_and_the_worker_goes_on(
    manager: JobManager, error: Exception, sentence: str
) -> None:
    def fail(job: Job) -> None:
        raise error

    job = manager.submit("ann", "scan", "bad", fail)
    after = manager.submit("ann", "scan", "good", lambda job: "fine")
    wait(lambda: not after.busy)
    assert (job.state, job.error, job.result) == ("failed", sentence, None)
    assert after.result == "fine"


def test_a_failed_job_can_be_tried_again(manager: JobManager) -> None:
    def fail(job: Job) -> None:
        raise ValueError("Not now.")

    job = manager.submit("ann", "scan", "k", fail)
    wait(lambda: not job.busy)
    again = manager.submit("ann", "scan", "k", lambda job: "now")
    wait(lambda: not again.busy)
    assert again.result == "now"


def test_jobs_are_found_by_owner_latest_first(manager: JobManager) -> None:
    one = manager.submit("ann", "scan", "1", lambda job: None)
    two = manager.submit("ann", "train", "2", lambda job: None)
    manager.submit("bob", "scan", "3", lambda job: None)
    assert manager.of("ann") == [two, one]
    assert manager.of("ann", "scan") == [one]


def test_ended_jobs_are_forgotten_oldest_first(manager: JobManager) -> None:
    jobs = [manager.submit("ann", "scan", str(number), lambda job: None) for number in range(6)]
    wait(lambda: not jobs[-1].busy)
    manager.submit("ann", "scan", "last", lambda job: None)
    assert manager.get("scan", "0") is None
    assert manager.get("scan", "5") is jobs[5]
    assert len(manager.of("ann")) <= 3 + 1


def test_an_idle_worker_keeps_nothing_alive(manager: JobManager) -> None:
    class Network:
        pass

    network = Network()
    seen = weakref.ref(network)

    def work(job: Job, network: Network = network) -> None:
        pass

    job = manager.submit("ann", "scan", "k", work)
    wait(lambda: not job.busy)
    del work, network
    wait(lambda: gc.collect() is not None and seen() is None)


def test_two_workers_work_side_by_side() -> None:
    manager = JobManager(workers=2)
    gates = [Gate(), Gate()]
    for number, gate in enumerate(gates):
        manager.submit("ann", "scan", str(number), gate)
    assert all(gate.entered.wait(60) for gate in gates)
    manager.close()


def test_reading_while_writing_is_safe(manager: JobManager) -> None:
    def work(job: Job) -> None:
        for number in range(5000):
            job.add(number)
            job.advance()

    job = manager.submit("ann", "scan", "k", work, total=5000)
    while job.busy:
        parts = job.parts
        assert parts == tuple(range(len(parts)))
    assert len(job.parts) == 5000


def test_a_process_that_ends_waits_for_the_step_under_way() -> None:
    """Killed inside torch, a worker would abort the process ("terminate called without ...")."""
    program = (
        "import time\n"
        "from ui.jobs import JobManager\n"
        "def work(job):\n"
        "    while not job.stop.is_set():\n"
        "        time.sleep(0.01)\n"
        "    print('stopped', flush=True)\n"
        "job = JobManager().submit('somebody-somebody', 'scan', 'x', work)\n"
        "while job.state != 'running':\n"
        "    time.sleep(0.01)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout.strip()) == (0, "stopped")
