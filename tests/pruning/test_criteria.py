import copy
from collections.abc import Sequence

import pytest
import torch
from block_nets import build
from fake_task import FakeTask, fake_task
from tiny_networks import EXAMPLE, NETWORKS, tiny, traces
from torch import Tensor, nn
from torch.nn import functional as F
from zoo import BASIC, ZOO

from pruning.blocks import find_blocks
from pruning.criteria import CRITERIA, across_groups, score_blocks, score_groups, score_weights, unscorable
from pruning.criteria.magnitude import l1_norm, l2_norm, lamp
from pruning.criteria.structure import distance_sum
from pruning.criteria.views import spread_input_norm, take_units
from pruning.groups import Group, Member, find_groups
from pruning.layers import find_layers
from pruning.statistics import NEEDS, Statistics, collect_statistics

CASES = [
    (criterion, granularity)
    for criterion, entry in CRITERIA.items()
    for granularity in sorted(entry.granularities - {"layer"})  # these: see blocks/test_blocks_score.py
]


@pytest.fixture(scope="module")
def task() -> FakeTask:
    return fake_task()


@pytest.fixture(scope="module")
def known(task: FakeTask) -> dict[str, Statistics]:
    """Statistics of every tiny network."""
    return {name: collect_statistics(tiny(name), task, NEEDS) for name in NETWORKS}


def scores_of(
    name: str, criterion: str, granularity: str, known: dict[str, Statistics], seed: int = 0
) -> tuple[nn.Module, dict[str, Tensor]]:
    module = tiny(name)
    if granularity == "weight":
        layers = find_layers(module, EXAMPLE)
        return module, score_weights(module, layers, criterion, known[name], seed)
    groups = scorable(module, find_groups(module, EXAMPLE), criterion)
    return module, score_groups(module, groups, criterion, known[name], seed)


def scorable(module: nn.Module, groups: Sequence[Group], criterion: str) -> list[Group]:
    cannot = unscorable(module, groups, criterion)
    return [group for group in groups if group.id not in cannot]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("criterion", "granularity"), CASES)
def test_every_criterion_keeps_the_contract(
    name: str, criterion: str, granularity: str, known: dict[str, Statistics]
) -> None:
    before = traces(tiny(name))
    module, scores = scores_of(name, criterion, granularity, known)
    assert traces(module) == before
    if granularity == "weight":
        shapes = {f"{n}.weight": module.get_parameter(f"{n}.weight").shape for n in prunable(name)}
    else:
        groups = scorable(module, find_groups(module, EXAMPLE), criterion)
        shapes = {group.id: torch.Size([group.size]) for group in groups}
    assert {key: score.shape for key, score in scores.items()} == shapes
    _, again = scores_of(name, criterion, granularity, known)
    for key, score in scores.items():
        assert score.dtype == torch.float32
        assert torch.isfinite(score).all()
        assert (score >= 0).all()
        assert len(score.unique()) > 1 or len(score) == 2  # two units are equally far from each other
        assert torch.equal(score, again[key])


def prunable(name: str) -> list[str]:
    return [layer.name for layer in find_layers(tiny(name), EXAMPLE) if layer.prunable]


@pytest.mark.parametrize("name", BASIC)
@pytest.mark.parametrize("criterion", [name for name, entry in CRITERIA.items() if not entry.needs])
def test_criteria_without_data_score_the_whole_zoo(name: str, criterion: str) -> None:
    module, inputs = ZOO[name]()
    groups = find_groups(module, inputs)
    scores = score_groups(module, scorable(module, groups, criterion), criterion)
    sizes = {group.id: group.size for group in groups}
    assert all(score.shape == (sizes[key],) and torch.isfinite(score).all() for key, score in scores.items())


@pytest.mark.parametrize("entry", CRITERIA.values(), ids=list(CRITERIA))
def test_every_criterion_says_what_it_is(entry) -> None:
    assert CRITERIA[entry.name] is entry
    assert entry.label
    assert len(entry.description) > 80
    assert entry.description.endswith(".")
    assert "arXiv:" in entry.source
    assert entry.needs <= NEEDS
    assert entry.granularities <= {"weight", "channel", "layer"}
    assert entry.granularities


