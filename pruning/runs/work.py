"""What a piece of work is, and what it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pruning.history import History, Run
from pruning.runs.control import Control


@dataclass(frozen=True)
class Job:
    """What a piece of work is given.

    Args:
        run: its row.
        settings: its decisions, JSON.
        folder: of its files; exists.
        history: where its row, epochs and figures are.
        control: what it reports to; `control.finish` is set when it is to stop and keep the best.
    """

    run: Run
    settings: str
    folder: Path
    history: History
    control: Control


Work = Callable[[Job], None]
