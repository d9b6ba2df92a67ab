"""Arguments that grow with the batch, told from two recordings of one network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Grows:
    """An integer of a recorded call that grows with the number of images: slope * images + rest."""

    slope: int
    rest: int

    def at(self, images: int) -> int:
        """Its value for a number of images."""
        return self.slope * images + self.rest


def for_any_batch(value: Any, other: Any, images: int) -> Any:
    """An argument of a call as it is for any number of images.

    Args:
        value: as it was recorded with `images` images; lists, Refs and what operations take besides.
        other: the same argument as it was recorded with one image more.
        images: at least 1.
    Returns:
        The value with `Grows` in place of the integers that differ, and lists in place of tuples.
    Raises:
        ValueError: if anything else differs; in words, as the end of "because ...".
    """
    if isinstance(value, (list, tuple)):
        if not isinstance(other, (list, tuple)) or len(value) != len(other):
            raise ValueError("a list in it depends on the number of images")
        return [for_any_batch(a, b, images) for a, b in zip(value, other, strict=True)]
    if type(value) is int and type(other) is int and value != other:
        return Grows(other - value, value - images * (other - value))
    if value != other:
        raise ValueError("a value in it depends on the number of images")
    return value
