from __future__ import annotations

import pytest

from pruning.runs.progress import Pace, Progress


def test_what_was_said_is_read() -> None:
    said = Progress(phase="training", done=3, total=4, left=1.5, images_per_s=99.0)
    assert Progress.read(said.model_dump_json() + "\n") == said
    assert said.fraction == 0.75
    assert Progress().fraction == 0.0


@pytest.mark.parametrize(
    "line", ["", "warning: {}", "{", '{"done": "many"}', "[1]", '{"phase": "' + "x" * 20_000 + '"}', "\0\n"]
)
def test_other_lines_say_nothing(line: str) -> None:
    assert Progress.read(line) is None


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def run(pace: Pace, clock: Clock, steps: range, seconds: float) -> None:
    for done in steps:
        clock.now += seconds
        pace.step(done)


def test_the_pace_follows_the_steps_and_leaves_pauses_out() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert pace.left(10) is None
    pace.step(0)
    run(pace, clock, range(1, 101), 0.1)
    assert pace.left(10) == pytest.approx(1.0)
    pace.skip()
    clock.now += 1000.0
    run(pace, clock, range(101, 201), 0.1)
    assert pace.left(10) == pytest.approx(1.0)
    run(pace, clock, range(201, 1201), 0.05)  # a smaller network: known after a while, without a jump
    assert pace.left(10) == pytest.approx(0.5, rel=0.15)
    assert pace.left(-1) == 0.0


def test_a_pace_of_many_short_steps_is_not_hasty() -> None:
    clock = Clock()
    pace = Pace(clock)
    run(pace, clock, range(4), 0.1)
    assert pace.left(1) is None  # less than half a second has been seen
    run(pace, clock, range(4, 8), 0.1)
    assert pace.left(1) == pytest.approx(0.1)
