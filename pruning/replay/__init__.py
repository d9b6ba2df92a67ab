"""Measure pruned versions of a network from the first operation that changes, not from the start.

The recorded operations of one forward pass are run again with other tensors; what comes before the change is
taken from memory. The answers are those of the really smaller network.
"""

from pruning.replay.program import NotReplayable, Program
from pruning.replay.replay import BUDGET, Replay

__all__ = ["BUDGET", "NotReplayable", "Program", "Replay"]
