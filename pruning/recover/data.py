"""Training images of one epoch: shuffled, changed at random, in batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pruning.recover.settings import Fit
from pruning.tasks import Split
from pruning.train.augment import augment

MOST = (256 * 2**20, 4 * 2**30)  # bytes of images that are held ready, in main memory and on a GPU
EPOCHS_APART = 100_003  # between the seeds of two runs: more than a run has epochs


def seed_of(fit: Fit, epoch: int) -> int:
    """The seed of one epoch: a run that goes on draws the numbers that it would have drawn."""
    return fit.seed * EPOCHS_APART + epoch


@dataclass(frozen=True)
class Feed:
    """Training images, ready to be handed out.

    Args:
        split: the images.
        fit: the settings.
        device: where batches are wanted.
        images: all of them as the network is given them, on that device; None if they take too much memory,
            then each batch is made of the bytes that the task holds.
        targets: (n,) classes, on that device.
    """

    split: Split
    fit: Fit
    device: torch.device
    images: Tensor | None
    targets: Tensor

    @classmethod
    def of(cls, split: Split, fit: Fit, device: torch.device) -> Feed:
        """Make all images ready if they fit."""
        images = None
        if len(split) and split.inputs(torch.arange(1)).nbytes * len(split) <= MOST[device.type == "cuda"]:
            images = torch.cat([x.to(device) for x, _ in split.batches(1024)])
        return cls(split, fit, device, images, split.targets.to(device))

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """x (b, C, H, W) and y (b,), in an order and with changes that the seed and the epoch decide."""
        generator = torch.Generator().manual_seed(seed_of(self.fit, number))
        for chosen in _parts(torch.randperm(len(self.split), generator=generator), self.fit.batch_size):
            there = chosen.to(self.device)
            if self.images is None:
                x = self.split.inputs(chosen).to(self.device)
            else:
                x = self.images.index_select(0, there)
            yield augment(x, self.fit, generator), self.targets.index_select(0, there)


def steps_in(split: Split, fit: Fit) -> int:
    """Batches of an epoch."""
    return len(_parts(torch.arange(len(split)), fit.batch_size))


def _parts(order: Tensor, size: int) -> list[Tensor]:
    """Parts of this size, the last one smaller; never a single image, which has no variance for BatchNorm."""
    parts = list(order.split(size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts
