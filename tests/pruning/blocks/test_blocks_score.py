"""How blocks are scored, which of them go, and what a scan of them finds."""

from __future__ import annotations

import pytest
import torch
from block_nets import NETS, build
from fake_task import FakeTask, fake_task
from tiny_networks import traces
from torch import Tensor, nn
from torch.nn import functional as F

from pruning.blocks import block_changes, drop_blocks, find_blocks, lowest
from pruning.blocks.change import influence
from pruning.criteria import CRITERIA, score_blocks
from pruning.evaluate import evaluate
from pruning.plan import make_plan
from pruning.recipe import Recipe, Rule
from pruning.sensitivity import iter_scan, scan_sensitivity
from pruning.shrink import shrink
from pruning.statistics import Statistics, collect_statistics

WITH_BLOCKS = [name for name, (_, _, blocks) in NETS.items() if blocks]
FOR_LAYERS = [name for name, entry in CRITERIA.items() if "layer" in entry.granularities]


def classifier() -> nn.Module:
    """Blocks between a stem and three classes, in float32."""
    module, _ = build("Stages")
    module.head.linear = nn.Linear(10, 3).double()
    with torch.no_grad():
        module.head.linear.weight.normal_(generator=torch.Generator().manual_seed(0))
    return module.float().eval()


@pytest.fixture(scope="module")
def task() -> FakeTask:
    return fake_task((3, 8, 8), images=40)


def test_there_are_criteria_for_whole_layers() -> None:
    assert FOR_LAYERS == ["l1", "l2", "random", "influence", "relative"]


@pytest.mark.parametrize("criterion", FOR_LAYERS)
@pytest.mark.parametrize("name", WITH_BLOCKS)
def test_every_criterion_for_layers_keeps_the_contract(name: str, criterion: str) -> None:
    module, inputs = build(name)
    blocks = find_blocks(module, inputs).blocks
    known = Statistics(2, blocks=block_changes(module, blocks, [inputs]))
    before = traces(module)
    scores = score_blocks(module, blocks, criterion, known, seed=3)
    assert traces(module) == before
    again = score_blocks(module, blocks, criterion, known, seed=3)
    assert list(scores) == [block.id for block in blocks]
    for key, score in scores.items():
        assert score.shape == (1,)
        assert score.dtype == torch.float32
        assert torch.isfinite(score).all()
        assert (score > 0).all()
        assert torch.equal(score, again[key])
    assert len({float(score) for score in scores.values()}) == len(blocks)
    assert score_blocks(module, [], criterion) == {}


