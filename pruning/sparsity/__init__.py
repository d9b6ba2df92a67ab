"""Granularities of masks over the weights of a layer, in one registry.

`parse("n:4")` gives the granularity of a name; `prepare(network)` what cuts that network's layers; and a cut
says how many weights stay at a ratio, and which.
"""

from pruning.sparsity import block, n_of_m, pattern, single
from pruning.sparsity.base import (
    FAMILIES,
    Cut,
    Family,
    LayerScores,
    Parts,
    Sparsity,
    Stops,
    family_of,
    masks_weights,
    parse,
    scored_as,
)
from pruning.sparsity.together import kept_together

__all__ = [
    "FAMILIES",
    "Cut",
    "Family",
    "LayerScores",
    "Parts",
    "Sparsity",
    "Stops",
    "block",
    "family_of",
    "kept_together",
    "masks_weights",
    "n_of_m",
    "parse",
    "pattern",
    "scored_as",
    "single",
]

for _family in (single.FAMILY, n_of_m.FAMILY, block.FAMILY, pattern.FAMILY):  # as a screen offers them
    FAMILIES.add(_family.name, _family)