def hand_made() -> tuple[nn.Module, Group]:
    """Three units of two producer rows each, read by a linear layer in scattered columns."""
    module = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 2))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[3.0, 4], [0, 0], [-1, 1], [1, -1], [2, 0], [0, 2]]))
        module[2].weight.copy_(torch.arange(12.0).view(2, 6))
    pairs = torch.tensor([[0, 1], [2, 3], [4, 5]])
    members = (
        Member("0.weight", 0, "producer", pairs),
        Member("0.bias", 0, "producer", pairs),
        Member("2.weight", 1, "consumer", torch.tensor([[5, 0], [1, 2], [3, 4]])),
    )
    return module, Group("0", 3, "neuron", members, "made by hand")


def test_norms_sum_over_all_rows_of_a_unit_and_leave_the_bias_out() -> None:
    module, group = hand_made()
    assert score_groups(module, [group], "l1")["0"].tolist() == [7, 4, 4]
    assert score_groups(module, [group], "l2")["0"].tolist() == pytest.approx([5, 2, 8**0.5])


def test_norms_sum_over_all_producers_of_a_residual_group() -> None:
    module = tiny("residual")
    group = next(g for g in find_groups(module, EXAMPLE) if "project" in g.producers)
    assert set(group.producers) == {"stem", "project"}
    rows = torch.cat([module.stem.weight.flatten(1), module.project.weight.flatten(1)], dim=1)
    scores = {name: score_groups(module, [group], name)[group.id] for name in ("l1", "l2", "fpgm")}
    torch.testing.assert_close(scores["l1"], rows.abs().sum(1).detach())
    torch.testing.assert_close(scores["l2"], rows.norm(dim=1).detach())
    expected = torch.stack([(rows - row).norm(dim=1).sum() for row in rows]).detach()
    torch.testing.assert_close(scores["fpgm"], expected)


def test_a_head_is_scored_by_its_rows_of_the_fused_projection() -> None:
    module = tiny("transformer")
    group = next(g for g in find_groups(module, EXAMPLE) if g.kind == "head")
    weight = module.attention.qkv.weight.detach().reshape(3, 2, 4, 8)  # query, key, value; head; entry; in
    torch.testing.assert_close(
        score_groups(module, [group], "l1")[group.id], weight.abs().sum((0, 2, 3)).float()
    )


def test_take_units_along_any_dimension() -> None:
    tensor = torch.arange(24.0).reshape(2, 3, 4)
    units = take_units(tensor, 1, torch.tensor([[2], [0]]))
    assert units.tolist() == [tensor[:, 2].flatten().tolist(), tensor[:, 0].flatten().tolist()]


def test_lamp_by_the_formula_of_the_paper() -> None:
    squares = torch.tensor([[4.0, 1.0], [3.0, 2.0]])
    torch.testing.assert_close(lamp(squares), torch.tensor([[1.0, 0.1], [3 / 7, 2 / 9]]))
    assert lamp(torch.zeros(3)).tolist() == [0, 0, 0]
    ties = lamp(torch.ones(4, dtype=torch.float64))
    assert ties.tolist() == pytest.approx([1 / 4, 1 / 3, 1 / 2, 1])
    weight = tiny("plain").conv2.weight.detach()
    assert torch.equal(lamp(weight.square()).flatten().argsort(), weight.abs().flatten().argsort())


def test_geometric_median_gives_twins_the_same_score_and_the_outlier_the_highest() -> None:
    points = torch.tensor([[0.0, 0], [0, 1], [0, 1], [9, 9]], dtype=torch.float64)
    scores = distance_sum([points[:, :1], points[:, 1:]])
    assert scores[1] == scores[2] == scores.min()
    assert scores.argmax() == 3
    assert distance_sum([torch.ones(3, 5)]).tolist() == [0, 0, 0]


def test_batch_norm_scale_sums_absolute_scales() -> None:
    module = tiny("residual")
    with torch.no_grad():
        module.norm1.weight.neg_()
    group = next(g for g in find_groups(module, EXAMPLE) if "expand" in g.producers)
    expected = module.norm1.weight.abs() + module.norm2.weight.abs()
    torch.testing.assert_close(score_groups(module, [group], "bn_scale")[group.id], expected.detach())


