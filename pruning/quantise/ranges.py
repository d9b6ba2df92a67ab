"""RANGES: which values a lattice spans; what lies outside is clipped to its ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pruning.quantise.lattice import Lattice
from pruning.registry import Registry

PERCENTILE = 99.9
COARSE, FINE = 40, 12  # shares of the widest range that are tried, and those around the best

Ends = tuple[Tensor, Tensor]  # (rows, 1) each


@dataclass(frozen=True)
class Range:
    """A way to choose a range.

    Args:
        name: the key in `RANGES`.
        label: its name on a screen.
        description: for the screen.
        source: paper and arXiv number.
        ends: of (rows, n) values, bits >= 2 and symmetry: the low and the high end of each row. Rows have at
            least one entry.
    """

    name: str
    label: str
    description: str
    source: str
    ends: Callable[[Tensor, int, bool], Ends]


RANGES: Registry[Range] = Registry("range")


def _extremes(rows: Tensor, bits: int, symmetric: bool) -> Ends:
    low, high = rows.amin(1, keepdim=True).clamp_max(0), rows.amax(1, keepdim=True).clamp_min(0)
    if symmetric:
        high = torch.maximum(-low, high)
        low = -high
    return low, high


RANGES.add(
    "min-max",
    Range(
        "min-max",
        "Minimum and maximum",
        "From the smallest to the largest value: nothing is clipped, but one outlier widens every step.",
        "Krishnamoorthi 2018, arXiv:1806.08342, section 3.1",
        _extremes,
    ),
)


def _percentiles(rows: Tensor, bits: int, symmetric: bool) -> Ends:
    """Zeros are left out: they lie on every lattice, and after pruning there is little else."""
    share = PERCENTILE / 100
    if symmetric:
        high = _ranked(rows.abs(), rows != 0, share)
        return -high, high
    high = _ranked(rows, rows != 0, (1 + share) / 2).clamp_min(0)
    return -_ranked(-rows, rows != 0, (1 + share) / 2).clamp_min(0), high


def _ranked(rows: Tensor, counted: Tensor, share: float) -> Tensor:
    """The value below which this share of the counted entries lies, the next higher one; 0 if none counts."""
    ordered = rows.masked_fill(~counted, torch.inf).sort(1).values
    count = counted.sum(1, keepdim=True)
    rank = ((count - 1) * share).ceil().long().clamp_min(0)
    return torch.where(count > 0, ordered.gather(1, rank), torch.zeros_like(ordered[:, :1]))


RANGES.add(
    "percentile",
    Range(
        "percentile",
        "Percentile",
        f"The middle {PERCENTILE:g} % of the values that are not zero; the outermost are clipped.",
        "Wu et al. 2020, arXiv:2004.09602, section 3.1",
        _percentiles,
    ),
)


def _least_squares(rows: Tensor, bits: int, symmetric: bool) -> Ends:
    """Shares of the widest range, both ends together; then, without symmetry, each end by itself."""
    low, high = _extremes(rows, bits, symmetric)
    best = low, high, _error(rows, low, high, bits, symmetric)
    for down, up in ((1, 1),) if symmetric else ((1, 1), (1, 0), (0, 1)):
        best = _shrunk(rows, best, (down, up), bits, symmetric)
    return best[0], best[1]


def _shrunk(
    rows: Tensor, best: tuple[Tensor, Tensor, Tensor], which: tuple[int, int], bits: int, symmetric: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Try shares of a range in each row at once and keep what has less error.

    Args:
        best: ends and error so far.
        which: whether the low and the high end are moved.
    """
    low, high, error = best
    at = torch.ones_like(low)  # the share that was best
    coarse = torch.arange(1, COARSE) / COARSE
    fine = torch.cat([torch.arange(-FINE, 0), torch.arange(1, FINE + 1)]) / ((FINE + 1) * COARSE)
    for shares, around in ((coarse, False), (fine, True)):
        centre = at.clone() if around else torch.zeros_like(at)
        for share in shares.tolist():
            factor = (centre + share).clamp(0, 1)
            new_low = low * factor if which[0] else low
            new_high = high * factor if which[1] else high
            found = _error(rows, new_low, new_high, bits, symmetric)
            better = found < error
            at, error = torch.where(better, factor, at), torch.where(better, found, error)
    return low * at if which[0] else low, high * at if which[1] else high, error


def _error(rows: Tensor, low: Tensor, high: Tensor, bits: int, symmetric: bool) -> Tensor:
    """Sum of squares of what rounding changes, (rows, 1), float64."""
    rounded = Lattice.over(low, high, bits, symmetric).round(rows)
    return rounded.sub_(rows).square_().sum(1, keepdim=True, dtype=torch.float64)


RANGES.add(
    "mse",
    Range(
        "mse",
        "Least squared error",
        "The range, of many tried, whose rounding and clipping together change the values least.",
        "Nagel et al. 2021, arXiv:2106.08295, section 3.1",
        _least_squares,
    ),
)
