"""Criteria: what to keep and what can go. Importing a family registers its entries."""

from pruning.criteria import data, magnitude, structure
from pruning.criteria.base import CRITERIA, Criterion
from pruning.criteria.score import across_groups, score_groups, score_weights, unscorable

__all__ = [
    "CRITERIA",
    "Criterion",
    "across_groups",
    "data",
    "magnitude",
    "score_groups",
    "score_weights",
    "structure",
    "unscorable",
]
