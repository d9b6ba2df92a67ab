"""The plain way of the peers, beside which benchmarks hold ours: a whole evaluation of a whole network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from pruning.evaluate import Batch


@torch.no_grad()
def accuracy(module: nn.Module, batches: Sequence[Batch]) -> float:
    """Share of the images that are predicted right, in 0..1."""
    right = sum(int((module(x).argmax(1) == y).sum()) for x, y in batches)
    return right / sum(len(y) for _, y in batches)
