import threading

import pytest
import torch
from fake_task import FakeTask, fake_task
from torch import nn

from pruning.evaluate import evaluate
from pruning.groups import find_structure
from pruning.masks import apply_masks
from pruning.plan import make_plan
from pruning.recipe import Granularity, Recipe, Rule
from pruning.replay import Program, footprint
from pruning.sensitivity import Precise, Scan, ScanPoint, coarse_first, iter_scan, scan_sensitivity
from pruning.shrink import shrink

RATIOS = (0.25, 0.5, 0.75, 1.0)


class Residual(nn.Module):
    """Convolutions with BatchNorm around an addition, then a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.conv2, self.norm2 = nn.Conv2d(6, 5, 3, padding=1), nn.BatchNorm2d(5)
        self.conv3 = nn.Conv2d(5, 6, 3, padding=1)
        self.head = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm1(self.conv1(x)).relu()
        x = x + self.conv3(self.norm2(self.conv2(x)).relu())
        return self.head(x.mean((2, 3)))


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    module = Residual()
    with torch.no_grad():
        for x in torch.randn(5, 32, 1, 6, 6):  # give the norms statistics of their own
            module(x)
        for norm in (module.norm1, module.norm2):
            norm.weight.uniform_(0.5, 2)
            norm.bias.normal_()
    return module.eval()


@pytest.fixture(scope="module")
def task() -> FakeTask:
    return fake_task(images=40)


@pytest.mark.parametrize("granularity", ["channel", "weight"])
def test_every_point_is_what_a_plain_loop_finds(
    net: nn.Module, task: FakeTask, granularity: Granularity
) -> None:
    found = scan_sensitivity(net, task, RATIOS, granularity, "l2")
    x = (task.validation.x[:1],)
    assert found.keys == (
        ("conv1", "conv2") if granularity == "channel" else ("conv1", "conv2", "conv3", "head")
    )
    assert found.complete
    assert len(found.points) == len(found.keys) * len(RATIOS)
    losses = set()
    for point in found.points:
        recipe = Recipe(rules={point.key: Rule(ratio=point.ratio, granularity=granularity, criterion="l2")})
        plan = make_plan(net, recipe, example_inputs=x)
        kept = plan.keep.get(point.key)
        assert point.kept == (point.size if kept is None else int(kept.sum()))
        pruned = [apply_masks(net, plan)]
        if granularity == "channel":
            pruned.append(shrink(net, plan, x))
        for module in pruned:
            report = evaluate(module, task)
            assert (point.accuracy, point.interval) == (report.accuracy, report.interval)
            assert point.loss == pytest.approx(report.loss, rel=1e-5)
        losses.add(round(report.loss, 4))
    assert len(losses) > len(RATIOS)  # the points do differ
    dense = evaluate(net, task)
    assert (found.dense.accuracy, found.dense.interval) == (dense.accuracy, dense.interval)


def test_the_network_stays_as_it_was(net: nn.Module, task: FakeTask) -> None:
    net.train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    for _ in iter_scan(net, task, [0.5], "channel", "l1"):
        pass
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(part.training for part in net.modules())
    net.eval()


def test_the_order_of_the_points_changes_none(net: nn.Module, task: FakeTask) -> None:
    together = {(p.key, p.ratio): p for p in scan_sensitivity(net, task, RATIOS).points}
    for ratio in RATIOS:
        for point in scan_sensitivity(net, task, [ratio]).points:
            assert point == together[point.key, point.ratio]


def test_points_are_told_one_by_one(net: nn.Module, task: FakeTask) -> None:
    told: list[tuple[ScanPoint, int, int]] = []
    found = scan_sensitivity(net, task, [0.5, 0.75], on_point=lambda *all_: told.append(all_))
    assert [point for point, _, _ in told] == list(found.points)
    assert [(done, total) for _, done, total in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert len({point.key for point in found.points[:2]}) == 1  # key after key
    assert walk_order(found) == list(found.keys)


def test_a_stop_ends_the_scan_and_iterating_again_goes_on(net: nn.Module, task: FakeTask) -> None:
    stop = threading.Event()
    walk = iter_scan(net, task, RATIOS, stop=stop)
    first = []
    for point in walk:
        first.append(point)
        if len(first) == 3:
            stop.set()
    assert len(first) == 3
    assert not walk.scan().complete
    assert walk.scan().points == tuple(first)
    stop.clear()
    rest = list(walk)
    assert len(rest) == walk.total - 3
    assert walk.scan() == scan_sensitivity(net, task, RATIOS)


def test_known_points_are_not_measured_again(net: nn.Module, task: FakeTask) -> None:
    whole = scan_sensitivity(net, task, RATIOS)
    part = scan_sensitivity(net, task, [0.25, 0.5, 0.6])
    walk = iter_scan(net, task, RATIOS, known=part)
    assert sorted(point.ratio for point in walk) == [0.75, 0.75, 1.0, 1.0]
    assert set(walk.scan().points) == set(whole.points)
    assert list(iter_scan(net, task, RATIOS, known=whole)) == []


def test_a_stop_is_noticed_between_batches(
    net: nn.Module, task: FakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, runs = threading.Event(), []
    answer = Program.answer

    def watched(self: Program, *arguments: object) -> torch.Tensor:
        runs.append(len(runs))
        stop.set()
        return answer(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(footprint, "MOST", 8)
    monkeypatch.setattr(Program, "answer", watched)
    walk = iter_scan(net, task, RATIOS, stop=stop)
    assert list(walk) == []
    assert 1 <= len(runs) <= torch.get_num_threads()
    stop.clear()
    monkeypatch.setattr(Program, "answer", answer)
    assert walk.scan().points == ()
    assert set(walk) == set(scan_sensitivity(net, task, RATIOS).points)


def walk_order(found: Scan) -> list[str]:
    """Keys in the order in which they were first measured."""
    return list(dict.fromkeys(point.key for point in found.points))


def test_nothing_is_measured_twice(net: nn.Module, task: FakeTask) -> None:
    ratios = [0.0, 0.01, 0.49, 0.5, 0.51, 0.99, 1.0]
    walk = iter_scan(net, task, ratios)
    list(walk)
    found = walk.scan()
    kept = {(p.key, p.kept) for p in found.points if p.kept < p.size}
    assert walk.images == walk.images_exact == found.n * len(kept)
    whole = [p for p in found.points if p.kept == p.size]
    assert {p.accuracy for p in whole} == {found.dense.accuracy}
    assert {p.ratio for p in whole} >= {0.0, 0.01}


def test_scores_and_structure_can_be_given(net: nn.Module, task: FakeTask) -> None:
    structure = find_structure(net, (task.validation.x[:1],))
    scores = {"conv2": torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0])}
    found = scan_sensitivity(net, task, [0.4], structure=structure, scores=scores)
    assert found.keys == ("conv2",)
    keep = {"conv2": torch.tensor([True, True, True, False, False])}
    recipe = Recipe(rules={"conv2": Rule(ratio=0.4)})
    plan = make_plan(net, recipe, example_inputs=(task.validation.x[:1],), scores=scores)
    assert torch.equal(plan.keep["conv2"], keep["conv2"])
    assert found.points[0].accuracy == evaluate(apply_masks(net, plan), task).accuracy


def test_criteria_with_statistics_and_seed_and_misfits(net: nn.Module, task: FakeTask) -> None:
    taylor = scan_sensitivity(net, task, [0.5], "channel", "taylor", limit=20)
    assert (taylor.n, taylor.criterion, len(taylor.points)) == (20, "taylor", 2)
    first, again, other = (scan_sensitivity(net, task, RATIOS, "weight", "random", seed=s) for s in (1, 1, 2))
    assert first == again
    assert first.points != other.points

    plain = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    with pytest.raises(ValueError, match="Nothing in this network can be pruned by channel"):
        scan_sensitivity(plain, task, [0.5], "channel", "bn_scale")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"ratios": []}, "at least one ratio"),
        ({"ratios": [1.5]}, "between 0 and 1"),
        ({"ratios": [float("nan")]}, "between 0 and 1"),
        ({"criterion": "beauty"}, "There is no criterion"),
        ({"granularity": "weight", "criterion": "fpgm"}, "cannot score"),
        ({"split": "test"}, "final results only"),
    ],
)
def test_wrong_arguments_are_named(net: nn.Module, task: FakeTask, arguments: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        scan_sensitivity(net, task, **({"ratios": [0.5]} | arguments))


def test_coarse_first_keeps_all_and_halves_the_gaps() -> None:
    ratios = [i / 10 for i in range(1, 10)]
    order = coarse_first(ratios)
    assert sorted(order) == ratios
    assert order[:5] == [0.9, 0.1, 0.5, 0.7, 0.3]
    assert coarse_first([0.3]) == [0.3]
    assert coarse_first([0.3, 0.6]) == [0.6, 0.3]


class Branching(nn.Module):
    """Asks its data which way to go, so that no recording of one pass can stand for it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x).relu()
        for _ in range(2 if float(x.mean()) > 0.1 else 1):
            x = x[:, :, :4, :4] + nn.functional.pad(self.second(x), (1, 1, 1, 1))[:, :, :4, :4]
        return self.head(x.relu().mean((2, 3)))


