import math
from dataclasses import replace

import pytest
import torch
from fake_task import fake_task
from torch import nn
from torch.nn import functional

from pruning.evaluate import (
    Report,
    evaluate,
    evaluate_batches,
    flipped,
    paired_difference,
    paired_interval,
    wilson,
)


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Dropout(0.5), nn.BatchNorm1d(8), nn.Linear(8, 3))


def report(right: list[bool], split: str = "validation") -> Report:
    targets = torch.zeros(len(right), dtype=torch.long)
    predictions = torch.tensor([0 if hit else 1 for hit in right])
    return Report(sum(right) / len(right), (0, 1), 1.0, len(right), len(right), split, predictions, targets)


def test_evaluate_agrees_with_one_plain_forward(net: nn.Module) -> None:
    task = fake_task()
    got = evaluate(net.eval(), task, batch_size=7)
    outputs = net(task.validation.x)
    predictions = outputs.argmax(1)
    assert torch.equal(got.predictions, predictions)
    assert torch.equal(got.targets, task.validation.targets)
    assert got.accuracy == (predictions == task.validation.targets).double().mean().item()
    assert got.loss == pytest.approx(
        functional.cross_entropy(outputs, task.validation.targets).item(), rel=1e-5
    )
    assert (got.n, got.total, got.split, got.complete) == (50, 50, "validation", True)
    assert got.interval == wilson(int(got.right.sum()), 50)


def test_evaluate_uses_the_split_it_is_told(net: nn.Module) -> None:
    task = fake_task()
    assert torch.equal(evaluate(net, task, split="test").targets, task.test.targets)


def test_batches_refine_and_the_last_one_is_the_whole(net: nn.Module) -> None:
    task = fake_task()
    reports = list(evaluate_batches(net, task, batch_size=20, limit=45))
    assert [r.n for r in reports] == [20, 40, 45]
    assert {r.total for r in reports} == {45}
    assert [r.complete for r in reports] == [False, False, True]
    whole = evaluate(net, task, batch_size=45, limit=45)
    assert torch.equal(reports[-1].predictions, whole.predictions)
    assert reports[-1].loss == pytest.approx(whole.loss)
    assert torch.equal(reports[0].predictions, whole.predictions[:20])


