"""How far a run is: what its worker says, line by line, and how long the rest will take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, ValidationError

PAUSED, WAITING = "paused", "waiting"
MOST_LINE = 10_000  # characters; longer ones are not ours
_CHUNK_S, _MEMORY_S = 0.5, 20.0


class Progress(BaseModel):
    """What a worker last said.

    Args:
        phase: what it does, in a word or a few: "loading", "training", "measuring", `PAUSED`, or `WAITING`
            for another run on this machine.
        done, total: steps; 0 of 0 while that is not known.
        left: estimated seconds until the last step; None while nothing is known.
        images_per_s: that are trained on, over the last seconds and with all that is done in between.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    phase: str = WAITING
    done: int = 0
    total: int = 0
    left: float | None = None
    images_per_s: float = 0.0

    @property
    def fraction(self) -> float:
        """Share of the steps that are done, in [0, 1]."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    @classmethod
    def read(cls, line: str) -> Progress | None:
        """What a line says; None if it says nothing of progress."""
        if len(line) > MOST_LINE or not line.startswith("{"):
            return None
        try:
            return cls.model_validate_json(line)
        except ValidationError:
            return None


class Pace:
    """Seconds a step, smoothed: recent steps count more, for a network that shrinks trains faster.

    What is between two steps counts, such as the evaluation at the end of an epoch; a pause does not.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._mark: tuple[float, int] | None = None
        self._seen = 0.0
        self.seconds: float | None = None

    def step(self, done: int) -> None:
        """So many steps are done now."""
        now = self._clock()
        if self._mark is None or done < self._mark[1]:
            self._mark = now, done
            return
        elapsed, steps = now - self._mark[0], done - self._mark[1]
        if elapsed < _CHUNK_S or steps < 1:
            return
        self._mark = now, done
        self._seen += elapsed
        weight = max(1 - math.exp(-elapsed / _MEMORY_S), elapsed / self._seen)
        known = self.seconds or 0.0
        self.seconds = known + weight * (elapsed / steps - known)

    def skip(self) -> None:
        """What has passed since the last step was no work."""
        self._mark = None

    def left(self, steps: int) -> float | None:
        """Seconds that so many steps will take; None while nothing is known."""
        return None if self.seconds is None else self.seconds * max(0, steps)
