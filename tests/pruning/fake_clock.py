"""Time that passes only where a test lets it pass."""

import pytest
import torch
from torch import Tensor, nn

from pruning.latency import clock as clocks

X = (torch.zeros(1, 3),)


class Clock:
    """Stands still, but for a nanosecond per look at it."""

    now = 0.0

    @classmethod
    def read(cls) -> float:
        cls.now += 1e-9
        return cls.now


def stop_time(monkeypatch: pytest.MonkeyPatch) -> type[Clock]:
    """Let measurements read the fake clock, on a machine where nothing else runs."""
    monkeypatch.setattr(Clock, "now", 0.0)
    monkeypatch.setattr(clocks, "perf_counter", Clock.read)
    monkeypatch.setattr(clocks, "interruptions", lambda threads: 0)
    return Clock


class Sleep(nn.Module):
    """Takes a given time; notes when it was called."""

    def __init__(self, seconds: float, calls: list[str] | None = None, name: str = "") -> None:
        super().__init__()
        self.seconds, self.calls, self.name = seconds, calls, name

    def forward(self, x: Tensor) -> Tensor:
        if self.calls is not None:
            self.calls.append(self.name)
        Clock.now += self.seconds
        return x
