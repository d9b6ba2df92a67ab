"""A tensor of any size, shape and float type, a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch import Tensor

PIECE = 1 << 16  # values: 256 KiB, which a processor sorts within its cache


def pieces(values: Tensor, size: int = PIECE) -> Iterator[np.ndarray]:
    """All values once, in no particular order, as flat float32 arrays of at most `size`.

    A piece may share the tensor's memory: read it, never change it. Nothing is copied but pieces that are not
    float32 or do not lie together.

    Args:
        values: any shape and float type.
        size: at least 1.
    """
    values = values.detach().cpu()
    if values.dim() > 1:  # in the order of its memory: a transposed matrix lies together, too
        values = values.permute(sorted(range(values.dim()), key=values.stride, reverse=True))
    if values.is_contiguous() or values.dim() < 2:
        for piece in values.reshape(-1).split(size) if values.numel() else ():
            yield piece.float().numpy()
        return
    rows = size // (values.numel() // values.shape[0]) if values.numel() else 0
    if rows:
        for part in values.split(rows):
            yield part.float().flatten().numpy()
    else:  # not even one row is small enough
        for row in values:
            yield from pieces(row, size)


def must_have(values: Tensor) -> None:
    """Refuse an empty tensor.

    Raises:
        ValueError: if there are no values.
    """
    if not values.numel():
        raise ValueError("There are no values to summarise.")


def span_of(values: Tensor) -> tuple[float, float]:
    """The smallest and the largest value."""
    ends = np.array([(piece.min(), piece.max()) for piece in pieces(values)])
    return float(ends[:, 0].min()), float(ends[:, 1].max())


def at_least(values: np.ndarray) -> np.ndarray:
    """The smallest float32 that is not below each float64.

    For a float32 x, `x < value` holds exactly if `x < at_least(value)` does, which is compared in float32.
    """
    with np.errstate(over="ignore"):
        rounded = np.asarray(values, np.float64).astype(np.float32)
    return np.where(rounded < values, np.nextafter(rounded, np.float32(np.inf)), rounded)
