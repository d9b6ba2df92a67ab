"""Low rank: a layer becomes two or three smaller ones, which can be pruned, trained and exported like any.

settings = LowRank(method="tucker-2", energy=0.9)
small = low_rank(loaded.module, settings, example_inputs=loaded.example_inputs)
"""

from pruning.lowrank.apply import LowRankPlan, low_rank, plan_low_rank
from pruning.lowrank.candidates import Candidate, Prediction, find_factorable, predict
from pruning.lowrank.carry import carried
from pruning.lowrank.factorise import factorise
from pruning.lowrank.methods import METHODS, Method
from pruning.lowrank.moments import input_roots
from pruning.lowrank.ranks import rank_for_energy, ranks_by_energy, ranks_by_share, ranks_by_total
from pruning.lowrank.record import Record, record_of
from pruning.lowrank.scan import RankPoint, scan
from pruning.lowrank.settings import LowRank

__all__ = [
    "METHODS",
    "Candidate",
    "LowRank",
    "LowRankPlan",
    "Method",
    "Prediction",
    "RankPoint",
    "Record",
    "carried",
    "factorise",
    "find_factorable",
    "input_roots",
    "low_rank",
    "plan_low_rank",
    "predict",
    "rank_for_energy",
    "ranks_by_energy",
    "ranks_by_share",
    "ranks_by_total",
    "record_of",
    "scan",
]