@pytest.mark.parametrize("precise", [None, Precise(5)])
def test_a_network_that_cannot_be_recorded_is_scanned_from_modules(
    task: FakeTask, precise: Precise | None
) -> None:
    torch.manual_seed(4)
    module = Branching().eval()
    walk = iter_scan(module, task, [0.3, 0.6], "weight", "l1", precise=precise)
    points = list(walk)
    found = walk.scan()
    assert (walk.way, found.slower) == ("modules", "it decides by its data what to do")
    assert found.complete
    assert Scan.from_json(found.to_json()) == found
    assert {point.key for point in points} == {"first", "second", "head"}
    for point in found.points:
        rules = {point.key: Rule(ratio=point.ratio, granularity="weight", criterion="l1")}
        plan = make_plan(module, Recipe(rules=rules), example_inputs=(task.validation.x[:1],))
        exact = evaluate(apply_masks(module, plan), task).accuracy
        assert point.bounds[0] <= exact <= point.bounds[1]


def test_outputs_that_are_no_numbers_count_as_wrong(net: nn.Module) -> None:
    broken = fake_task(images=40)
    broken.validation.x[3] = float("nan")
    found = scan_sensitivity(net, broken, [0.5])
    report = evaluate(net, broken)
    assert (report.invalid, found.dense.invalid) == (1, 1)
    assert {point.invalid for point in found.points} == {1}
    assert found.dense.accuracy == report.accuracy


def test_fewer_images_than_asked_for_are_all_measured(net: nn.Module, task: FakeTask) -> None:
    assert scan_sensitivity(net, task, [0.5], limit=10**9).n == len(task.validation)
