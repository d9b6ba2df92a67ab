"""Every granularity by every criterion: exact counts, the shape that its name promises, nested masks."""

import pytest
import torch
from fake_task import FakeTask, fake_task
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_networks import EXAMPLE, tiny, traces
from torch import Tensor, nn

from pruning.checkpoint import load_checkpoint, save_checkpoint
from pruning.cost import CostModel
from pruning.counts import kept_count
from pruning.criteria import CRITERIA, score_weights
from pruning.groups import find_structure
from pruning.layers import find_layers
from pruning.live import LiveEvaluator
from pruning.masks import apply_masks
from pruning.plan import Plan, make_plan
from pruning.recipe import Recipe, Rule
from pruning.sensitivity import scan_sensitivity
from pruning.shrink import shrink
from pruning.sparsity import FAMILIES, LayerScores, masks_weights, parse, scored_as
from pruning.sparsity.layout import as_matrix, from_matrix
from pruning.sparsity.n_of_m import read_spelled
from pruning.sparsity.pattern import library
from pruning.statistics import NEEDS, Statistics, collect_statistics

NAMES = [name for family in FAMILIES.values() for name in family.examples]
CRITERIA_OF_WEIGHTS = [name for name, entry in CRITERIA.items() if "weight" in entry.granularities]
RATIOS = (0.0, 0.1, 0.4, 0.5, 0.75, 1.0)
NETWORKS = ("plain", "residual", "grouped", "transformer")
ratios = st.floats(0, 1) | st.sampled_from([k / 16 for k in range(17)])


@pytest.fixture(scope="module")
def task() -> FakeTask:
    return fake_task()


@pytest.fixture(scope="module")
def known(task: FakeTask) -> dict[str, Statistics]:
    return {name: collect_statistics(tiny(name), task, NEEDS) for name in NETWORKS}


def fitting(module: nn.Module, granularity: str) -> list[str]:
    misfit = parse(granularity).misfit
    layers = find_layers(module, EXAMPLE)
    return [x.name for x in layers if x.prunable and not misfit(module.get_submodule(x.name))]


def plan_of(module: nn.Module, granularity: str, ratio: float, scope: str = "layer") -> Plan:
    rules = {key: Rule(ratio=ratio, granularity=granularity) for key in fitting(module, granularity)}
    return make_plan(module, Recipe(rules=rules, scope=scope), example_inputs=EXAMPLE)  # type: ignore[arg-type]


