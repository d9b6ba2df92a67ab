"""Random changes to whole batches of images; all randomness comes from one generator."""

from __future__ import annotations

import math
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class Changes(Protocol):
    """How far images are changed; the settings of a training have these."""

    @property
    def shift(self) -> float:
        """Pixels each way."""

    @property
    def rotate(self) -> float:
        """Degrees each way."""

    @property
    def zoom(self) -> float:
        """Share, up or down."""

    @property
    def flip(self) -> bool:
        """Whether half of them are mirrored left to right."""


def augment(images: Tensor, changes: Changes, generator: torch.Generator) -> Tensor:
    """Each image moved, turned, scaled and mirrored at random, as far as the settings say.

    Args:
        images: (b, C, H, W), float; black must be the value of the background that is moved in.
        changes: how far.
        generator: on the CPU: the same numbers wherever the images are.
    Returns:
        (b, C, H, W); the input is left as it was.
    """
    if changes.flip:
        mirrored = torch.rand(len(images), 1, 1, 1, generator=generator).to(images.device) < 0.5
        images = torch.where(mirrored, images.flip(3), images)
    if changes.rotate or changes.zoom:
        return warp(images, changes.shift, changes.rotate, changes.zoom, generator)
    return crop(images, int(changes.shift), generator) if changes.shift else images


def crop(images: Tensor, margin: int, generator: torch.Generator) -> Tensor:
    """Pad by reflection and cut the old size out at a random place: (b, C, H, W) -> same.

    Source: He et al. 2015, arXiv:1512.03385, section 4.2.
    """
    count, _, height, width = images.shape
    padded = F.pad(images, (margin,) * 4, mode="reflect")
    top, left = torch.randint(2 * margin + 1, (2, count, 1), generator=generator).to(images.device)
    rows = top + torch.arange(height, device=images.device)
    columns = left + torch.arange(width, device=images.device)
    which = torch.arange(count, device=images.device)[:, None, None]
    # Indexing around the channel dimension puts it last, so that the result is (b, H, W, C).
    return padded[which, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def warp(images: Tensor, shift: float, rotate: float, zoom: float, generator: torch.Generator) -> Tensor:
    """Move by up to `shift` pixels, turn by up to `rotate` degrees, scale by up to `zoom`, interpolating.

    Args:
        images: (b, C, H, W), float; what comes in from outside has the value of each image's minimum.
    Returns:
        (b, C, H, W).
    """
    count, _, height, width = images.shape
    angle, scale, right, down = torch.empty(4, count).uniform_(-1, 1, generator=generator).to(images.device)
    angle = angle * math.radians(rotate)
    scale = 1 + scale * zoom
    cos, sin = angle.cos() * scale, angle.sin() * scale
    # affine_grid counts in half image widths, so a pixel is 2 / width.
    top_row = torch.stack([cos, -sin, right * shift * 2 / width], dim=1)
    bottom_row = torch.stack([sin, cos, down * shift * 2 / height], dim=1)
    grid = F.affine_grid(torch.stack([top_row, bottom_row], dim=1), list(images.shape), align_corners=False)
    background = images.amin(dim=(1, 2, 3), keepdim=True)
    return F.grid_sample(images - background, grid, align_corners=False) + background
