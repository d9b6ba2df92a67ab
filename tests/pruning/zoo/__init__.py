"""Tiny awkward networks for everyone's tests, each a stand-in for something real.

`ZOO` maps a name to a builder: seed -> (module in eval mode, example inputs). Weights and running statistics
are random, so that no channel is zero by accident. `random_plan` prunes any of them. `BASIC` names the few
that between them hold every basic kind of coupling; the others are in a file per family.
"""

from zoo import (
    attention,
    basic,
    convolutional,
    gates,
    generative,
    mixers,
    mobile,
    operations,
    pythonic,
    recurrent,
    tied,
    torch_attention,
    vision,
)
from zoo.basic import Baked, Scaled
from zoo.members import ZOO, FusedAttention, Head, conv, randomise
from zoo.plans import random_plan, ratio_plan

FAMILIES = {
    family.__name__.rpartition(".")[2]: [name for name in ZOO if name in vars(family)]
    for family in (
        *(basic, convolutional, gates, mobile, vision, attention, torch_attention, recurrent, mixers),
        *(generative, tied, operations, pythonic),
    )
}
BASIC = FAMILIES["basic"]

__all__ = [
    "BASIC",
    "FAMILIES",
    "ZOO",
    "Baked",
    "FusedAttention",
    "Head",
    "Scaled",
    "conv",
    "random_plan",
    "randomise",
    "ratio_plan",
]