def check_shape(granularity: str, layer: nn.Module, ratio: float, mask: Tensor, left: Tensor) -> None:
    """What the name of a granularity promises of one mask, checked entry by entry, row by row."""
    assert not (mask & ~left).any()
    family = parse(granularity).family
    rows = as_matrix(layer, mask)
    closed = [row[there].tolist() for row, there in zip(rows, as_matrix(layer, left), strict=True)]
    closed = [row for row in closed if row]
    if family == "n:m":
        length = int(granularity.removeprefix("n:"))
        stay = kept_count(length, ratio, minimum=0)
        for row in closed:
            for run in (row[i : i + length] for i in range(0, len(row), length)):
                share = len(run) * stay / length
                assert sum(run) == (stay if len(run) == length else int(share + 0.5))
    elif family == "block":
        high, wide = map(int, granularity.split("x"))
        for top in range(0, len(closed), high):
            for side in range(0, max(map(len, closed)), wide):
                block = [entry for row in closed[top : top + high] for entry in row[side : side + wide]]
                assert len(set(block)) <= 1
    elif family == "pattern":
        kernels = mask.flatten(2)[left.flatten(2).any(2)].long()
        counts = set(kernels.sum(1).tolist())
        assert counts <= {0, 4} or counts == {kernels.shape[1]}
        if counts <= {0, 4}:
            patterns = kernels[kernels.sum(1) > 0].unique(dim=0)
            assert len(patterns) <= 8
            height, width = mask.shape[2:]
            assert patterns[:, height // 2 * width + width // 2].all()


@pytest.mark.parametrize("criterion", CRITERIA_OF_WEIGHTS)
@pytest.mark.parametrize("granularity", NAMES)
def test_every_granularity_keeps_the_contract_by_every_criterion(
    granularity: str, criterion: str, known: dict[str, Statistics]
) -> None:
    for name in NETWORKS:
        module = tiny(name)
        before, cutter = traces(module), parse(granularity).prepare(module)
        layers = {f"{x.name}.weight": x.name for x in find_layers(module, EXAMPLE)}
        scores = score_weights(module, find_layers(module, EXAMPLE), criterion, known[name])
        for key in fitting(module, granularity):
            layer, found = module.get_submodule(key), scores[f"{key}.weight"]
            assert layers[f"{key}.weight"] == key
            copy = found.clone()
            cut = cutter(LayerScores(layer, found))
            assert torch.equal(found, copy)
            smaller = torch.ones_like(found, dtype=torch.bool)
            for ratio in RATIOS:
                kept = cut.kept(ratio)
                mask = cut.mask(kept)
                assert int(mask.sum()) == kept
                assert not (mask & ~smaller).any()  # nested: a higher ratio only takes more
                check_shape(granularity, layer, ratio, mask, torch.ones_like(mask))
                assert torch.equal(mask, cutter(LayerScores(layer, found)).mask(kept))
                smaller = mask
            assert (cut.kept(0.0), cut.kept(1.0)) == (cut.size, 0) == (found.numel(), 0)
        assert traces(module) == before


@st.composite
def layers(draw: st.DrawFn) -> tuple[nn.Module, Tensor]:
    """A layer of odd shape, and what channels left of it."""
    kernel = draw(st.sampled_from([(1, 1), (3, 3), (3, 5), (4, 3)]))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    inputs, outputs = (groups * draw(st.integers(1, 7)) for _ in range(2))
    make = draw(st.sampled_from([nn.Linear, nn.Conv2d, nn.ConvTranspose2d]))
    if make is nn.Linear:
        layer: nn.Module = nn.Linear(inputs, outputs)
    else:
        layer = make(inputs, outputs, kernel, groups=groups)
    weight = layer.weight
    left = torch.ones(weight.shape, dtype=torch.bool)
    for dim in (0, 1) if groups == 1 else ():
        gone = draw(st.sets(st.integers(0, weight.shape[dim] - 1), max_size=weight.shape[dim] - 1))
        left.index_fill_(dim, torch.tensor(sorted(gone), dtype=torch.long), False)
    return layer, left


@settings(max_examples=150, deadline=None)
@given(
    layers(),
    st.sampled_from(["weight", "n:2", "n:4", "n:7", "n:64", "1x1", "4x1", "2x3", "256x256", "pattern"]),
    ratios,
    st.booleans(),
)
def test_any_shape_and_any_rest_of_it_is_cut_exactly(
    drawn: tuple[nn.Module, Tensor], granularity: str, ratio: float, ties: bool
) -> None:
    layer, left = drawn
    sparsity = parse(granularity)
    if sparsity.misfit(layer):
        return
    scores = layer.weight.detach().abs()
    scores = torch.ones_like(scores) if ties else scores
    cut = sparsity.prepare(layer)(LayerScores(layer, scores, left))
    kept = cut.kept(ratio)
    mask = cut.mask(kept)
    assert cut.size == int(left.sum())
    assert int(mask.sum()) == kept
    check_shape(granularity, layer, ratio, mask, left)
    if cut.stops is not None:
        assert kept in cut.stops.kept.tolist()
        assert kept == int(cut.stops.kept[cut.stops.nearest(ratio)])
        assert cut.stops.ratios.diff().gt(0).all()
    if sparsity.family in ("block", "pattern"):  # the nearest count of those that are possible
        assert cut.stops is not None
        distance = (cut.stops.kept.double() - cut.size * (1 - ratio)).abs()
        assert abs(kept - cut.size * (1 - ratio)) <= distance.min() + 1e-6


@given(st.integers(2, 64), ratios)
def test_the_ratio_chooses_n_as_it_chooses_any_count(length: int, ratio: float) -> None:
    layer = nn.Linear(length, 1)
    cut = parse(f"n:{length}").prepare(layer)(LayerScores(layer, layer.weight.detach().abs()))
    assert cut.kept(ratio) == kept_count(length, ratio, minimum=0)
    assert parse(f"n:{length}").spell(ratio) == f"{cut.kept(ratio)}:{length}"


def test_the_largest_of_each_four_stay() -> None:
    layer = nn.Linear(6, 2)
    scores = torch.tensor([[4.0, 3, 2, 1, 5, 6], [1, 9, 1, 8, 6, 5]])
    cut = parse("n:4").prepare(layer)(LayerScores(layer, scores))
    mask = cut.mask(cut.kept(0.5))
    assert mask.long().tolist() == [[1, 1, 0, 0, 0, 1], [0, 1, 0, 1, 1, 0]]


def test_runs_close_up_over_channels_that_go() -> None:
    layer = nn.Linear(6, 1)
    left = torch.tensor([[True, False, True, True, False, True]])
    scores = torch.tensor([[1.0, 9, 2, 3, 9, 4]])
    cut = parse("n:4").prepare(layer)(LayerScores(layer, scores, left))
    assert cut.mask(cut.kept(0.5)).long().tolist() == [[0, 0, 0, 1, 0, 1]]


def test_blocks_rank_by_their_mean_and_border_blocks_count_what_they_hold() -> None:
    layer = nn.Linear(5, 2)
    scores = torch.tensor([[1.0, 1, 5, 5, 4], [1, 1, 5, 5, 4]])
    cut = parse("2x2").prepare(layer)(LayerScores(layer, scores))
    assert cut.mask(6).long().tolist() == [[0, 0, 1, 1, 1]] * 2
    assert [cut.kept(ratio) for ratio in (0.1, 0.3, 0.5, 0.7, 0.9)] == [10, 6, 6, 4, 0]


@pytest.mark.parametrize("make", [nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d])
def test_the_matrix_is_the_one_that_multiplies_the_input(make: type[nn.Module]) -> None:
    """A unit at one entry of a row reaches that row's output only."""
    grouped = {"groups": 2} if make is not nn.Linear else {}
    layer = make(4, 6, *([3] if grouped else []), **grouped)
    matrix = as_matrix(layer, layer.weight.detach())
    assert len(matrix) == 6
    assert torch.equal(from_matrix(layer, matrix, tuple(layer.weight.shape)), layer.weight)
    with torch.no_grad():
        for row in range(6):
            only = torch.zeros_like(matrix)
            only[row] = 1
            layer.weight.copy_(from_matrix(layer, only, tuple(layer.weight.shape)))
            layer.bias.zero_()
            x = torch.ones(1, 4, *[4] * (layer.weight.dim() - 2))
            reached = layer(x).flatten(2).ne(0).any(2) if grouped else layer(x).ne(0)
            assert reached[0].nonzero().flatten().tolist() == [row]


def test_the_library_is_the_most_frequent_shapes_of_the_networks_kernels() -> None:
    layer = nn.Conv2d(1, 10, 3)
    with torch.no_grad():
        layer.weight.zero_()
        for i in range(10):
            places = [0, 1, 3] if i < 6 else [8, 7, 5]
            layer.weight.view(10, 9)[i, places] = torch.tensor([3.0, 2, 1])
    patterns = library(layer, (3, 3))
    assert patterns.long().tolist() == [[1, 1, 0, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 0, 1, 1]]
    cut = parse("pattern").prepare(layer)(LayerScores(layer, layer.weight.detach().abs()))
    assert [cut.kept(ratio) for ratio in (0.27, 0.28, 0.5, 5 / 9, 0.6, 0.96)] == [90, 40, 40, 40, 36, 4]
    assert torch.equal(cut.mask(40).view(10, 9)[[0, 9]], patterns)


def test_a_plan_says_what_was_asked_and_why_it_got_something_else() -> None:
    module = tiny("plain")
    notes = {entry.key: entry for entry in plan_of(module, "4x1", 0.5).entries}
    assert notes["conv1"].note == "asked 50.0 %, got 48.1 %, because blocks of 4x1 go as a whole"
    assert plan_of(module, "n:4", 0.4).entries[-1].note == (
        "asked 40.0 %, got 50.0 %, because of every 4 weights in a row a whole number stays"
    )
    assert plan_of(module, "n:4", 0.5).entries[-1].note == ""
    assert plan_of(module, "n:4", 0.5).entries[-1].spelled == "2:4"
    assert "whole" not in plan_of(module, "weight", 0.123).entries[0].note
    whole = plan_of(module, "n:4", 0.5, scope="global").entries[-1]
    assert whole.note == "ranked within this layer, because N:M keeps the same number in every run"
    assert whole.kept == whole.size // 2


def test_global_scope_ranks_blocks_of_all_layers_together() -> None:
    module = tiny("transformer")
    keys = fitting(module, "4x1")
    with torch.no_grad():
        module.get_submodule("fc1").weight.mul_(1e-3)  # every block of it goes first
    plan = plan_of(module, "4x1", 0.3, scope="global")
    kept = {entry.key: entry.kept for entry in plan.entries}
    sizes = {entry.key: entry.size for entry in plan.entries}
    assert kept["fc1"] == 0
    assert abs(sum(kept.values()) - 0.7 * sum(sizes.values())) <= 4
    assert all(int(plan.weights[key].sum()) == kept[key] for key in keys)
    scores = {key: module.get_submodule(key).weight.detach().abs() for key in keys}
    means = {
        key: as_matrix(module.get_submodule(key), score).unfold(0, 4, 4).mean(-1)
        for key, score in scores.items()
        if len(as_matrix(module.get_submodule(key), score)) % 4 == 0
    }
    stays = {key: as_matrix(module.get_submodule(key), plan.weights[key])[::4] for key in means}
    lowest = min(means[key][stays[key]].min() for key in means if stays[key].any())
    assert all((means[key][~stays[key]] <= lowest).all() for key in means)


@pytest.mark.parametrize("granularity", NAMES)
@pytest.mark.parametrize("name", ["plain", "residual"])
def test_all_that_reads_a_plan_agrees(name: str, granularity: str, tmp_path, task: FakeTask) -> None:
    """Combined with channels: masks, the smaller network, cost, both forms of a file, live measurement."""
    module = tiny(name)
    structure = find_structure(module, EXAMPLE)
    rules = {structure.groups[0].id: Rule(ratio=0.5)}
    rules |= {key: Rule(ratio=0.75, granularity=granularity) for key in fitting(module, granularity)}
    recipe = Recipe(rules=rules)
    plan = make_plan(module, recipe, example_inputs=EXAMPLE, structure=structure)
    small = shrink(module, plan, EXAMPLE)
    nonzero = {entry.key: entry.kept for entry in plan.entries if masks_weights(entry.granularity)}
    for key, kept in nonzero.items():
        layer = small.get_submodule(key)
        mask = layer.weight != 0
        assert int(mask.sum()) == kept
        check_shape(granularity, layer, 0.75, mask, torch.ones_like(mask))
    channels = {key: int(keep.sum()) for key, keep in plan.channels.items()}
    cost = CostModel(module, EXAMPLE, structure).cost(channels, nonzero)
    zeros = sum(small.get_submodule(key).weight.numel() - kept for key, kept in nonzero.items())
    assert cost.nonzero == sum(p.numel() for p in small.parameters()) - zeros
    x = task.validation.x[:4]
    for form in ("dense", "sparse"):
        file = save_checkpoint(tmp_path / f"{form}.safetensors", small, plan, recipe, form=form)
        again = load_checkpoint(file, module=tiny(name))
        assert torch.equal(again.module(x), small(x))
    *_, report = LiveEvaluator(module, task, EXAMPLE, structure=structure).reports(recipe)
    assert torch.equal(report.predictions, small(task.validation.x).argmax(1))
    assert torch.allclose(apply_masks(module, plan)(x), small(x), atol=1e-5)


@pytest.mark.parametrize("granularity", [name for name in NAMES if name != "weight"])
def test_a_scan_counts_as_a_plan_does(granularity: str, task: FakeTask) -> None:
    module = tiny("plain")
    found = scan_sensitivity(module, task, (0.3, 0.6), granularity, limit=8)
    assert list(found.keys) == fitting(module, granularity)
    assert found.granularity == granularity
    for ratio in (0.3, 0.6):
        planned = {entry.key: entry.kept for entry in plan_of(module, granularity, ratio).entries}
        assert {p.key: p.kept for p in found.points if p.ratio == ratio} == planned
    assert type(found).from_json(found.to_json()) == found


@pytest.mark.parametrize(
    "name", ["", "n:1", "n:65", "n:04", "n:x", "0x1", "257x1", "1x", "1X1", "patterns", "2:4", "nan", "n:4\n"]
)
def test_a_wrong_name_is_one_sentence(name: str) -> None:
    assert not masks_weights(name)
    assert scored_as(name) == name
    with pytest.raises(ValueError, match="There is no granularity") as caught:
        parse(name)
    assert "\n" not in str(caught.value).replace("\\n", "")


@given(st.text(max_size=12))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    assert masks_weights(text) == any(family.read(text) for family in FAMILIES.values())
    if masks_weights(text):
        assert parse(text).name == text


@pytest.mark.parametrize(
    ("text", "rule"), [("2:4", ("n:4", 0.5)), ("1:4", ("n:4", 0.75)), ("6:8", ("n:8", 0.25))]
)
def test_the_common_spelling_is_a_rule(text: str, rule: tuple[str, float]) -> None:
    assert read_spelled(text) == rule
    for made in (Rule(granularity=text, ratio=rule[1]), Rule.model_validate({"granularity": text})):
        assert (made.granularity, made.ratio) == rule
    recipe = Recipe(rules={"fc": Rule(granularity=text, ratio=rule[1])})
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert '"n:' in recipe.to_json()


@pytest.mark.parametrize("ratio", ["0.4", "NaN", '"0.5"', "null"])
def test_a_spelling_that_its_ratio_contradicts_is_refused(ratio: str) -> None:
    with pytest.raises(ValueError, match=r"'2:4' means ratio 0\.5, not .*; leave one of them out\.$"):
        Recipe.from_json(f'{{"rules": {{"fc": {{"ratio": {ratio}, "granularity": "2:4"}}}}}}')
    with pytest.raises(ValueError, match="is no N:M"):
        Recipe.from_json('{"rules": {"fc": {"ratio": 0.4, "granularity": "5:4"}}}')


def test_a_layer_without_kernels_is_refused_in_one_sentence() -> None:
    module = tiny("residual")
    for key, why in (("head", "it is no 2-d convolution"), ("expand", "its kernels are 1x1")):
        recipe = Recipe(rules={key: Rule(ratio=0.5, granularity="pattern")})
        with pytest.raises(ValueError, match=f"^{key!r} cannot be pruned by 'pattern': {why}, and .*3x3;"):
            make_plan(module, recipe, example_inputs=EXAMPLE)
