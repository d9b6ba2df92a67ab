"""Evenly spaced numbers: integers, a step between them, and an integer that stands for zero."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SMALLEST = torch.finfo(torch.float32).tiny  # a smaller step would lose digits
MOST_BITS = 8


@dataclass(frozen=True)
class Lattice:
    """Numbers scale * (integer - zero_point), with integers of so many bits, for each row of a matrix.

    Zero is always one of them. By symmetry the integers are -(2**(bits - 1) - 1) .. 2**(bits - 1) - 1, and
    zero stands for itself; otherwise they are 0 .. 2**bits - 1. One bit is the sign: -1 and 1, and 0 for what
    is exactly zero.

    Args:
        scale: (rows, 1), float32, > 0: the step.
        zero_point: (rows, 1), float32, whole numbers.
        bits: 1..8.
        symmetric: which integers; always true for one bit.
    Source: Krishnamoorthi 2018, arXiv:1806.08342, section 2; one bit: Rastegari et al. 2016,
        arXiv:1603.05279.
    """

    scale: Tensor
    zero_point: Tensor
    bits: int
    symmetric: bool

    @classmethod
    def over(cls, low: Tensor, high: Tensor, bits: int, symmetric: bool) -> Lattice:
        """The lattice of at least two bits that spans a range; the range is widened to contain zero.

        Args:
            low, high: (rows, 1), the ends of each row's range.
        """
        first, last = limits(bits, symmetric)
        low, high = low.float().clamp_max(0), high.float().clamp_min(0)
        if symmetric:
            scale = torch.maximum(-low, high) / last
            scale = torch.where(scale > 0, scale, torch.ones_like(scale)).clamp_min(SMALLEST)
            return cls(scale, torch.zeros_like(scale), bits, True)
        scale = high / last - low / last  # their difference could overflow
        scale = torch.where(scale > 0, scale, torch.ones_like(scale)).clamp_min(SMALLEST)
        return cls(scale, (-low / scale).round().clamp(first, last), bits, False)

    @classmethod
    def signs(cls, rows: Tensor) -> Lattice:
        """The lattice of one bit: its step, the mean size of what is not zero, has the least error."""
        count = (rows != 0).sum(1, keepdim=True)
        mean = rows.double().abs().sum(1, keepdim=True) / count.clamp_min(1)
        scale = torch.where(count > 0, mean, torch.ones_like(mean)).float().clamp_min(SMALLEST)
        return cls(scale, torch.zeros_like(scale), 1, True)

    def integers(self, rows: Tensor) -> Tensor:
        """The nearest integer of each entry, (rows, n), whole numbers in float32."""
        if self.bits == 1:
            return rows.float().sign()
        first, last = limits(self.bits, self.symmetric)
        return (rows.float() / self.scale).round_().add_(self.zero_point).clamp_(first, last)

    def values(self, integers: Tensor) -> Tensor:
        """What integers stand for, float32: one difference, which is exact, and one product."""
        return (integers - self.zero_point) * self.scale

    def round(self, rows: Tensor) -> Tensor:
        """The nearest number of the lattice to each entry, (rows, n), float32."""
        return self.values(self.integers(rows))


def limits(bits: int, symmetric: bool) -> tuple[int, int]:
    """The first and last integer of so many bits, both included."""
    if bits == 1:
        return -1, 1
    return (1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1) if symmetric else (0, 2**bits - 1)


def check_bits(bits: int, where: str) -> None:
    """Refuse bits that are not a whole number from 1 to 8.

    Args:
        where: what they are of, for the message.
    Raises:
        ValueError: see above.
    """
    if type(bits) is not int or not 1 <= bits <= MOST_BITS:
        raise ValueError(f"The bits of {where} must be a whole number from 1 to {MOST_BITS}, not {bits!r}.")