def test_groups_without_batch_norm_are_named_before_and_when_they_are_scored() -> None:
    module = tiny("transformer")
    groups = find_groups(module, EXAMPLE)
    reasons = unscorable(module, groups, "bn_scale")
    assert set(reasons) == {group.id for group in groups}
    assert reasons["fc1"] == (
        "BatchNorm scale cannot score the group 'fc1', because no BatchNorm with a scale acts on its"
        " channels; choose another criterion for it."
    )
    with pytest.raises(ValueError, match="cannot score the group 'fc1'"):
        score_groups(module, [g for g in groups if g.id == "fc1"], "bn_scale")
    assert unscorable(module, groups, "l2") == {}


@pytest.mark.parametrize(
    ("name", "consumers"), [("plain", {"conv1": ["conv2"]}), ("transformer", {"fc1": ["fc2"]})]
)
def test_taylor_predicts_what_a_gate_on_the_channel_does_to_the_loss(
    name: str, consumers: dict[str, list[str]], task: FakeTask
) -> None:
    module = tiny(name).double()
    batches = [(x.double(), y) for x, y in task.calibration.batches(25)]
    statistics = collect_statistics(tiny(name), task, {"gradients"}, batch_size=25)
    for group in (g for g in find_groups(tiny(name), EXAMPLE) if g.id in consumers):
        score = score_groups(tiny(name), [group], "taylor", statistics)[group.id]
        for unit in range(group.size):
            slopes = [
                (
                    gated_loss(module, consumers[group.id], unit, 1e-5, x, y)
                    - gated_loss(module, [], 0, 0, x, y)
                )
                / 1e-5
                for x, y in batches
            ]
            assert score[unit] == pytest.approx(sum(s**2 for s in slopes) / 2, rel=1e-2, abs=1e-9)


def gated_loss(module: nn.Module, layers: list[str], unit: int, closed: float, x: Tensor, y: Tensor) -> float:
    """The loss when these layers see one of their inputs a little weaker."""
    gated = copy.deepcopy(module)
    with torch.no_grad():
        for layer in layers:
            gated.get_submodule(layer).weight[:, unit] *= 1 - closed
        return float(F.cross_entropy(gated(x), y))


def test_taylor_of_single_weights(known: dict[str, Statistics]) -> None:
    module, scores = scores_of("plain", "taylor", "weight", known)
    expected = module.conv2.weight.square() * known["plain"].gradient_squares["conv2.weight"]
    torch.testing.assert_close(scores["conv2.weight"], expected.detach())


def test_wanda_weights_each_column_by_its_input(known: dict[str, Statistics]) -> None:
    module, scores = scores_of("grouped", "wanda", "weight", known)
    norm = known["grouped"].input_norm
    expected = module.head.weight.detach().abs() * norm["head"]
    torch.testing.assert_close(scores["head.weight"], expected)
    grouped = module.grouped.weight.detach().abs()  # (4, 3, 3, 3): two outputs for each three inputs
    expected = torch.cat(
        [grouped[:2] * norm["grouped"][:3, None, None], grouped[2:] * norm["grouped"][3:, None, None]]
    )
    torch.testing.assert_close(scores["grouped.weight"], expected)
    expected = module.up.weight.detach().abs() * norm["up"][:, None, None, None]
    torch.testing.assert_close(scores["up.weight"], expected)


def test_wanda_scores_a_channel_by_what_its_readers_lose(known: dict[str, Statistics]) -> None:
    module, scores = scores_of("plain", "wanda", "channel", known)
    norm = known["plain"].input_norm
    expected = module.conv2.weight.detach().square().sum((0, 2, 3)).sqrt() * norm["conv2"]
    torch.testing.assert_close(scores["conv1"], expected)
    columns = (module.head.weight.detach() * norm["head"]).reshape(3, 8, 4)  # each channel feeds four
    torch.testing.assert_close(scores["conv2"], columns.square().sum((0, 2)).sqrt())


def test_conductance_sums_over_the_layers_that_make_a_channel(known: dict[str, Statistics]) -> None:
    _, scores = scores_of("residual", "conductance", "channel", known)
    flow = known["residual"].conductance
    torch.testing.assert_close(scores["expand"], flow["expand"] + flow["depthwise"])


