"""How good a network is: accuracy with its uncertainty, loss, and how two networks differ."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from pruning.tasks import Task

Z95 = 1.959963984540054  # two-sided 95 % quantile of the normal distribution
Interval = tuple[float, float]
Batch = tuple[Tensor, Tensor]
NO_CLASS = -1  # the prediction for an image whose outputs contain NaN


@dataclass(frozen=True)
class Report:
    """What was measured on the first `n` of `total` images of a split.

    Args:
        accuracy: fraction of the n images predicted right, in [0, 1].
        interval: 95 % Wilson interval of the accuracy.
        loss: mean cross-entropy in nats.
        n: images measured so far.
        total: images that a finished measurement has.
        split: name of the split.
        predictions: (n,), long; the class with the highest output, `NO_CLASS` where one is NaN.
        targets: (n,), long; the true class.
    """

    accuracy: float
    interval: Interval
    loss: float
    n: int
    total: int
    split: str
    predictions: Tensor
    targets: Tensor

    @property
    def complete(self) -> bool:
        """Whether every image was measured."""
        return self.n == self.total

    @property
    def right(self) -> Tensor:
        """(n,), bool: which images are predicted right."""
        return self.predictions == self.targets

    @property
    def invalid(self) -> int:
        """Images whose outputs contain NaN; each counts as wrong."""
        return int((self.predictions == NO_CLASS).sum())

    def confusion(self, classes: int) -> Tensor:
        """Count how often each true class is given each prediction.

        Args:
            classes: how many classes the task has.
        Returns:
            (classes, classes), long; rows are the true class, columns the prediction. Images without a
            prediction (`invalid`) are in no cell.
        Raises:
            ValueError: if a prediction or target is not below `classes`.
        """
        pairs = (self.targets * classes + self.predictions)[self.predictions != NO_CLASS]
        highest = max([0, *self.targets.tolist(), *self.predictions.tolist()])
        if highest >= classes:
            raise ValueError(
                f"A class number {highest} does not fit {classes} classes; give a larger number."
            )
        return torch.bincount(pairs, minlength=classes * classes).view(classes, classes)


@dataclass(frozen=True)
class Difference:
    """The accuracy of one network minus that of another, on the same n images.

    Args:
        value: accuracy of the second minus accuracy of the first, in [-1, 1].
        interval: 95 % interval of `value`, taking the pairing into account.
        gained: images that only the second network predicts right.
        lost: images that only the first network predicts right.
        n: images that both have measured.
    """

    value: float
    interval: Interval
    gained: int
    lost: int
    n: int


def evaluate(
    module: nn.Module,
    task: Task,
    split: str = "validation",
    *,
    batch_size: int = 256,
    limit: int | None = None,
) -> Report:
    """Measure accuracy and loss of a network on a split of a task.

    Args:
        module: network from (batch, C, H, W) to (batch, classes); run in eval mode, and left as it was.
        task: the data.
        split: "train", "calibration", "validation" or "test".
        batch_size: images per forward.
        limit: measure only the first `limit` images.
    Returns:
        The report on all images.
    Raises:
        ValueError: if the split is unknown, or no image is left to measure.
    """
    *_, report = evaluate_batches(module, task, split, batch_size=batch_size, limit=limit)
    return report


def evaluate_batches(
    module: nn.Module,
    task: Task,
    split: str = "validation",
    *,
    batch_size: int = 256,
    limit: int | None = None,
) -> Iterator[Report]:
    """As `evaluate`, but yield a report after every batch, each on more images than the one before."""
    total, batches = split_batches(task, split, batch_size=batch_size, limit=limit)
    return measure(module, batches, total, split)


def split_batches(
    task: Task, split: str, *, batch_size: int = 256, limit: int | None = None
) -> tuple[int, Iterator[Batch]]:
    """The number of images to measure, and an iterator of their batches (x, y).

    Raises:
        ValueError: if the split is unknown, or a number is not positive.
    """
    if split not in ("train", "calibration", "validation", "test"):
        raise ValueError(f"There is no split {split!r}; choose train, calibration, validation or test.")
    if batch_size < 1 or (limit is not None and limit < 1):
        raise ValueError("The batch size and the limit must be at least 1.")
    data = getattr(task, split)
    total = len(data) if limit is None else min(limit, len(data))
    if total == 0:
        raise ValueError(f"The {split} split is empty; choose another.")
    return total, _first(data.batches(batch_size), total)


def measure(module: nn.Module, batches: Iterable[Batch], total: int, split: str) -> Iterator[Report]:
    """Run a network over batches and yield a growing report after each.

    Between two batches the caller's thread is as it was (gradient mode, the module's training flags), so a
    caller may stop at any report or do something else in between.

    Args:
        module: network from x to (batch, classes).
        batches: of x (batch, ...) and y (batch,).
        total: images in all batches together.
        split: name written into the reports.
    """
    parameter = next(module.parameters(), None)
    predictions, targets = torch.empty(0, dtype=torch.long), torch.empty(0, dtype=torch.long)
    correct, loss = 0, 0.0
    for x, y in batches:
        with evaluating(module), torch.inference_mode():
            outputs = module(x if parameter is None else x.to(parameter.device)).cpu()
            loss += functional.cross_entropy(outputs.double(), y, reduction="sum").item()
        predictions, targets = torch.cat([predictions, predicted(outputs)]), torch.cat([targets, y])
        correct, n = int((predictions == targets).sum()), len(targets)
        yield Report(correct / n, wilson(correct, n), loss / n, n, total, split, predictions, targets)


def predicted(outputs: Tensor) -> Tensor:
    """What a network says: the class with the highest output.

    Args:
        outputs: (n, classes), float.
    Returns:
        (n,), long; `NO_CLASS` where an output is NaN, because nothing is higher or lower than NaN.
    """
    return outputs.argmax(1).masked_fill_(outputs.isnan().any(1), NO_CLASS)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module and all it contains into eval mode, and give every part its own flag back afterwards.

    A module that is already in eval mode is not touched, so that threads can share it.
    """
    training = [part for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


def wilson(correct: int, n: int) -> Interval:
    """The 95 % score interval of a proportion.

    Args:
        correct: successes.
        n: trials; 0 gives (0, 1).
    Returns:
        (low, high), both in [0, 1].
    Raises:
        ValueError: unless 0 <= correct <= n.
    Source: E. B. Wilson 1927, "Probable inference, the law of succession, and statistical
        inference", JASA 22.
    """
    if not 0 <= correct <= n:
        raise ValueError(
            f"{correct} right of {n} is no proportion; the first must lie between 0 and the second."
        )
    if n == 0:
        return 0.0, 1.0
    share, square = correct / n, Z95 * Z95
    centre = (share + square / (2 * n)) / (1 + square / n)
    half = Z95 / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    low = 0.0 if correct == 0 else max(0.0, centre - half)
    high = 1.0 if correct == n else min(1.0, centre + half)
    return low, high


def flipped(first: Report, second: Report) -> Tensor:
    """The positions in the split at which two networks predict different classes.

    Args:
        first, second: reports on the same split; only images that both have measured are compared.
    Returns:
        (flips,), long, ascending.
    Raises:
        ValueError: if the reports are not on the same images.
    """
    n = _common(first, second)
    return (first.predictions[:n] != second.predictions[:n]).nonzero().flatten()


def paired_difference(first: Report, second: Report) -> Difference:
    """How much better or worse the second network is than the first, on the same images.

    The two accuracies are correlated (both networks fail on the same hard images), so this interval is far
    narrower than what the two Wilson intervals suggest.

    Raises:
        ValueError: if the reports are not on the same images.
    Source: R. G. Newcombe 1998, "Improved confidence intervals for the difference between binomial
        proportions based on paired data", Statistics in Medicine 17, method 10.
    """
    n = _common(first, second)
    one, two = first.right[:n], second.right[:n]
    both, lost, gained = (int(hits.sum()) for hits in (one & two, one & ~two, ~one & two))
    low, high = paired_interval(both, gained, lost, n - both - lost - gained)
    return Difference((gained - lost) / n, (low, high), gained, lost, n)


def paired_interval(both: int, only_a: int, only_b: int, neither: int) -> Interval:
    """95 % interval of (share of a) - (share of b) from the counts of n pairs; see `paired_difference`."""
    n = both + only_a + only_b + neither
    a, b = both + only_a, both + only_b
    (low_a, high_a), (low_b, high_b) = wilson(a, n), wilson(b, n)
    cross = both * neither - only_a * only_b
    spread = math.sqrt(a * (n - a) * b * (n - b))
    phi = 0.0 if spread == 0 else (max(cross - n / 2, 0.0) if cross > 0 else cross) / spread

    def together(p: float, q: float) -> float:
        return math.sqrt(max(0.0, p * p - 2 * phi * p * q + q * q))

    share_a, share_b = a / n, b / n
    below = together(share_a - low_a, high_b - share_b)
    above = together(high_a - share_a, share_b - low_b)
    value = (only_a - only_b) / n
    return max(-1.0, value - below), min(1.0, value + above)


def _common(first: Report, second: Report) -> int:
    """How many images both reports have measured, after checking that they are the same ones."""
    n = min(first.n, second.n)
    if first.split != second.split or not torch.equal(first.targets[:n], second.targets[:n]):
        raise ValueError("The two reports are on different images; evaluate both networks on the same split.")
    return n


def _first(batches: Iterable[Batch], total: int) -> Iterator[Batch]:
    """The first `total` samples, the last batch cut short if need be."""
    for x, y in batches:
        yield x[:total], y[:total]
        total -= len(y)
        if total <= 0:
            return
