"""Summaries of weights and scores that are small enough to draw: histograms, quantiles, norms, pictures.

All of them work in pieces: a layer of a hundred million weights needs a few megabytes more than it takes
itself, but for `SortedScores` and `summarise`, which sort a copy of one layer.
"""

from pruning.weights.histogram import Histogram, histogram, ridgeline
from pruning.weights.ordered import SortedScores
from pruning.weights.pictures import Kernels, kernels, matrix
from pruning.weights.slices import ChannelNorms, batch_norm_scales, channel_norms
from pruning.weights.summary import NEAR_ZERO, PROBABILITIES, Summary, summarise

__all__ = [
    "NEAR_ZERO",
    "PROBABILITIES",
    "ChannelNorms",
    "Histogram",
    "Kernels",
    "SortedScores",
    "Summary",
    "batch_norm_scales",
    "channel_norms",
    "histogram",
    "kernels",
    "matrix",
    "ridgeline",
    "summarise",
]
