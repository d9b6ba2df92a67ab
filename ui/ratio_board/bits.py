"""Bits as places on the board's track: 32 (left as it is) at 0, then 8 down to 1 bit at 1. Pure."""

from __future__ import annotations

MOST = 8
WHOLE = 32


def ratio_of(bits: int) -> float:
    """Where on the track, in [0, 1], so many bits stand: 1..8, or 32."""
    return 0.0 if bits == WHOLE else (MOST + 1 - bits) / MOST


def bits_of(ratio: float) -> int:
    """The bits nearest to a place on the track."""
    step = round(ratio * MOST)
    return MOST + 1 - step if step else WHOLE


def stops(size: int) -> tuple[tuple[float, int, str], ...]:
    """What `Row.stops` takes for a layer of so many weights: place, number of values, no text."""
    steps = ((ratio_of(bits), min(size - 1, 2**bits), "") for bits in range(MOST, 0, -1))
    return ((0.0, size, ""), *steps)
