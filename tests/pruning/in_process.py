"""Work on a run in this process, as its worker would."""

from __future__ import annotations

import os

import torch
from queued_runs import row

from pruning.history import History, Run
from pruning.runs.control import Control
from pruning.runs.worker import threads, work_on


def here(history: History, run_id: str) -> Run:
    """The row of a queued run once its work has ended."""
    commands, end = os.pipe()
    with os.fdopen(commands, "rb") as lines, open(os.devnull, "w") as output:
        before = torch.get_num_threads()
        torch.set_num_threads(threads())
        try:
            work_on(row(history, run_id), history, Control(history, run_id, lines, output, lambda: None))
        finally:
            torch.set_num_threads(before)
            os.close(end)
    return row(history, run_id)
