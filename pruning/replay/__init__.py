"""Pruned versions of one network, run from their first change on.

`Program` is a forward pass as a list of operations, recorded once, that runs from any step on with any number
of images and other tensors. `Replay` answers for one version after the other on known batches, what comes
before the change taken from memory (live editing). `Stream` answers for many versions in one pass (scans).
"""

from pruning.replay.program import Program
from pruning.replay.replay import BUDGET, Replay
from pruning.replay.steps import NotReplayable
from pruning.replay.stream import Change, Stream

__all__ = ["BUDGET", "Change", "NotReplayable", "Program", "Replay", "Stream"]
