"""What was done and what came of it: a row for every evaluation, scan, fine-tuning, export and study.

Not imported by `pruning` itself, which stays light: `from pruning.history import History`.
"""

from pruning.history.figures import Figures, Measured, Size, Speed
from pruning.history.history import History
from pruning.history.problem import HistoryError
from pruning.history.run import BUSY, ENDED, KINDS, STATES, About, Kind, Run, RunState

__all__ = [
    "BUSY",
    "ENDED",
    "KINDS",
    "STATES",
    "About",
    "Figures",
    "History",
    "HistoryError",
    "Kind",
    "Measured",
    "Run",
    "RunState",
    "Size",
    "Speed",
]
