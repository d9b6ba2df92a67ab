"""Criteria: what to keep and what can go. Importing a family registers its entries."""

from pruning.criteria import data, layer, magnitude, structure
from pruning.criteria.base import CRITERIA, Criterion
from pruning.criteria.score import across_groups, score_blocks, score_groups, score_weights, unscorable

__all__ = [
    "CRITERIA",
    "Criterion",
    "across_groups",
    "data",
    "layer",
    "magnitude",
    "score_blocks",
    "score_groups",
    "score_weights",
    "structure",
    "unscorable",
]
