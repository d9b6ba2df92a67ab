"""Quantisation: weights and activations on evenly spaced values of few bits.

scheme = Uniform(symmetric=True, per_channel=True, range="mse")
quantised = quantise(loaded.module, {"fc1": 4, "fc2": 8}, scheme)
"""

from pruning.quantise.clip import Clip, ClipQ, clip_and_partition
from pruning.quantise.grid import Grid, Uniform, grid_of, quantise_weight
from pruning.quantise.network import grids, quantise
from pruning.quantise.ranges import RANGES, Range
from pruning.quantise.straight import Straight

__all__ = [
    "RANGES",
    "Clip",
    "ClipQ",
    "Grid",
    "Range",
    "Straight",
    "Uniform",
    "clip_and_partition",
    "grid_of",
    "grids",
    "quantise",
    "quantise_weight",
]
