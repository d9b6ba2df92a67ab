"""How many entries stay when a ratio is asked to go."""

from __future__ import annotations

import math

_NEARLY = 1e-9  # 0.7 * 10 is 6.999999999999999 in floating point


def kept_count(size: int, ratio: float, multiple_of: int = 1, minimum: int = 1) -> int:
    """How many of `size` entries stay when `ratio` of them is asked to go.

    The count that goes is rounded to the nearest integer, a half in favour of keeping. What stays is then
    raised to `minimum`, and up to a multiple of `multiple_of`, but never above `size`.

    Args:
        size: entries there are, at least 0.
        ratio: fraction to remove, in [0, 1].
        multiple_of: 1 = no rounding.
        minimum: entries that always stay, where there are as many.
    Raises:
        ValueError: if an argument is out of its range.
    """
    if size < 0 or minimum < 0 or multiple_of < 1 or not 0 <= ratio <= 1:
        raise ValueError(
            f"Cannot count what stays of {size} at ratio {ratio} (multiple of {multiple_of}, at least "
            f"{minimum}): the ratio must lie in 0..1, the multiple be at least 1, the others at least 0."
        )
    return rounded_up(size - math.ceil(size * ratio - 0.5 - _NEARLY), size, multiple_of, minimum)


def rounded_up(kept: int, size: int, multiple_of: int = 1, minimum: int = 1) -> int:
    """`kept` raised to the minimum and up to a multiple, never above `size`."""
    return min(-(-max(kept, minimum) // multiple_of) * multiple_of, size)
