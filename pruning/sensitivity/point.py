"""What is known of one network of a scan."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from pruning.documents import FROZEN, Count, Finite, Share
from pruning.evaluate import wilson
from pruning.sensitivity.adaptive import Estimate, How


class Measured(BaseModel):
    """Accuracy and loss of one network.

    Args:
        accuracy: fraction of the images predicted right.
        interval: 95 % Wilson interval: where the accuracy on all images of this kind may lie, of which those
            measured are a sample.
        loss: mean cross-entropy in nats; None if it is not finite, or not all images were measured.
        invalid: images whose outputs contain NaN; each counts as wrong.
    """

    model_config = FROZEN

    accuracy: Share
    interval: tuple[Share, Share]
    loss: Finite | None
    invalid: Count = 0


class Sample(BaseModel):
    """How a point is known that was not measured on all images; see `pruning.sensitivity.adaptive`.

    Args:
        n: images measured; 0 if the accuracy is inferred from other points.
        bounds: where the accuracy on all images of the scan lies, at the confidence asked for. It says what
            measuring the other images could still change, and nothing of images outside of the scan.
        how: "partly" measured, or inferred "between" likes or "beyond" a collapse.
        settled: whether that is as precise as asked for; False while the scan is under way.
        changed: images whose answer changed, by stratum; lets a scan go on where it stopped.
        neighbours: the ratios from which it is inferred.
    """

    model_config = FROZEN

    n: Count
    bounds: tuple[Share, Share]
    how: Literal["partly", "between", "beyond"]
    settled: bool
    changed: tuple[Count, ...] = ()
    neighbours: tuple[Share, Share] | None = None


class ScanPoint(Measured):
    """What was measured with one key pruned, all others whole.

    Args:
        key: group id ("channel") or layer name (masks of weights).
        ratio: fraction asked to be removed.
        kept: units or weights that stayed.
        size: units or weights of the key.
        sample: how it is known; None if it was measured on all images of the scan.
    """

    key: str
    ratio: Share
    kept: Count
    size: Count
    sample: Sample | None = None

    @property
    def bounds(self) -> tuple[float, float]:
        """Where the accuracy on all images of the scan lies; a single value if all were measured."""
        return self.sample.bounds if self.sample else (self.accuracy, self.accuracy)

    @property
    def how(self) -> How:
        """Whether it was measured on all images, measured on some, or inferred."""
        return self.sample.how if self.sample else "measured"

    @property
    def settled(self) -> bool:
        """Whether it is as precise as asked for."""
        return self.sample is None or self.sample.settled

    @classmethod
    def estimated(
        cls,
        found: Estimate,
        *,
        key: str,
        ratio: float,
        kept: int,
        size: int,
        total: int,
        loss: float | None = None,
        invalid: int = 0,
    ) -> ScanPoint:
        """A point of an adaptive scan.

        Args:
            found: what is known of its accuracy.
            total: images of the scan.
            others: as for `ScanPoint`.
        """
        low, high = (wilson(round(bound * total), total) for bound in found.interval)
        sample = None
        if found.how != "measured":
            sample = Sample(
                n=found.n,
                bounds=found.interval,
                how=found.how,
                settled=found.settled,
                changed=found.changed,
                neighbours=found.neighbours,
            )
        return cls(
            accuracy=found.accuracy,
            interval=(low[0], high[1]),
            loss=loss,
            invalid=invalid,
            key=key,
            ratio=ratio,
            kept=kept,
            size=size,
            sample=sample,
        )
