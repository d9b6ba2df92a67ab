"""How figures and pages write numbers."""

from __future__ import annotations

SPACE = "\u00a0"  # does not break a line; between a number and its unit


def percent(share: float, digits: int = 1) -> str:
    """A share in 0..1 for reading: 99.7 %."""
    return f"{100 * share:.{digits}f}{SPACE}%"
