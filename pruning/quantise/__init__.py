"""Quantisation: weights and activations on evenly spaced values of few bits.

scheme = Uniform(symmetric=True, per_channel=True, range="mse")
quantised = quantise(loaded.module, {"fc1": 4, "fc2": 8}, scheme)
"""

from pruning.quantise.activations import InputGrid, calibrate, float_inputs, input_grids, quantise_inputs
from pruning.quantise.clip import Clip, ClipQ, clip_and_partition
from pruning.quantise.grid import Grid, Uniform, grid_of, quantise_weight
from pruning.quantise.integer import to_integer
from pruning.quantise.network import grids, quantise
from pruning.quantise.ranges import RANGES, Range
from pruning.quantise.search import Found, Tried, search
from pruning.quantise.straight import Straight

__all__ = [
    "RANGES",
    "Clip",
    "ClipQ",
    "Found",
    "Grid",
    "InputGrid",
    "Range",
    "Straight",
    "Tried",
    "Uniform",
    "calibrate",
    "clip_and_partition",
    "float_inputs",
    "grid_of",
    "grids",
    "input_grids",
    "quantise",
    "quantise_inputs",
    "quantise_weight",
    "search",
    "to_integer",
]
