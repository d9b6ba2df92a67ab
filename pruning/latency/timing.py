"""The figures of a measurement: median, quartiles, the ratio's interval, and what speaks against them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median, quantiles
from typing import Literal

from pruning.evaluate import Interval

Way = Literal["eager", "frozen", "compiled"]
NOISY = 0.2  # a spread (q3 - q1) / median above this is called noisy
FEWEST = 6  # with fewer turns no pair of ranks encloses a median with 95 %


@dataclass(frozen=True)
class Timing:
    """How long one forward takes, in seconds.

    Args:
        median, q1, q3: of the n measured forwards.
        n: forwards (turns, when there is a baseline) that count.
        batch_size: images per forward.
        threads: threads that torch used.
        baseline: the same figures of the network measured in turns with this one.
        ratio: median over the turns of baseline's time / this one's time; above 1 = faster.
        ratio_interval: 95 % interval of that median.
        warning: in words, why the figures should not be trusted; empty if nothing speaks against them.
        way: how it ran, see `pruning.latency.WAYS`.
        left_out: turns that do not count, because the system took the processor away in the middle of them.
        preparation: seconds that folding or compiling this one (and the baseline) took, part of no forward.
        device: that it ran on: "CPU", or the GPU's name.
    """

    median: float
    q1: float
    q3: float
    n: int
    batch_size: int
    threads: int
    baseline: Timing | None = None
    ratio: float | None = None
    ratio_interval: Interval | None = None
    warning: str = ""
    way: Way = "eager"
    left_out: int = 0
    preparation: float = 0.0
    device: str = "CPU"

    @property
    def spread(self) -> float:
        """Width of the middle half of the times, as a fraction of the median."""
        return (self.q3 - self.q1) / self.median


def median_interval(values: Sequence[float]) -> Interval:
    """95 % interval of a median by ranks; the whole range if there are fewer than six values.

    Args:
        values: any order, at least one.
    Returns:
        (low, high), two of the values: the innermost pair of mirrored ranks with at least 95 % coverage.
    Source: see `measure_latency`.
    """
    ordered, n = sorted(values), len(values)
    outside, rank = 0.0, 0  # the median lies below the rank-th value with a risk of `outside`
    while True:
        risk = math.exp(
            math.lgamma(n + 1) - math.lgamma(rank + 1) - math.lgamma(n - rank + 1) - n * math.log(2)
        )
        if outside + risk > 0.025:
            break
        outside, rank = outside + risk, rank + 1
    rank = max(rank, 1)
    return ordered[rank - 1], ordered[n - rank]


@dataclass(frozen=True)
class Turns:
    """What was measured.

    Args:
        times: of each network, seconds, one per turn.
        calm: of each network, per turn, whether the processor stayed with it from beginning to end.
    """

    times: tuple[list[float], ...]
    calm: tuple[list[bool], ...]

    @classmethod
    def none(cls, networks: int) -> Turns:
        """No turn yet."""
        return cls(tuple([] for _ in range(networks)), tuple([] for _ in range(networks)))

    def __len__(self) -> int:
        return len(self.times[0])

    def extend(self, more: Turns) -> None:
        """Add later turns of the same networks."""
        for times, new in zip(self.times, more.times, strict=True):
            times += new
        for calm, flags in zip(self.calm, more.calm, strict=True):
            calm += flags

    def counted(self, *networks: int) -> list[int]:
        """The turns that count: those calm for these networks (or all); every turn if these are too few."""
        chosen = [self.calm[network] for network in networks] if networks else self.calm
        calm = [turn for turn in range(len(self)) if all(each[turn] for each in chosen)]
        return calm if len(calm) >= FEWEST else list(range(len(self)))

    def ratios(self, slow: int, fast: int) -> list[float]:
        """One network's time over another's, in each turn that counts for both."""
        return [self.times[slow][turn] / self.times[fast][turn] for turn in self.counted(slow, fast)]


def summarise(turns: Turns, batch_size: int, threads: int) -> Timing:
    """The figures of one network, or of two that took turns, the baseline second."""
    chosen = turns.counted()
    times = [[known[turn] for turn in chosen] for known in turns.times]
    own = replace(quartiles(times[0], batch_size, threads), left_out=len(turns) - len(chosen))
    if len(times) == 1:
        return replace(own, warning=warning_of(own))
    dense = quartiles(times[1], batch_size, threads)
    ratios = [slow / fast for fast, slow in zip(*times, strict=True)]
    ratio, interval = median(ratios), median_interval(ratios)
    return replace(
        own,
        baseline=dense,
        ratio=ratio,
        ratio_interval=interval,
        warning=warning_of(own, dense, interval),
    )


def quartiles(times: Sequence[float], batch_size: int, threads: int) -> Timing:
    q1, middle, q3 = quantiles(times, n=4, method="inclusive") if len(times) > 1 else [times[0]] * 3
    return Timing(middle, q1, q3, len(times), batch_size, threads)


def warning_of(own: Timing, dense: Timing | None = None, interval: Interval | None = None) -> str:
    """Why these figures should not be trusted, in words; empty if nothing speaks against them."""
    words = []
    if own.n < FEWEST:
        words.append(f"Only {own.n} turn{'s' * (own.n > 1)} fitted into the time; allow more.")
    spread = max(own.spread, dense.spread if dense else 0.0)
    if spread > NOISY:
        words.append(
            f"The machine is noisy: the middle half of the times spreads over {spread:.0%} of the median."
        )
    if interval and interval[0] <= 1 <= interval[1]:
        words.append(
            f"No difference can be told: the 95 % interval of the ratio, "
            f"{interval[0]:.2f} to {interval[1]:.2f}, contains 1."
        )
    return " ".join(words)
