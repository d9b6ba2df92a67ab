"""Scores sorted once: every threshold after that is a look-up."""

from __future__ import annotations

from typing import Literal

import numpy as np
from torch import Tensor

from pruning.weights.histogram import Histogram, count_sorted, equal_edges
from pruning.weights.pieces import at_least, must_have

LOG_TAIL = 0.01  # share of the positive scores that may lie below a logarithmic axis
LOG_DECADES = 12  # which ends at most this far below the largest score
CROWDED = 0.02  # a linear axis is useless if half of the scores lie in this first part of it


class SortedScores:
    """Scores (or magnitudes) of one layer or group, sorted once, so that any ratio's threshold is a look-up.

    It takes four bytes for each score, and while sorting no more than that.

    Args:
        scores: any shape, at least one value, finite; higher = keep.
        reuse: sort within the tensor's own memory where that is possible, which leaves it in disorder: for
            scores that nobody else needs.
    Raises:
        ValueError: if there are no values.
    """

    def __init__(self, scores: Tensor, *, reuse: bool = False) -> None:
        must_have(scores)
        flat = scores.detach().cpu().flatten().float()
        shared = flat.untyped_storage().data_ptr() == scores.untyped_storage().data_ptr()
        self.ordered: np.ndarray = (flat.clone() if shared and not reuse else flat).numpy()
        self.ordered.sort()  # many times faster than torch's sort

    def __len__(self) -> int:
        return len(self.ordered)

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""
        return self.ordered.nbytes

    def threshold(self, removed: int) -> float:
        """The score between the last that goes and the first that stays, when the lowest `removed` go.

        The smallest score if nothing goes, the largest if everything does. Takes the same time for any number
        of scores.

        Raises:
            ValueError: if more would go than there are.
        """
        if not 0 <= removed <= len(self):
            raise ValueError(f"From {len(self)} scores none, some or all can be removed, not {removed}.")
        first_kept = float(self.ordered[min(removed, len(self) - 1)])
        last_removed = float(self.ordered[max(removed - 1, 0)])
        return last_removed + (first_kept - last_removed) / 2

    def threshold_at(self, ratio: float) -> float:
        """`threshold` of a ratio in [0, 1], rounded to whole scores."""
        return self.threshold(round(ratio * len(self)))

    def share_below(self, value: float) -> float:
        """The share of scores below a value."""
        return self._below(value) / len(self)

    def share_nearer(self, distance: float) -> float:
        """The share of scores whose magnitude is below a distance from zero."""
        if not distance > 0:
            return 0.0
        return (self._below(distance) - self._below(float(np.nextafter(-distance, 0)))) / len(self)

    def quantile(self, probability: float) -> float:
        """The score that a share of the scores does not exceed, with straight lines between neighbours.

        Raises:
            ValueError: if the probability is not in [0, 1].
        """
        if not 0 <= probability <= 1:
            raise ValueError(f"A probability lies between 0 and 1; {probability} does not.")
        place = probability * (len(self) - 1)
        low = int(place)
        before, after = (float(self.ordered[min(i, len(self) - 1)]) for i in (low, low + 1))
        return before + (place - low) * (after - before)

    def histogram(self, bins: int = 80, span: tuple[float, float] | None = None) -> Histogram:
        """What `pruning.weights.histogram` gives, by looking up the edges."""
        edges = equal_edges(bins, *(span or (float(self.ordered[0]), float(self.ordered[-1]))))
        return Histogram(edges, count_sorted(self.ordered, edges))

    def compact(self, bins: int = 28, scale: Literal["auto", "linear", "log"] = "auto") -> Histogram:
        """A histogram for a small drawing; `Histogram.position(threshold)` places the moving line on it.

        Args:
            bins: at least 1.
            scale: "auto" takes "log" where a linear axis would crowd half of all scores into its first
                CROWDED part. On "log", zeros and the lowest LOG_TAIL of the scores are counted in the first
                bin.
        """
        if scale == "linear" or (scale == "auto" and not self._crowded()):
            return self.histogram(bins)
        largest = float(self.ordered[-1])
        zeros = min(int(np.searchsorted(self.ordered, np.float32(0), "right")), len(self) - 1)
        low = float(self.ordered[zeros + int(LOG_TAIL * (len(self) - 1 - zeros))])
        low = max(low, largest * 10.0**-LOG_DECADES)
        if not 0 < low < largest:  # fewer than two different positive scores
            return self.histogram(bins)
        edges = np.geomspace(low, largest, bins + 1)
        return Histogram(edges, count_sorted(self.ordered, edges), log=True)

    def _below(self, value: float) -> int:
        """How many scores lie below a value."""
        return int(np.searchsorted(self.ordered, at_least(np.asarray(value))))

    def _crowded(self) -> bool:
        """Whether a linear axis would show half of the scores as one bar at its left end."""
        smallest, largest = float(self.ordered[0]), float(self.ordered[-1])
        return smallest >= 0 and self.quantile(0.5) - smallest < CROWDED * (largest - smallest)
