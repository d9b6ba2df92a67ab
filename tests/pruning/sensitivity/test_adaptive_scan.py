"""Adaptive scans of a real network: what they say against an exact scan, stopped and gone on with, NaN."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import torch
from fake_task import FakeSplit, FakeTask, fake_task
from torch import nn

from pruning.sensitivity import Precise, Scan, ScanPoint, iter_scan, scan_sensitivity

RATIOS = tuple(i / 10 for i in range(1, 11))


class Shares(nn.Module):
    """A network that divides by what it found: 0 / 0 where too much of it is pruned."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(36, 24, bias=False), nn.Linear(24, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = self.first(x.flatten(1)).relu()
        return self.head(found / found.sum(1, keepdim=True))


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    module = Shares()
    with torch.no_grad():
        module.head.weight.mul_(20)
    return module.eval()


@pytest.fixture(scope="module")
def task(net: nn.Module) -> FakeTask:
    """Images of which the network gets most right."""
    whole = fake_task(images=1500)
    x, noise = whole.validation.x, whole.validation.targets
    with torch.no_grad():
        says = net(x).argmax(1)
    targets = torch.where(torch.arange(1500) % 10 == 0, noise, says)
    return replace(whole, validation=FakeSplit(x, targets))


@pytest.fixture(scope="module")
def exact(net: nn.Module, task: FakeTask) -> Scan:
    return scan_sensitivity(net, task, RATIOS, "weight", "l1")


def adaptive(net: nn.Module, task: FakeTask, **options: object) -> Scan:
    return scan_sensitivity(net, task, RATIOS, "weight", "l1", precise=Precise(), **options)  # type: ignore[arg-type]


def by_place(scan: Scan) -> dict[tuple[str, float], ScanPoint]:
    return {(point.key, point.ratio): point for point in scan.points}


def test_it_says_what_the_exact_scan_says_with_fewer_images(
    net: nn.Module, task: FakeTask, exact: Scan
) -> None:
    found = adaptive(net, task)
    assert found.complete
    assert found.mode == "adaptive"
    assert (found.keys, found.ratios, found.n, found.dense) == (exact.keys, exact.ratios, 1500, exact.dense)
    truth = by_place(exact)
    held = [
        low - 1e-9 <= truth[place].accuracy <= high + 1e-9
        for place, (low, high) in ((place, point.bounds) for place, point in by_place(found).items())
    ]
    assert len(held) == len(truth) == 20
    assert sum(held) >= 19
    images, all_images = found.effort
    assert images < 0.7 * all_images == 0.7 * exact.effort[0]
    for place, point in by_place(found).items():
        if point.how == "measured":
            assert point.accuracy == truth[place].accuracy
            assert point.interval == truth[place].interval


def test_nan_is_wrong_and_counted(net: nn.Module, task: FakeTask, exact: Scan) -> None:
    nothing = by_place(exact)["first", 1.0]
    assert (nothing.accuracy, nothing.invalid, nothing.loss) == (0.0, 1500, None)
    assert by_place(exact)["first", 0.1].invalid == 0
    found = by_place(adaptive(net, task))["first", 1.0]
    assert found.bounds[0] == pytest.approx(0)
    assert found.invalid == (found.sample.n if found.sample else 1500)


def test_it_ends_the_same_if_it_is_stopped_and_taken_up_again(net: nn.Module, task: FakeTask) -> None:
    whole = adaptive(net, task)
    for stops in (1, 7, 20):
        stop = threading.Event()
        for number, _ in enumerate(
            walk := iter_scan(net, task, RATIOS, "weight", "l1", precise=Precise(), stop=stop), 1
        ):
            if number == stops:
                stop.set()
        part = Scan.from_json(walk.scan().to_json())  # as a restart reads it
        assert not part.complete
        again = adaptive(net, task, known=part)
        assert {(p.key, p.ratio, p.accuracy, p.sample) for p in again.points} == {
            (p.key, p.ratio, p.accuracy, p.sample) for p in whole.points
        }


def test_points_of_an_exact_scan_are_taken_over(net: nn.Module, task: FakeTask, exact: Scan) -> None:
    walk = iter_scan(net, task, RATIOS, "weight", "l1", precise=Precise(), known=exact)
    assert list(walk) == []
    assert walk.images == 0
    assert walk.scan().points == exact.points
    back = iter_scan(net, task, RATIOS, "weight", "l1", known=adaptive(net, task))
    list(back)
    assert by_place(back.scan()) == by_place(exact)  # nothing estimated is left in it


def test_fewer_images_than_asked_for_are_all_that_count(net: nn.Module, task: FakeTask) -> None:
    few = replace(task, validation=FakeSplit(task.validation.x[:70], task.validation.targets[:70]))
    found = adaptive(net, few, limit=1000)
    assert (found.n, found.complete) == (70, True)
    assert {found.images_of(point) for point in found.points} <= {70, 0}
    truth = by_place(scan_sensitivity(net, few, RATIOS, "weight", "l1"))
    assert all(
        p.bounds[0] - 1e-9 <= truth[place].accuracy <= p.bounds[1] + 1e-9
        for place, p in by_place(found).items()
    )
