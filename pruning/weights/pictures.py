"""Weights as pictures of a bounded size: kernels of a convolution, anything as a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

BAND = 1 << 20  # weights that are pooled at once


@dataclass(frozen=True, eq=False)
class Kernels:
    """Kernels of a convolution as pictures.

    Args:
        images: (n, height, width) float32.
        places: (n, 2) output and input channel (within its group) of each.
        total: kernels that the convolution has; more than n if there were too many to draw.
    """

    images: np.ndarray
    places: np.ndarray
    total: int


def kernels(
    weight: Tensor, outputs: Sequence[int] | None = None, limit: int = 64, cells: int | None = None
) -> Kernels:
    """The kernels of a convolution, output after output, as far as the limits allow.

    Args:
        weight: (out, in / groups, width) or (out, in / groups, height, width).
        outputs: output channels to take; all if None.
        limit: kernels at most.
        cells: weights at most, of all kernels together; at least one kernel is taken.
    Raises:
        ValueError: if the weight is not that of a 1-d or 2-d convolution.
    """
    if weight.dim() not in (3, 4):
        raise ValueError("Only 1-d and 2-d convolutions have kernels to draw; show this weight as a matrix.")
    if cells is not None:
        limit = max(1, min(limit, cells // weight[0, 0].numel()))
    total = weight.shape[0] * weight.shape[1]
    inputs = weight.shape[1]
    chosen = range(weight.shape[0]) if outputs is None else outputs
    places = [(o, i) for o in list(chosen)[: -(-limit // inputs)] for i in range(inputs)][:limit]
    index = torch.tensor(places, dtype=torch.long).reshape(-1, 2)
    images = weight.detach()[index[:, 0], index[:, 1]].float()
    images = images.unsqueeze(1) if weight.dim() == 3 else images
    return Kernels(images.cpu().numpy(), index.numpy(), total)


def matrix(weight: Tensor, limit: int = 256) -> np.ndarray:
    """A weight as a matrix (outputs, everything else), made small enough for a heat map.

    Where several weights share a cell, it shows the one with the largest magnitude, with its sign.

    Args:
        weight: any shape.
        limit: rows and columns at most.
    Returns:
        (rows, columns) float32.
    """
    rows = weight.detach() if weight.dim() > 1 else weight.detach().reshape(1, -1)
    outputs, inputs = rows.shape[0], rows[0].numel()
    cell = [-(-outputs // limit), -(-inputs // limit)]
    if cell == [1, 1]:
        return rows.float().flatten(1).cpu().numpy().copy()
    band = cell[0] * max(1, BAND // (cell[0] * inputs))  # whole cells
    return np.concatenate([_pooled(part.float().flatten(1), cell) for part in rows.split(band)])


def _pooled(part: Tensor, cell: list[int]) -> np.ndarray:
    """Of each cell the weight of the largest magnitude; ceil_mode keeps the last, smaller cells."""
    highest = F.max_pool2d(part[None], cell, ceil_mode=True)[0]
    lowest = F.max_pool2d(-part[None], cell, ceil_mode=True)[0]
    return torch.where(highest >= lowest, highest, -lowest).cpu().numpy()