def test_evaluate_changes_neither_module_nor_thread(net: nn.Module) -> None:
    net.train()
    net[1].eval()  # type: ignore[operator]
    flags = [part.training for part in net.modules()]
    before = {name: value.clone() for name, value in net.state_dict().items()}
    steps = evaluate_batches(net, fake_task(), batch_size=10)
    next(steps)
    assert [part.training for part in net.modules()] == flags
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    steps.close()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_training_flags_return_after_a_failure(net: nn.Module) -> None:
    net.train()
    with pytest.raises(RuntimeError):
        evaluate(net, fake_task(shape=(1, 5, 5)))
    assert all(part.training for part in net.modules())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"split": "weekend"}, "no split"), ({"batch_size": 0}, "at least 1"), ({"limit": 0}, "at least 1")],
)
def test_wrong_arguments_are_named(net: nn.Module, arguments: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        evaluate(net, fake_task(), **arguments)


def test_an_empty_split_is_named(net: nn.Module) -> None:
    with pytest.raises(ValueError, match="empty"):
        evaluate(net, fake_task(images=0))


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_intervals(correct: int, n: int, low: float, high: float) -> None:
    """Table I of Newcombe 1998, "Two-sided confidence intervals for the single proportion", Stat. Med. 17."""
    assert wilson(correct, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_at_the_edges() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(20, 20)[1] == 1.0
    low, high = wilson(180, 360)
    assert low == pytest.approx(1 - high)
    with pytest.raises(ValueError, match="no proportion"):
        wilson(3, 2)


@pytest.mark.parametrize(
    ("table", "interval"),
    [
        ((36, 12, 2, 0), (0.0569, 0.3404)),
        ((1, 1, 7, 12), (-0.5069, -0.0256)),
    ],
)
def test_paired_interval_gives_known_values(table: tuple[int, ...], interval: tuple[float, float]) -> None:
    assert paired_interval(*table) == pytest.approx(interval, abs=5e-5)


def test_paired_interval_covers_the_truth_as_often_as_it_says() -> None:
    """At n = 360, dense right on 98 %, pruned losing 4 % and gaining 1 %: the truth is -3 points."""
    shares = torch.tensor([0.94, 0.01, 0.04, 0.01])
    random = torch.Generator().manual_seed(1)
    draws = torch.multinomial(shares, 2000 * 360, replacement=True, generator=random).view(2000, 360)
    tables = torch.stack([(draws == kind).sum(1) for kind in range(4)], dim=1).tolist()
    intervals = [paired_interval(*table) for table in tables]
    covered = sum(low <= -0.03 <= high for low, high in intervals) / len(intervals)
    assert 0.93 < covered <= 0.985


def test_paired_difference_counts_and_is_narrower_than_unpaired() -> None:
    dense = report([True] * 95 + [False] * 5)
    pruned = report([True] * 90 + [False] * 8 + [True] * 2)
    change = paired_difference(dense, pruned)
    assert (change.lost, change.gained, change.n) == (5, 2, 100)
    assert change.value == pytest.approx(-0.03)
    assert change.interval[0] < -0.03 < change.interval[1]
    (low, high), (low2, high2) = wilson(95, 100), wilson(92, 100)
    assert change.interval[1] - change.interval[0] < math.hypot(high - low, high2 - low2)


def test_no_change_has_an_interval_around_nothing() -> None:
    change = paired_difference(report([True] * 10), report([True] * 10))
    assert change.value == 0
    assert change.interval[0] < 0 < change.interval[1]


def test_flipped_names_the_images_that_changed() -> None:
    first, second = report([True, True, False, True]), report([True, False, False, False])
    assert flipped(first, second).tolist() == [1, 3]
    assert flipped(first, first).tolist() == []
    longer = report([True, True, False, True, False])
    assert flipped(longer, second).tolist() == [1, 3]


def test_reports_on_different_images_are_not_compared() -> None:
    with pytest.raises(ValueError, match="different images"):
        paired_difference(report([True]), report([True], split="test"))


def test_confusion_counts_every_image_once() -> None:
    targets, predictions = torch.tensor([0, 0, 1, 2, 2]), torch.tensor([0, 1, 1, 2, 0])
    table = Report(0.6, (0, 1), 1.0, 5, 5, "test", predictions, targets).confusion(3)
    assert table.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 1]]
    with pytest.raises(ValueError, match="does not fit 2 classes"):
        Report(0.6, (0, 1), 1.0, 5, 5, "test", predictions, targets).confusion(2)


class Broken(nn.Module):
    """Says class 1, and NaN for that class where an image's first value is positive."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = x.flatten(1)[:, 0]
        outputs = torch.tensor([0.0, 2.0, 1.0]).repeat(len(x), 1)
        outputs[first > 0, 1] = torch.nan
        return outputs


def test_nan_is_wrong_and_counted() -> None:
    task = fake_task()
    found = evaluate(Broken(), task)
    nan = task.validation.x.flatten(1)[:, 0] > 0
    assert 0 < int(nan.sum()) == found.invalid < found.n
    # torch's argmax takes NaN for the highest: it would have said class 1 everywhere.
    assert torch.equal(found.right, (task.validation.targets == 1) & ~nan)
    assert found.accuracy == found.right.double().mean()
    assert math.isnan(found.loss)
    assert int(found.confusion(3).sum()) == found.n - found.invalid
    assert torch.equal(
        flipped(replace(found, predictions=torch.ones(found.n, dtype=torch.long)), found),
        nan.nonzero().flatten(),
    )
