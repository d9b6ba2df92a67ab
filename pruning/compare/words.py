"""How reports and pages write the figures of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pruning.compare.difference import criterion_label

if TYPE_CHECKING:
    from pruning.compare.seeds import Spread
    from pruning.history import Measured, Run, Speed

SPACE = "\u00a0"  # does not break a line; between a number and its unit
NOTHING = "–"


def percent(share: float | None, digits: int = 2) -> str:
    """A share in [0, 1]: 97.22 %."""
    return NOTHING if share is None else f"{100 * share:.{digits}f}{SPACE}%"


def with_interval(measured: Measured | None) -> str:
    """An accuracy with its 95 % Wilson interval and its images."""
    if measured is None:
        return NOTHING
    low, high = 100 * measured.low, 100 * measured.high
    return f"{percent(measured.accuracy)} ({low:.2f} to {high:.2f}, n{SPACE}={SPACE}{measured.n:,})"


def with_sd(spread: Spread | None, scale: float = 1.0, digits: int = 2, unit: str = "") -> str:
    """Mean and standard deviation over seeds; a single value stands alone."""
    if spread is None:
        return NOTHING
    end = f"{SPACE}{unit}" if unit else ""
    if spread.sd is None:
        return f"{scale * spread.mean:,.{digits}f}{end}"
    return f"{scale * spread.mean:,.{digits}f} ± {scale * spread.sd:,.{digits}f}{end}"


def count(number: float | None) -> str:
    """A whole number with separators."""
    return NOTHING if number is None else f"{number:,.0f}"


def milliseconds(speed: Speed | None) -> str:
    """Median time with its quartiles."""
    if speed is None:
        return NOTHING
    median, low, high = (1e3 * value for value in (speed.median, speed.q1, speed.q3))
    return f"{median:.3f}{SPACE}ms ({low:.3f} to {high:.3f})"


def method(run: Run) -> str:
    """What a run does, in a few words: "L1 norm, channel, 50 %, cubic"."""
    parts = [criterion_label(run.criterion), run.granularity]
    if run.ratio is not None:
        parts.append(f"{100 * run.ratio:.4g}{SPACE}%")
    return ", ".join(part for part in [*parts, run.schedule] if part)
