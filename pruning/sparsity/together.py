"""One ranking over the parts of several layers."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from pruning.masks import keep_by_rank
from pruning.sparsity.base import Parts


def kept_together(parts: Mapping[str, Parts], kept: int) -> dict[str, int]:
    """How many weights each layer keeps when the lowest parts go first, whosever they are.

    Args:
        parts: key -> its parts, all of one granularity.
        kept: weights that are to stay of all layers; of the counts that whole parts allow, the nearest is
            taken, of two the larger.
    Returns:
        key -> weights that stay, as the `mask` of its cut takes them.
    """
    scores = torch.cat([part.scores for part in parts.values()])
    each = [len(part.scores) for part in parts.values()]
    if all(part.sizes is None for part in parts.values()):
        stays = keep_by_rank(scores, kept).long()
    else:
        sizes = torch.cat([_sizes(part) for part in parts.values()])
        best = scores.sort(descending=True, stable=True).indices
        counts = torch.cat([torch.zeros(1, dtype=torch.long), sizes[best].cumsum(0)])
        number = len(counts) - 1 - int((counts - kept).abs().flip(0).argmin())
        stays = torch.zeros_like(sizes)
        stays[best[:number]] = sizes[best[:number]]
    return {key: int(some.sum()) for key, some in zip(parts, stays.split(each), strict=True)}


def _sizes(part: Parts) -> torch.Tensor:
    return torch.ones(len(part.scores), dtype=torch.long) if part.sizes is None else part.sizes
