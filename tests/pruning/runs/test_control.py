"""One run, its work in a thread: commands, states, and the machine that only one may use."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from queued_runs import Queue, row, until

from pruning.history import History
from pruning.runs.control import SERVER_ENDED, Control
from pruning.runs.progress import PAUSED, WAITING, Progress
from pruning.runs.work import Job
from pruning.runs.worker import work_on


class Line:
    """A run in work, and the server's end of its line."""

    def __init__(
        self, history: History, run_id: str, work: Callable[[Job], None], grace_s: float = 5.0
    ) -> None:
        commands, self._end = os.pipe()
        self.history, self.run_id = history, run_id
        self.output, self.left = io.StringIO(), threading.Event()
        self.control = Control(history, run_id, read(commands), self.output, self.left.set, grace_s)
        arguments = (row(history, run_id), history, self.control, {"fine-tuning": work})
        self.thread = threading.Thread(target=work_on, args=arguments)
        self.thread.start()

    def send(self, command: str) -> None:
        os.write(self._end, f"{command}\n".encode())

    def hang_up(self) -> None:
        if self._end >= 0:
            os.close(self._end)
        self._end = -1

    def join(self) -> str:
        self.thread.join(10)
        assert not self.thread.is_alive()
        self.hang_up()
        return self.state

    @property
    def state(self) -> str:
        return row(self.history, self.run_id).state

    @property
    def said(self) -> list[Progress]:
        lines = [Progress.read(line) for line in self.output.getvalue().splitlines()]
        assert all(lines)
        return [line for line in lines if line]


def read(descriptor: int) -> Iterator[bytes]:
    with io.FileIO(descriptor) as file:
        yield from file


Lines = Callable[..., Line]


@pytest.fixture
def line(history: History, queue: Queue) -> Iterator[Lines]:
    lines: list[Line] = []

    def begin(work: Callable[[Job], None], **more: float) -> Line:
        lines.append(Line(history, queue(), work, **more))
        return lines[-1]

    yield begin
    for each in lines:
        each.hang_up()
        each.thread.join(10)


def steps(job: Job) -> None:
    job.control.phase("stepping")
    done = 0
    while not job.control.finish.is_set():
        done += 1
        time.sleep(0.01)
        job.control.step(done, 1000, images=5)


def test_finish_ends_in_order_and_the_rest_of_the_time_is_told(line: Lines) -> None:
    run = line(steps)
    until(lambda: run.said and run.said[-1].left is not None)
    assert run.state == "running"
    last = run.said[-1]
    assert (last.phase, last.total) == ("stepping", 1000)
    assert 1.0 < (last.left or 0) < 120.0
    assert 5 < last.images_per_s <= 500
    run.send("nonsense\n\0")
    run.send("finish")
    assert run.join() == "done"


def test_a_paused_run_waits_and_lets_another_one_work(line: Lines) -> None:
    run = line(steps)
    until(lambda: run.state == "running")
    other = line(steps)
    until(lambda: other.said and other.said[-1].phase == WAITING)
    assert other.state == "queued"
    run.send("pause")
    until(lambda: run.said[-1].phase == PAUSED)
    assert run.state == "paused"
    until(lambda: other.state == "running")
    run.send("go")
    until(lambda: run.said[-1].phase == WAITING)  # the machine is taken
    assert run.state == "paused"
    done = max(progress.done for progress in run.said)
    other.send("finish")
    assert other.join() == "done"
    until(lambda: run.state == "running" and run.said[-1].done > done)
    run.send("pause")
    until(lambda: run.state == "paused")
    run.send("finish")  # also from a pause
    assert run.join() == "done"


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize(("command", "state"), [("cancel", "cancelled"), ("", "interrupted")])
def test_cancel_and_the_end_of_the_server_stop_at_the_next_step(
    line: Lines, history: History, paused: bool, command: str, state: str
) -> None:
    run = line(steps)
    until(lambda: run.state == "running")
    if paused:
        run.send("pause")
        until(lambda: run.state == "paused")
    if command:
        run.send(command)
    else:
        run.hang_up()
    assert run.join() == state
    assert row(history, run.run_id).error == ("" if command else SERVER_ENDED)
    assert not run.left.is_set()


@pytest.mark.parametrize(("command", "state"), [("cancel", "cancelled"), ("", "queued")])
def test_what_still_waits_for_the_machine_has_not_begun(line: Lines, command: str, state: str) -> None:
    run = line(steps)
    until(lambda: run.state == "running")
    other = line(steps)
    until(lambda: other.said)
    if command:
        other.send(command)
    else:
        other.hang_up()
    assert other.join() == state


@pytest.mark.parametrize(("command", "state"), [("cancel", "cancelled"), ("", "interrupted")])
def test_work_without_an_end_is_left_in_its_middle(line: Lines, command: str, state: str) -> None:
    free = threading.Event()
    run = line(lambda _: free.wait(10), grace_s=0.1)
    until(lambda: run.state == "running")
    if command:
        run.send(command)
    else:
        run.hang_up()
    assert run.left.wait(5)
    assert run.state == state
    free.set()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ValueError("The batch is\n too large."), "The batch is too large."),
        (KeyError("x"), "KeyError: 'x'"),
        (MemoryError(), "There is not enough memory for this run"),
    ],
)
def test_a_failure_is_one_sentence(
    line: Lines, history: History, capsys: pytest.CaptureFixture[str], error: Exception, sentence: str
) -> None:
    def fail(_: Job) -> None:
        raise error

    run = line(fail)
    assert run.join() == "failed"
    assert row(history, run.run_id).error.startswith(sentence)
    assert type(error).__name__ in capsys.readouterr().err


def test_a_run_that_somebody_else_has_taken_is_left_alone(history: History, line: Lines) -> None:
    first = line(steps)
    until(lambda: first.state == "running")
    second = line(steps)
    until(lambda: second.said)
    history.claim(second.run_id)
    first.send("finish")
    assert second.join() == "running"
