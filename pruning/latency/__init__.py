"""Measured time and memory: of a whole network, beside another one in turns, and of each part of it.

`pruning.latency.table` (time against channels) is not imported here: it shrinks networks, and what shrinks
them measures time.
"""

from pruning.latency.layers import LayerProfile, LayerTime, measure_layers, profile_layers
from pruning.latency.memory import Memory, peak_memory
from pruning.latency.timing import FEWEST, NOISY, Timing, median_interval
from pruning.latency.turns import measure_latency, refine_latency, to_batch
from pruning.latency.ways import WAYS, Way, prepare

__all__ = [
    "FEWEST",
    "NOISY",
    "WAYS",
    "LayerProfile",
    "LayerTime",
    "Memory",
    "Timing",
    "Way",
    "measure_latency",
    "measure_layers",
    "median_interval",
    "peak_memory",
    "prepare",
    "profile_layers",
    "refine_latency",
    "to_batch",
]
