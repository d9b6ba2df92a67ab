"""Which blocks to drop when only their number is given."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pruning.masks import keep_by_rank


def lowest(scores: Mapping[str, Tensor], count: int) -> tuple[str, ...]:
    """The blocks with the lowest scores; among equal ones those that come later.

    Args:
        scores: block id -> (1,), as `score_blocks` gives them; higher = keep.
        count: how many, in 0..number of blocks.
    Returns:
        Their ids, in the order of `scores`.
    Raises:
        ValueError: if there are fewer blocks than are to be dropped, or a score is NaN.
    """
    if not 0 <= count <= len(scores):
        raise ValueError(f"Cannot drop {count} of {len(scores)} blocks; choose a number up to {len(scores)}.")
    if not scores:
        return ()
    keep = keep_by_rank(torch.cat([score.flatten() for score in scores.values()]), len(scores) - count)
    return tuple(name for name, stays in zip(scores, keep.tolist(), strict=True) if not stays)
