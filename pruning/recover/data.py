"""Training images of one epoch: shuffled, changed at random, in batches."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from pruning.recover.settings import Fit
from pruning.tasks import Split
from pruning.train.augment import augment

EPOCHS_APART = 100_003  # between the seeds of two runs: more than a run has epochs


def seed_of(fit: Fit, epoch: int) -> int:
    """The seed of one epoch: a run that goes on draws the numbers that it would have drawn."""
    return fit.seed * EPOCHS_APART + epoch


def batches(split: Split, fit: Fit, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of x (b, C, H, W) and y (b,), in an order and with changes that (seed, epoch) decide."""
    generator = torch.Generator().manual_seed(seed_of(fit, epoch))
    for chosen in _parts(torch.randperm(len(split), generator=generator), fit.batch_size):
        yield augment(split.inputs(chosen), fit, generator), split.targets[chosen]


def steps_in(split: Split, fit: Fit) -> int:
    """Batches of an epoch."""
    return len(_parts(torch.arange(len(split)), fit.batch_size))


def _parts(order: Tensor, size: int) -> list[Tensor]:
    """Parts of this size, the last one smaller; never a single image, which has no variance for BatchNorm."""
    parts = list(order.split(size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts
