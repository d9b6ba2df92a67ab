"""Where to keep the activations of the whole network, so that the most time is saved for the memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def choose_cuts(
    starts: Sequence[int], seconds: Sequence[float], sizes: Mapping[int, int], budget: int
) -> tuple[int, ...]:
    """The steps at which to keep what is live.

    A version that changes at step k starts at the last kept step at or before k. Steps are taken one by one,
    each time the one that saves the most seconds for each byte, while they fit.

    Args:
        starts: for each version that will be measured the first step that it changes.
        seconds: for each step the time of the whole network up to it.
        sizes: step -> bytes of what is live there, for all batches.
        budget: bytes in all.
    Returns:
        In ascending order; never step 0, which needs nothing but the input.
    """
    chosen: list[int] = []
    left = budget
    while True:
        fitting = [step for step in sizes if step > 0 and step not in chosen and sizes[step] <= left]
        gains = {step: _saved([*chosen, step], starts, seconds) for step in fitting}
        now = _saved(chosen, starts, seconds)
        best = max(fitting, key=lambda step: (gains[step] - now) / max(sizes[step], 1), default=None)
        if best is None or gains[best] <= now:
            return tuple(sorted(chosen))
        chosen.append(best)
        left -= sizes[best]


def _saved(cuts: Sequence[int], starts: Sequence[int], seconds: Sequence[float]) -> float:
    return sum(seconds[max((cut for cut in cuts if cut <= start), default=0)] for start in starts)