def test_random_depends_on_the_seed_and_the_name_only() -> None:
    module = tiny("residual")
    groups = find_groups(module, EXAMPLE)
    together = score_groups(module, groups, "random", seed=3)
    for group in reversed(groups):
        assert torch.equal(score_groups(module, [group], "random", seed=3)[group.id], together[group.id])
        assert not torch.equal(score_groups(module, [group], "random", seed=4)[group.id], together[group.id])
    alike = score_weights(tiny("tied"), find_layers(tiny("tied"), EXAMPLE), "random")
    assert not torch.equal(alike["first.weight"].flatten()[:30], alike["head.weight"].flatten())
    state = torch.get_rng_state()
    score_groups(module, groups, "random")
    assert torch.equal(torch.get_rng_state(), state)


def test_what_lacks_statistics_is_told_which() -> None:
    module = tiny("plain")
    groups, layers = find_groups(module, EXAMPLE), find_layers(module, EXAMPLE)
    network, inputs = build("Droppable")
    blocks = find_blocks(network, inputs).blocks

    def score_parts(name: str, statistics: Statistics | None) -> None:
        if CRITERIA[name].units is None:
            score_blocks(network, blocks, name, statistics)
        else:
            score_groups(module, groups, name, statistics)

    for name, entry in CRITERIA.items():
        for need in entry.needs:
            for nothing in (None, Statistics(samples=0)):
                with pytest.raises(ValueError, match=rf"collect_statistics\(module, task, {{'{need}'}}\)"):
                    score_parts(name, nothing)
    other = Statistics(samples=1, input_norm={"elsewhere": torch.ones(3)})
    with pytest.raises(ValueError, match="no statistics of 'conv1'"):
        score_weights(module, layers, "wanda", other)
    wrong = Statistics(samples=1, input_norm={"conv1": torch.ones(5)})
    with pytest.raises(ValueError, match="5 input norms for a layer with 1 inputs"):
        score_weights(module, layers, "wanda", wrong)


def test_wrong_names_and_granularities_are_refused_in_a_sentence() -> None:
    module = tiny("plain")
    with pytest.raises(ValueError, match="There is no criterion 'l3'; choose one of l1, l2"):
        score_groups(module, [], "l3")
    with pytest.raises(ValueError, match="scores whole channels only"):
        score_weights(module, [], "fpgm")


def test_weights_that_are_not_finite_are_refused() -> None:
    module = tiny("plain")
    with torch.no_grad():
        module.conv1.weight[0] = torch.nan
    with pytest.raises(ValueError, match="scores of 'conv1' that are not finite"):
        score_weights(module, find_layers(module, EXAMPLE), "l1")


def test_large_weights_do_not_overflow() -> None:
    large = torch.full((2, 3), 1e25)
    assert l2_norm([large.double()]).tolist() == pytest.approx([3**0.5 * 1e25] * 2)
    assert l1_norm([large.double(), large.double()]).tolist() == pytest.approx([6e25] * 2)


def test_input_norms_spread_over_every_kind_of_weight() -> None:
    linear = nn.Linear(3, 2)
    assert spread_input_norm(linear, torch.tensor([1.0, 2, 3])).tolist() == [[1, 2, 3], [1, 2, 3]]
    depthwise = nn.Conv1d(2, 4, 1, groups=2)  # two filters for each channel
    assert spread_input_norm(depthwise, torch.tensor([1.0, 2])).flatten().tolist() == [1, 1, 2, 2]


def test_scores_are_made_comparable_across_groups_where_they_are_not() -> None:
    scores = {"small": torch.tensor([1.0, 3]), "large": torch.tensor([100.0, 300]), "dead": torch.zeros(2)}
    shared = across_groups(scores, "l2")
    assert {key: values.tolist() for key, values in shared.items()} == {
        "small": [0.5, 1.5],
        "large": [0.5, 1.5],
        "dead": [0, 0],
    }
    for criterion in ("lamp", "taylor", "conductance", "bn_scale"):
        assert across_groups(scores, criterion) == scores
