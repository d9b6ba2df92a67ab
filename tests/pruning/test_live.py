from collections.abc import Iterator

import pytest
import torch
from fake_task import FakeTask, fake_task
from torch import nn

from pruning import live
from pruning.evaluate import evaluate
from pruning.live import LiveEvaluator
from pruning.masks import apply_masks
from pruning.plan import make_plan
from pruning.recipe import Granularity, Recipe, Rule

X = (torch.zeros(1, 1, 6, 6),)


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(96, 8),
        nn.ReLU(),
        nn.Linear(8, 3),
    ).eval()


@pytest.fixture
def task() -> FakeTask:
    return fake_task(images=50)


def recipe(ratio: float, granularity: Granularity = "channel", *keys: str) -> Recipe:
    rule = Rule(ratio=ratio, granularity=granularity, criterion="l2")
    return Recipe(rules=dict.fromkeys(keys or ("0", "4"), rule))


@pytest.mark.parametrize("granularity", ["channel", "weight"])
def test_live_reports_are_those_of_a_full_evaluation(
    net: nn.Module, task: FakeTask, granularity: Granularity
) -> None:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    evaluator = LiveEvaluator(net, task, X, batch_size=20)
    losses = set()
    for ratio in (0.3, 0.5, 0.8):
        wanted = recipe(ratio, granularity)
        reports = list(evaluator.reports(wanted))
        assert [r.n for r in reports] == [20, 40, 50]
        masked = apply_masks(net, make_plan(net, wanted, example_inputs=X))
        expected = evaluate(masked, task)
        assert torch.equal(reports[-1].predictions, expected.predictions)
        assert reports[-1].accuracy == expected.accuracy
        assert reports[-1].loss == pytest.approx(expected.loss, rel=1e-5)
        losses.add(reports[-1].loss)
    assert len(losses) == 3
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_channels_and_weights_together(net: nn.Module, task: FakeTask) -> None:
    both = Recipe(rules={"0": Rule(ratio=0.5), "4": Rule(ratio=0.6, granularity="weight")})
    evaluator = LiveEvaluator(net, task, X)
    for _ in range(2):  # the first is built with a check, later ones without
        *_, found = evaluator.reports(both)
        evaluator._known.clear()
        plan = make_plan(net, both, example_inputs=X)
        assert torch.equal(found.predictions, evaluate(apply_masks(net, plan), task).predictions)
        small = evaluator.build(plan)
        assert small[0].out_channels == 3  # type: ignore[index]
        assert (small[4].weight == 0).float().mean() > 0.5  # type: ignore[index, operator]


def test_finished_recipes_are_remembered_and_the_oldest_forgotten(
    net: nn.Module, task: FakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []
    network = LiveEvaluator.network
    monkeypatch.setattr(
        LiveEvaluator, "network", lambda self, plan: built.append(plan) or network(self, plan)
    )
    evaluator = LiveEvaluator(net, task, X, batch_size=20, remember=2)
    a, b, c = recipe(0.3), recipe(0.5), recipe(0.7)
    first = list(evaluator.reports(a))[-1]
    assert list(evaluator.reports(a)) == [first]
    assert evaluator.known(a) is first
    assert len(built) == 1
    next(evaluator.reports(b))  # left after one batch
    assert evaluator.known(b) is None
    list(evaluator.reports(b))
    assert evaluator.known(a) is first  # used now, so b is the oldest
    list(evaluator.reports(c))
    assert evaluator.known(b) is None
    assert evaluator.known(a) is first
    assert len(built) == 4


def test_a_recipe_that_removes_nothing_is_the_dense_network(
    net: nn.Module, task: FakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator = LiveEvaluator(net, task, X)
    monkeypatch.setattr(LiveEvaluator, "network", None)
    assert list(evaluator.reports(recipe(0.0))) == [evaluator.dense]
    assert list(evaluator.reports(Recipe())) == [evaluator.dense]
    assert torch.equal(evaluator.dense.predictions, evaluate(net, task).predictions)


def test_given_scores_decide_what_goes(net: nn.Module, task: FakeTask) -> None:
    scores = {"0": torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])}
    small = LiveEvaluator(net, task, X).build(
        make_plan(net, recipe(0.5, "channel", "0"), example_inputs=X, scores=scores)
    )
    assert torch.equal(small[0].weight, net[0].weight[3:])  # type: ignore[index]


def test_a_network_that_cannot_be_cut_is_measured_masked(
    net: nn.Module, task: FakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> nn.Module:
        raise ValueError("The pruned network does not run.")

    monkeypatch.setattr(live, "shrink", refuses)
    monkeypatch.setattr(live, "slice_module", None)
    evaluator = LiveEvaluator(net, task, X)
    for ratio in (0.4, 0.6):
        *_, found = evaluator.reports(recipe(ratio))
        plan = make_plan(net, recipe(ratio), example_inputs=X)
        assert torch.equal(found.predictions, evaluate(apply_masks(net, plan), task).predictions)


def test_statistics_are_collected_where_a_criterion_needs_them(net: nn.Module, task: FakeTask) -> None:
    taylor = Recipe(rules={"0": Rule(ratio=0.5, criterion="taylor")})
    steps: Iterator = LiveEvaluator(net, task, X, limit=10).reports(taylor)
    assert next(steps).total == 10


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"split": "test"}, "final results only"),
        ({"limit": 0}, "at least 1"),
        ({"batch_size": 0}, "at least 1"),
    ],
)
def test_wrong_arguments_are_named(net: nn.Module, task: FakeTask, options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LiveEvaluator(net, task, X, **options)


def test_a_wrong_recipe_is_named(net: nn.Module, task: FakeTask) -> None:
    with pytest.raises(ValueError, match="'nowhere'"):
        next(LiveEvaluator(net, task, X).reports(recipe(0.5, "channel", "nowhere")))


def test_the_dense_network_is_measured_once_however_often_callers_stop(
    net: nn.Module, task: FakeTask
) -> None:
    evaluator = LiveEvaluator(net, task, X, batch_size=20)
    assert next(evaluator.dense_reports()).n == 20
    assert evaluator.known_dense is None
    assert [report.n for report in evaluator.dense_reports()] == [40, 50]
    assert evaluator.known_dense is evaluator.dense
    assert evaluator.dense.accuracy == evaluate(net, task).accuracy
