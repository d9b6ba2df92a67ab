"""The queue with real processes, some of which are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from queued_runs import Queue, lives, row, until

from pruning.history import About, History, files
from pruning.runs import Dispatcher, child, dispatch
from pruning.runs.control import GAVE_WAY, SERVER_ENDED

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
SLEEPER = (sys.executable, str(HERE / "sleeper.py"))


@pytest.fixture
def dispatcher(history: History) -> Iterator[Dispatcher]:
    made = Dispatcher(history, command=SLEEPER)
    yield made
    made.close()


def pid_of(dispatcher: Dispatcher, run_id: str) -> int:
    return dispatcher._children[run_id].pid


def stepping(dispatcher: Dispatcher, run_id: str, steps: int = 1) -> Callable[[], bool]:
    def far_enough() -> bool:
        said = dispatcher.progress(run_id)
        return said is not None and said.done >= steps

    return far_enough


def begins(history: History, run_id: str) -> list[int]:
    """The step at which each start of a sleeper began."""
    lines = (history.folder(run_id) / "begins").read_text().splitlines()
    return [int(line.split()[0]) for line in lines]


def test_a_killed_worker_is_noticed_and_its_run_goes_on(
    dispatcher: Dispatcher, history: History, queue: Queue
) -> None:
    run_id, behind = queue(steps=60, seconds=0.03), queue("ben", steps=1)
    dispatcher.start()
    until(stepping(dispatcher, run_id, 25))
    said = dispatcher.progress(run_id)
    assert said is not None
    assert (said.phase, said.total) == ("sleeping", 60)
    assert dispatcher.waiting_before(behind) == 1
    assert row(history, behind).state == "queued"
    os.kill(pid_of(dispatcher, run_id), signal.SIGKILL)
    assert until(lambda: row(history, run_id).state == "interrupted") < 2.0
    assert "killed by SIGKILL" in row(history, run_id).error
    assert dispatcher.progress(run_id) is None
    assert not dispatcher.resume(run_id, owner="ben")
    assert dispatcher.resume(run_id, owner="anna")
    until(lambda: row(history, run_id).state == "done")
    assert row(history, behind).state == "done"
    assert row(history, run_id).error == ""
    first, second = begins(history, run_id)
    assert first == 0
    assert second >= 20
    ended = float((history.folder(behind) / "end").read_text())
    assert ended < float((history.folder(run_id) / "begins").read_text().splitlines()[1].split()[1])


def test_no_worker_outlives_its_server_and_the_next_one_goes_on(history: History, queue: Queue) -> None:
    run_id, behind = queue(steps=5000), queue(steps=1)
    server = subprocess.Popen([sys.executable, str(HERE / "server.py")], cwd=ROOT, env=environment())
    try:
        until(lambda: row(history, run_id).state == "running")
        (worker,) = children(server.pid)
        until((history.folder(run_id) / "steps").exists)
    finally:
        server.kill()
        server.wait()
    assert until(lambda: not lives(worker)) < 5.0
    assert (row(history, run_id).state, row(history, run_id).error) == ("interrupted", SERVER_ENDED)
    assert row(history, behind).state == "queued"
    next_server = Dispatcher(history, command=SLEEPER)
    next_server.start()
    until(lambda: row(history, behind).state == "done")
    next_server.close()
    assert row(history, run_id).state == "interrupted"


def test_what_was_killed_together_with_its_server_is_found(history: History, queue: Queue) -> None:
    lost, held, cell_of, elsewhere = (queue(steps=1) for _ in range(4))
    for run_id in (lost, held, cell_of, elsewhere):
        history.claim(run_id)
    cell = history.add(About(kind="evaluation", study=cell_of), state="running")
    history.folder(elsewhere).rmdir()  # another machine's, in the same database
    with files.lock_of(held):
        dispatcher = Dispatcher(history, command=SLEEPER)
        dispatcher.start()
        until(lambda: row(history, cell).state == "interrupted")
        dispatcher.close()
    assert [row(history, i).state for i in (lost, held, elsewhere)] == ["interrupted", "running", "running"]
    assert row(history, lost).error == SERVER_ENDED


def test_cancel_leaves_nothing_behind(dispatcher: Dispatcher, history: History, queue: Queue) -> None:
    run_id, waits, deaf = queue(steps=5000), queue("ben", steps=5000), queue(deaf=True)
    dispatcher.start()
    until(stepping(dispatcher, run_id))
    pid = pid_of(dispatcher, run_id)
    assert not dispatcher.cancel(waits, owner="anna")
    assert dispatcher.cancel(waits, owner="ben")
    assert row(history, waits).state == "cancelled"
    assert dispatcher.cancel(run_id)
    until(lambda: not history.folder(run_id).exists())
    assert row(history, run_id).state == "cancelled"
    assert not lives(pid)
    assert not history.folder(waits).exists()
    assert not dispatcher.cancel(run_id)
    assert not dispatcher.pause(run_id)
    assert not dispatcher.resume(run_id)
    noted = history.folder(deaf) / "child"  # it makes no step, and has started a process of its own
    until(lambda: noted.exists() and noted.read_text())
    pids = [pid_of(dispatcher, deaf), int(noted.read_text())]
    assert dispatcher.cancel(deaf)
    until(lambda: row(history, deaf).state == "cancelled" and not noted.exists())
    assert [lives(pid) for pid in pids] == [False, False]


def test_a_paused_run_gives_way_and_a_running_one_ends_with_the_server(
    dispatcher: Dispatcher, history: History, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, other = queue(steps=5000), queue("ben", steps=3)
    dispatcher.start()
    until(stepping(dispatcher, run_id))
    assert not dispatcher.pause(run_id, owner="ben")
    assert dispatcher.pause(run_id)
    until(lambda: row(history, other).state == "done")
    assert row(history, run_id).state == "paused"
    assert dispatcher.go(run_id)
    until(lambda: row(history, run_id).state == "running")
    monkeypatch.setattr(dispatch, "MOST_WORKERS", 1)  # who pauses runs does not stop the others for ever
    dispatcher.pause(run_id)
    last = queue(steps=5000)
    until(lambda: row(history, last).state == "running")
    assert (row(history, run_id).state, row(history, run_id).error) == ("interrupted", GAVE_WAY)
    pid = pid_of(dispatcher, last)
    assert os.getpriority(os.PRIO_PROCESS, pid) >= 10
    start = time.monotonic()
    dispatcher.close()
    assert time.monotonic() - start < 5.0
    assert not lives(pid)
    assert (row(history, last).state, row(history, last).error) == ("interrupted", SERVER_ENDED)


def test_a_worker_that_cannot_begin_is_a_failed_run(history: History, queue: Queue) -> None:
    dispatcher = Dispatcher(history, command=(sys.executable, "-c", "raise SystemExit('no such thing')"))
    run_id = queue()
    dispatcher.start()
    until(lambda: row(history, run_id).state == "failed")
    dispatcher.close()
    assert "could not begin (exit status 1)" in row(history, run_id).error
    assert "no such thing" in (history.folder(run_id) / "log.txt").read_text()


def test_a_log_is_bounded_and_never_holds_up_its_worker(
    history: History, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "MOST_LOG", 1000)
    folder = history.folder(queue())
    command = (sys.executable, "-S", "-c", "import sys; sys.stderr.write('x' * 1_000_000)")
    for log in (folder / "log.txt", folder / "no folder" / "log.txt"):
        worker = child.Child("0" * 12, command, environment(), log)
        assert worker.wait(20)
        assert worker.status == 0
        worker.clear()
    until(lambda: (folder / "log.txt").stat().st_size == 1000)


def test_what_cannot_be_resumed_says_why(dispatcher: Dispatcher, history: History, queue: Queue) -> None:
    run_id = queue()
    cell = history.add(About(kind="fine-tuning", study=run_id), state="interrupted")
    with pytest.raises(ValueError, match="resume the study"):
        dispatcher.resume(cell)
    history.set_state(run_id, "interrupted")
    files.remove(run_id)
    with pytest.raises(ValueError, match="start it anew"):
        dispatcher.resume(run_id)
    assert not dispatcher.resume("nothing")


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()] or [
        int(each)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for each in (task / "children").read_text().split()
    ]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}
