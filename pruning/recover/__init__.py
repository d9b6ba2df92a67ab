"""Prune while training, and train until what was lost has come back.

settings = Recovery(recipe=recipe, pruning=Pruning(schedule="cubic", prune=4, recover=4))
recovered = recover(loaded.module, task, settings, example_inputs=loaded.example_inputs)
print(recovered.pruned.accuracy, "->", recovered.recovered.accuracy)
"""

from pruning.recover.begin import check_settings
from pruning.recover.held import Constraint
from pruning.recover.optimise import LR_SCHEDULES, LrSchedule
from pruning.recover.recalibrate import has_batch_norm, recalibrate
from pruning.recover.record import Epoch, Histogram, Phase
from pruning.recover.regularise import REGULARISERS, Regulariser
from pruning.recover.run import Recovered, recover
from pruning.recover.schedules import SCHEDULES, Schedule, preview
from pruning.recover.settings import Fit, Pruning, Recovery, Regularise, Teach

__all__ = [
    "LR_SCHEDULES",
    "REGULARISERS",
    "SCHEDULES",
    "Constraint",
    "Epoch",
    "Fit",
    "Histogram",
    "LrSchedule",
    "Phase",
    "Pruning",
    "Recovered",
    "Recovery",
    "Regularise",
    "Regulariser",
    "Schedule",
    "Teach",
    "check_settings",
    "has_batch_norm",
    "preview",
    "recalibrate",
    "recover",
]
