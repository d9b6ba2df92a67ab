"""Single weights: each goes by itself, wherever it is."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from pruning.counts import kept_count
from pruning.masks import keep_by_rank
from pruning.sparsity.base import Cut, Family, LayerScores, Parts, Sparsity

NAME = "weight"


def cut(view: LayerScores) -> Cut:
    """Every count is possible; among equal scores those that come first stay."""
    scores = view.scores.flatten() if view.left is None else view.scores[view.left]
    size = scores.numel()

    def mask(kept: int) -> Tensor:
        if view.left is None:
            return keep_by_rank(view.scores, kept)
        found = torch.zeros_like(view.left)
        found[view.left] = keep_by_rank(scores, kept)
        return found

    return Cut(size, partial(kept_count, size, minimum=0), mask, parts=Parts(scores))


SINGLE = Sparsity(NAME, NAME, lambda network: cut, lambda ratio: NAME)

FAMILY = Family(
    name=NAME,
    label="Single weights",
    description=(
        "Each weight goes by itself: the finest choice, and the least loss of accuracy at a given count. "
        "Zeros in place save space in a file, but no time without a sparse kernel."
    ),
    source="Han et al. 2015, arXiv:1506.02626",
    examples=(NAME,),
    form=NAME,
    read=lambda name: SINGLE if name == NAME else None,
)