def test_influence_is_one_minus_the_cosine_at_each_position() -> None:
    x = torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [2.0, 0.0]])
    y = torch.tensor([[6.0, 8.0], [0.0, 5.0], [0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    assert influence(x, y, -1).tolist() == pytest.approx([0, 1, 0, 1, 2])
    assert influence(x.T.reshape(1, 2, 5), y.T.reshape(1, 2, 5), 1).flatten().tolist() == pytest.approx(
        [0, 1, 0, 1, 2]
    )


@pytest.mark.parametrize(("name", "dim"), [("Stages", 1), ("TorchEncoder", -1)])
def test_changes_are_those_between_the_input_and_output_of_a_block(name: str, dim: int) -> None:
    module, (x,) = build(name)
    blocks = find_blocks(module, (x,)).blocks
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    handles = [
        module.get_submodule(block.id).register_forward_hook(
            lambda _, given, y, key=block.id: seen.update({key: (given[0].clone(), y.clone())})
        )
        for block in blocks
    ]
    with torch.no_grad():
        module(x)
    for handle in handles:
        handle.remove()
    found = block_changes(module, blocks, [(x[:1],), (x[1:],)])
    assert set(found) == {block.id for block in blocks} == set(seen)
    for key, (before, after) in seen.items():
        cosine = F.cosine_similarity(before, after, dim=dim, eps=1e-300)
        both_zero = (before.norm(dim=dim) == 0) & (after.norm(dim=dim) == 0)
        expected = torch.where(both_zero, 0.0, 1 - cosine)
        assert found[key].influence == pytest.approx(float(expected.mean()), rel=1e-9)
        assert found[key].relative == pytest.approx(float((after - before).norm() / after.norm()), rel=1e-9)
        assert found[key].positions == expected.numel()


def test_statistics_hold_the_changes_of_calibration_data(task: FakeTask) -> None:
    module = classifier()
    blocks = find_blocks(module, (task.calibration.x[:1],)).blocks
    known = collect_statistics(module, task, {"blocks"}, limit=20, batch_size=7)
    direct = block_changes(module, blocks, [(task.calibration.x[:20],)])
    assert list(known.blocks) == [block.id for block in blocks]
    for key, change in known.blocks.items():
        assert change.influence == pytest.approx(direct[key].influence, rel=1e-5)
        assert change.relative == pytest.approx(direct[key].relative, rel=1e-5)


def test_wrong_arguments_are_named() -> None:
    module, inputs = build("Stages")
    blocks = find_blocks(module, inputs).blocks
    with pytest.raises(ValueError, match="cannot score a whole layer"):
        score_blocks(module, blocks, "taylor")
    with pytest.raises(ValueError, match=r"collect_statistics\(module, task, {'blocks'}\)"):
        score_blocks(module, blocks, "influence")
    with pytest.raises(ValueError, match="Cannot drop 4 of 3 blocks"):
        lowest(score_blocks(module, blocks, "l2"), 4)


def test_the_lowest_go_first_and_of_equal_ones_the_later() -> None:
    scores = {key: torch.tensor([value]) for key, value in {"a": 2.0, "b": 1.0, "c": 1.0, "d": 3.0}.items()}
    assert [lowest(scores, count) for count in range(5)] == [
        (),
        ("c",),
        ("b", "c"),
        ("a", "b", "c"),
        ("a", "b", "c", "d"),
    ]
    assert lowest({}, 0) == ()


def test_every_point_of_a_scan_is_what_a_plain_loop_finds(task: FakeTask) -> None:
    module = classifier()
    x = (task.validation.x[:1],)
    before = traces(module)
    walk = iter_scan(module, task, [0, 1], "layer", "influence")
    for _ in walk:
        assert traces(module) == before
    found = walk.scan()
    assert traces(module) == before
    assert found.complete
    assert found.keys == ("stages.0.0", "stages.0.2", "stages.1.1")
    blocks = find_blocks(module, x)
    losses = set()
    for point in found.points:
        assert (point.size, point.kept) == (1, int(point.ratio == 0))
        rules = {point.key: Rule(ratio=point.ratio, granularity="layer", criterion="influence")}
        plan = make_plan(module, Recipe(rules=rules), example_inputs=x, task=task)
        dropped = [blocks.block(point.key)] if point.ratio else []
        for pruned in (drop_blocks(module, dropped), shrink(module, plan, x)):
            report = evaluate(pruned, task)
            assert (point.accuracy, point.interval) == (report.accuracy, report.interval)
            assert point.loss == pytest.approx(report.loss, rel=1e-5)
        losses.add(round(report.loss, 6))
    assert len(losses) == 4  # the whole network, and each without one block
    assert set(found.prunable(100).values()) == {1.0}


def test_wrong_scans_are_refused(task: FakeTask) -> None:
    with pytest.raises(ValueError, match=r"A layer is kept \(0\) or dropped \(1\)"):
        scan_sensitivity(classifier(), task, [0.5, 1.0], "layer", "influence")
    with pytest.raises(ValueError, match="cannot score a layer"):
        scan_sensitivity(classifier(), task, [1.0], "layer", "taylor")
    plain = nn.Sequential(nn.Flatten(), nn.Linear(192, 3)).eval()
    with pytest.raises(ValueError, match="Nothing in this network can be pruned by layer"):
        scan_sensitivity(plain, task, [1.0], "layer", "influence")
