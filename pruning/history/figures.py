"""What was measured of a run: the figures that tables and charts compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from pruning.cost import Cost
    from pruning.evaluate import Report
    from pruning.latency import Timing

MOST_KEYS = 4096  # groups and layers whose shares are kept
MOST_CLASSES = 100  # of a confusion matrix that is kept


class _Frozen(BaseModel):
    # What a later version adds is left out by an earlier one, not refused.
    model_config = ConfigDict(frozen=True, extra="ignore")


class Measured(_Frozen):
    """An accuracy and how sure it is.

    Args:
        accuracy: share of the images predicted right, in [0, 1].
        low, high: its 95 % Wilson interval.
        n: images.
        loss: mean cross-entropy in nats; None if it is not finite.
    """

    accuracy: float
    low: float
    high: float
    n: int
    loss: float | None = None

    @classmethod
    def of(cls, report: Report) -> Measured:
        """The figures of a report."""
        low, high = report.interval
        finite = abs(report.loss) < float("inf")  # NaN is not
        loss = report.loss if finite else None
        return cls(accuracy=report.accuracy, low=low, high=high, n=report.n, loss=loss)


class Size(_Frozen):
    """What a network costs; see `pruning.cost.Cost`.

    Args:
        parameters, nonzero, macs: counted exactly.
        file_bytes: of its .safetensors file; None if none was written.
    """

    parameters: int
    nonzero: int
    macs: int
    file_bytes: int | None = None

    @classmethod
    def of(cls, cost: Cost, file_bytes: int | None = None) -> Size:
        """The figures of a cost."""
        return cls(parameters=cost.parameters, nonzero=cost.nonzero, macs=cost.macs, file_bytes=file_bytes)


class Speed(_Frozen):
    """Measured time of one forward.

    Args:
        median, q1, q3: seconds.
        n: forwards that count.
        batch_size, threads, device: how it was measured.
        dense: median seconds of the dense network, measured in turns; None if there was none.
        ratio: dense / this, above 1 = faster.
        low, high: 95 % interval of the ratio.
        warning: why the figures should not be trusted; "" if nothing speaks against them.
    """

    median: float
    q1: float
    q3: float
    n: int
    batch_size: int
    threads: int
    device: str = ""
    dense: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    warning: str = ""

    @classmethod
    def of(cls, timing: Timing) -> Speed:
        """The figures of a timing."""
        low, high = timing.ratio_interval or (None, None)
        return cls(
            median=timing.median,
            q1=timing.q1,
            q3=timing.q3,
            n=timing.n,
            batch_size=timing.batch_size,
            threads=timing.threads,
            device=timing.device,
            dense=timing.baseline.median if timing.baseline else None,
            ratio=timing.ratio,
            low=low,
            high=high,
            warning=timing.warning,
        )


class Figures(_Frozen):
    """All figures of a run; None or empty is what was not measured.

    Args:
        validation, test: accuracy of the network that came out.
        before: on validation images, pruned and not yet recovered.
        dense, dense_test: of the dense network, on validation and test images.
        size, dense_size: of the network that came out, and of the dense one.
        latency: of the network that came out, beside the dense one.
        sparsity: share of the dense network's parameters that are removed or zero, in [0, 1].
        removed: group, layer or block -> share of its units or weights that are gone, in [0, 1].
        confusion: (classes, classes) on validation images; rows are the true class, columns the prediction.
        test_confusion: the same on test images.
        epochs: that were trained.
        best: number of the epoch whose network came out.
        ended: of a training: "done", "early" when patience ran out, "stopped", or "diverged".
        seconds: of training.
        check: what came out of loading the written file again, a sentence; "" if none was written.
        points: of a scan, or cells of a study, that are done.
        total: of these, that there are in all.
    """

    validation: Measured | None = None
    test: Measured | None = None
    before: Measured | None = None
    dense: Measured | None = None
    dense_test: Measured | None = None
    size: Size | None = None
    dense_size: Size | None = None
    latency: Speed | None = None
    sparsity: float | None = None
    removed: Annotated[dict[str, float], Field(max_length=MOST_KEYS)] = Field(default_factory=dict)
    confusion: tuple[tuple[int, ...], ...] = ()
    test_confusion: tuple[tuple[int, ...], ...] = ()
    epochs: int | None = None
    best: int | None = None
    ended: str = ""
    seconds: float | None = None
    check: str = ""
    points: int | None = None
    total: int | None = None


def confusion_of(report: Report, classes: int) -> tuple[tuple[int, ...], ...]:
    """A report's confusion matrix as it is kept; empty if there are too many classes."""
    if classes > MOST_CLASSES:
        return ()
    return tuple(tuple(row) for row in report.confusion(classes).tolist())
