"""What a person decides where a network can be cut in several ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Heads = Literal["whole", "inside"]
Norms = Literal["exact", "statistics"]


@dataclass(frozen=True)
class Choices:
    """The ways that `find_structure` takes where there are several.

    Args:
        heads: "whole" makes each attention head a unit; "inside" makes a unit of the same entry of every
            head: all heads stay and become narrower.
        norms: "exact" leaves whole what LayerNorm, RMSNorm, GroupNorm and other means average over, such as
            the residual stream of a transformer; "statistics" lets it be pruned: the averages are then those
            over the entries that stay, which is another function than the masked network's, and said so by
            `Group.grade`.
    """

    heads: Heads = "whole"
    norms: Norms = "exact"


DEFAULT = Choices()
