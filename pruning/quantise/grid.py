"""One tensor on a lattice: which lattice, and the integers that stand for its values."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pruning.quantise.lattice import Lattice, check_bits
from pruning.quantise.ranges import RANGES


@dataclass(frozen=True)
class Uniform:
    """How weights are put on evenly spaced values.

    Args:
        symmetric: the same steps up and down from zero; otherwise affine: from the low end of the range to
            the high end, with zero on a step.
        per_channel: a lattice for each output channel, or one for the whole tensor.
        range: name of an entry of `RANGES`.
    Source: Krishnamoorthi 2018, arXiv:1806.08342.
    """

    symmetric: bool = True
    per_channel: bool = True
    range: str = "mse"

    def __post_init__(self) -> None:
        RANGES[self.range]  # an unknown one is refused here


@dataclass(frozen=True)
class Grid:
    """A tensor as integers.

    Args:
        integers: of the tensor's shape; int8 if symmetric, else uint8.
        scale: (channels,) or (1,), float32: the step.
        zero_point: the same shape, int32: the integer that stands for zero.
        bits: of an integer.
        axis: that the channels lie along; meaningless with one scale.
    """

    integers: Tensor
    scale: Tensor
    zero_point: Tensor
    bits: int
    axis: int = 0

    def values(self) -> Tensor:
        """(integers - zero_point) * scale in float32: exactly the quantised tensor, to the bit."""
        shape = [1] * self.integers.dim()
        if len(self.scale) > 1:
            shape[self.axis] = -1
        zero_point, scale = self.zero_point.view(shape), self.scale.view(shape)
        return (self.integers.float() - zero_point.float()) * scale


def rows_of(weight: Tensor, per_channel: bool, axis: int = 0) -> Tensor:
    """A tensor as a matrix, float32: a row for each channel, or a single one."""
    weight = weight.detach().float()
    return weight.movedim(axis, 0).flatten(1) if per_channel and weight.dim() > 1 else weight.reshape(1, -1)


def from_rows(rows: Tensor, weight: Tensor, axis: int = 0) -> Tensor:
    """What `rows_of` made, in the tensor's shape again."""
    if len(rows) == 1:
        return rows.view(weight.shape)
    return rows.view(weight.movedim(axis, 0).shape).movedim(0, axis).contiguous()


def lattice_of(rows: Tensor, bits: int, symmetric: bool, range: str) -> Lattice:
    """The lattice for each row of a matrix.

    Raises:
        ValueError: bits out of their range, an unknown range, values that are not finite.
    """
    check_bits(bits, "a weight")
    ends = RANGES[range].ends
    if not bool(rows.isfinite().all()):
        raise ValueError("Only finite numbers can be quantised; this tensor holds infinite ones or NaN.")
    if bits == 1 or not rows.numel():
        return Lattice.signs(rows)
    return Lattice.over(*ends(rows, bits, symmetric), bits, symmetric)


@torch.no_grad()
def grid_of(weight: Tensor, bits: int, scheme: Uniform | None = None, *, axis: int = 0) -> Grid:
    """A tensor as integers with a scale and a zero point.

    Args:
        weight: any shape, never changed. Exact zeros stay exact zeros.
        bits: 1..8; one bit is the sign times the mean size, whatever the scheme.
        scheme: `Uniform()` if not given.
        axis: that output channels lie along.
    Raises:
        ValueError: bits out of their range, values that are not finite.
    Source: Krishnamoorthi 2018, arXiv:1806.08342.
    """
    scheme = scheme or Uniform()
    rows = rows_of(weight, scheme.per_channel, axis)
    lattice = lattice_of(rows, bits, scheme.symmetric, scheme.range)
    kind = torch.int8 if lattice.symmetric else torch.uint8
    integers = from_rows(lattice.integers(rows), weight, axis).to(kind)
    return Grid(integers, lattice.scale[:, 0], lattice.zero_point[:, 0].int(), bits, axis)


@torch.no_grad()
def quantise_weight(weight: Tensor, bits: int, scheme: Uniform | None = None, *, axis: int = 0) -> Tensor:
    """A tensor with its values moved to the nearest ones on a lattice; arguments and errors as `grid_of`.

    Returns:
        A new tensor of the same shape and dtype, on the same device: at most 2**bits different values for
        each channel, or for the whole (for one bit, besides zeros).
    """
    return grid_of(weight, bits, scheme, axis=axis).values().to(weight.dtype)
