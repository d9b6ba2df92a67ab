"""Exact counts, ranking within and across keys, and sentences for what cannot be planned."""

import pytest
import torch
from fake_task import fake_task
from hypothesis import given
from hypothesis import strategies as st
from zoo import ZOO

from pruning.criteria import score_groups
from pruning.groups import find_structure
from pruning.models import MODELS, build_model
from pruning.plan import kept_count, make_plan, multiple_for, rounded_up
from pruning.recipe import Recipe, Rule

counts = st.integers(0, 3000)
ratios = st.floats(0, 1) | st.integers(0, 1000).map(lambda k: k / 1000)
multiples = st.integers(1, 64)
minima = st.integers(0, 10)


@given(counts, ratios, multiples, minima)
def test_a_count_is_in_range_at_least_the_minimum_and_a_multiple_if_it_fits(size, ratio, multiple, minimum):
    kept = kept_count(size, ratio, multiple, minimum)
    assert min(minimum, size) <= kept <= size
    assert kept == size or kept % multiple == 0
    plain = kept_count(size, ratio, 1, 0)
    assert kept >= plain
    assert kept == size or kept < max(plain, minimum) + multiple


@given(counts, ratios)
def test_without_rounding_the_ratio_is_what_was_asked(size, ratio):
    assert abs((size - kept_count(size, ratio, 1, 0)) - size * ratio) <= 0.5 + 1e-6


@given(counts, ratios, ratios, multiples, minima)
def test_a_higher_ratio_never_keeps_more(size, one, two, multiple, minimum):
    low, high = sorted((one, two))
    assert kept_count(size, high, multiple, minimum) <= kept_count(size, low, multiple, minimum)


@given(counts, multiples, minima)
def test_the_ends(size, multiple, minimum):
    assert kept_count(size, 0, multiple, minimum) == size
    assert kept_count(size, 1, 1, minimum) == min(size, minimum)


@given(st.integers(1, 400), st.data())
def test_a_whole_number_of_entries_is_removed_exactly(size, data):
    removed = data.draw(st.integers(0, size))
    assert kept_count(size, removed / size, 1, 0) == size - removed


@pytest.mark.parametrize(
    ("size", "ratio", "multiple", "minimum", "kept"),
    [
        (10, 0.7, 1, 1, 3),  # 0.7 * 10 is not quite 7 in floating point
        (10, 0.25, 1, 1, 8),  # half of an entry is kept
        (50, 0.07, 1, 1, 47),  # so is half of one that floating point makes a little more
        (10, 0.95, 1, 1, 1),
        (10, 1.0, 1, 1, 1),
        (10, 1.0, 1, 0, 0),
        (20, 0.5, 8, 1, 16),
        (20, 0.1, 8, 1, 20),
        (4, 0.9, 8, 1, 4),
        (64, 0.99, 8, 1, 8),
    ],
)
def test_counts_by_hand(size, ratio, multiple, minimum, kept):
    assert kept_count(size, ratio, multiple, minimum) == kept


@pytest.mark.parametrize(
    "wrong", [(-1, 0.5, 1, 1), (5, -0.1, 1, 1), (5, 1.1, 1, 1), (5, 0.5, 0, 1), (5, 0.5, 1, -1)]
)
def test_counts_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="Cannot count what stays"):
        kept_count(*wrong)


def test_rounding_up():
    assert [rounded_up(kept, 20, 8) for kept in (0, 8, 9, 17)] == [8, 8, 16, 20]


def plan_of(name, rules, **recipe):
    module, inputs = ZOO[name]()
    return make_plan(module, Recipe(rules=rules, **recipe), example_inputs=inputs)


def test_a_plan_says_what_it_does():
    plan = plan_of("Plain", {"body.0": Rule(ratio=0.5), "head.0": Rule(ratio=0.3, granularity="weight")})
    assert [(e.key, e.granularity, e.criterion, e.asked, e.size, e.kept, e.note) for e in plan.entries] == [
        ("body.0", "channel", "l2", 0.5, 8, 4, ""),
        ("head.0", "weight", "l2", 0.3, 960, 672, ""),
    ]
    assert list(plan.keep) == ["body.0", "head.0"]
    assert plan.keep["body.0"].shape == (8,)
    assert plan.keep["head.0"].shape == (10, 96)
    for entry in plan.entries:
        assert plan.keep[entry.key].dtype is torch.bool
        assert int(plan.keep[entry.key].sum()) == entry.kept
    assert set(plan.channels) == {"body.0"}
    assert set(plan.weights) == {"head.0"}


def test_the_best_units_stay():
    module, inputs = ZOO["Plain"]()
    structure = find_structure(module, inputs)
    scores = score_groups(module, structure.groups, "l1")
    plan = make_plan(
        module,
        Recipe(rules={"body.0": Rule(ratio=0.75, criterion="l1")}),
        example_inputs=inputs,
        structure=structure,
    )
    assert plan.keep["body.0"].nonzero().flatten().tolist() == sorted(
        scores["body.0"].topk(2).indices.tolist()
    )
    assert plan.structure is structure


def test_rounding_is_noted():
    plan = plan_of("Plain", {"body.0": Rule(ratio=0.6), "body.4": Rule(ratio=1.0)}, multiple_of=4)
    assert [(e.kept, e.note) for e in plan.entries] == [
        (4, "kept 4 instead of 3, rounded up to a multiple of 4"),
        (4, "kept 4 instead of 0, rounded up to a multiple of 4"),
    ]
    plan = plan_of("Plain", {"body.0": Rule(ratio=1.0)})
    assert [(e.kept, e.note) for e in plan.entries] == [(1, "at least 1 must stay")]


def test_heads_are_not_rounded_to_a_multiple():
    plan = plan_of("Transformer", {"separate.q": Rule(ratio=0.5), "fc1": Rule(ratio=0.5)}, multiple_of=8)
    assert [entry.kept for entry in plan.entries] == [2, 16]
    assert multiple_for(plan.structure.group("separate.q"), 8) == 1
    assert multiple_for(plan.structure.group("fc1"), 8) == 8


def test_weights_are_counted_in_what_the_channels_leave():
    rules = {
        "head.0": Rule(ratio=0.9, granularity="channel"),  # ten neurons, one stays
        "body.4": Rule(ratio=0.5),
        "head.2": Rule(ratio=0.5, granularity="weight", criterion="l1"),
    }
    plan = plan_of("Plain", rules)
    entry = plan.entries[2]
    assert (entry.size, entry.kept) == (4, 2)
    gone = ~plan.keep["head.0"]
    assert not plan.keep["head.2"][:, gone].any()
    order = plan_of("Plain", dict(reversed(rules.items())))
    assert all(torch.equal(order.keep[key], mask) for key, mask in plan.keep.items())


def test_global_scope_removes_as_many_in_total_and_ranks_all_together():
    scores = {
        "body.0": torch.tensor([1.0, 2, 3, 4, 5, 6, 7, 8]),
        "body.4": torch.tensor([10.0, 11, 12, 13, 14, 15]),
        "head.0": torch.full((10,), 5.0),
    }
    module, inputs = ZOO["Plain"]()
    rules = {key: Rule(ratio=0.5) for key in scores}
    plan = make_plan(module, Recipe(rules=rules, scope="global"), example_inputs=inputs, scores=scores)
    # Divided by the means 4.5, 12.5 and 5, the twelve lowest of all are those below 1 and two of the ties.
    assert plan.keep["body.0"].tolist() == [False] * 4 + [True] * 4
    assert plan.keep["body.4"].tolist() == [False] * 3 + [True] * 3
    assert plan.keep["head.0"].tolist() == [True] * 5 + [False] * 5
    assert all(entry.note == "ranked together with 2 others" for entry in plan.entries)


def test_global_scope_keeps_the_minimum_everywhere():
    scores = {"body.0": torch.zeros(8), "body.4": torch.arange(1.0, 7)}
    module, inputs = ZOO["Plain"]()
    rules = {key: Rule(ratio=0.5) for key in scores}
    recipe = Recipe(rules=rules, scope="global")
    plan = make_plan(module, recipe, example_inputs=inputs, scores=scores)
    assert [entry.kept for entry in plan.entries] == [1, 6]
    everything = Recipe(rules={key: Rule(ratio=1.0) for key in scores}, scope="global")
    plan = make_plan(module, everything, example_inputs=inputs, scores=scores)
    assert [entry.kept for entry in plan.entries] == [1, 1]
    assert "at least 1 must stay" in plan.entries[0].note


def test_global_scope_pools_by_criterion_and_compares_weights_as_they_are():
    module, inputs = ZOO["Plain"]()
    with torch.no_grad():
        module.head[0].weight.add_(10)
    rules = {
        "head.0": Rule(ratio=0.02, granularity="weight"),
        "head.2": Rule(ratio=0.5, granularity="weight"),
        "body.0": Rule(ratio=0.5, granularity="weight", criterion="l1"),
    }
    plan = make_plan(module, Recipe(rules=rules, scope="global"), example_inputs=inputs)
    kept = {entry.key: entry.kept for entry in plan.entries}
    assert kept["head.0"] + kept["head.2"] == 960 - 19 + 20
    assert kept["head.2"] == 1  # each asked for less, but the lowest 39 of both together are here
    assert kept["body.0"] == 108  # alone in its pool


def test_the_same_recipe_gives_the_same_plan_and_the_seed_counts():
    def random_keep(seed):
        return plan_of("Residual", {"stem": Rule(ratio=0.5, criterion="random")}, seed=seed).keep["stem"]

    assert torch.equal(random_keep(1), random_keep(1))
    assert any(not torch.equal(random_keep(1), random_keep(seed)) for seed in range(2, 6))


def test_calibration_data_is_asked_for_when_needed():
    module = build_model("digits-mlp")
    inputs = (torch.zeros(1, *MODELS["digits-mlp"].input_shape),)
    recipe = Recipe(rules={"hidden.fc1": Rule(ratio=0.5, criterion="taylor")})
    with pytest.raises(ValueError, match="'taylor' needs calibration data; give make_plan a task"):
        make_plan(module, recipe, example_inputs=inputs)
    plan = make_plan(module, recipe, example_inputs=inputs, task=fake_task((1, 8, 8)))
    assert plan.entries[0].kept == 150
    assert plan.model == "digits-mlp"


def test_given_scores_are_used_and_checked():
    module, inputs = ZOO["Plain"]()
    recipe = Recipe(rules={"body.0": Rule(ratio=0.5, criterion="taylor")})
    scores = {"body.0": torch.tensor([0.0, 1, 0, 1, 0, 1, 0, 1])}
    plan = make_plan(module, recipe, example_inputs=inputs, scores=scores)
    assert plan.keep["body.0"].tolist() == [False, True] * 4
    with pytest.raises(ValueError, match=r"scores of 'body.0' have shape \(3,\); expected is \(8,\)"):
        make_plan(module, recipe, example_inputs=inputs, scores={"body.0": torch.zeros(3)})


@pytest.mark.parametrize(
    ("name", "key", "granularity", "message"),
    [
        (
            "Plain",
            "nowhere",
            "channel",
            "names 'nowhere', but this network's groups are body.0, body.4",
        ),
        (
            "Plain",
            "head.2",
            "channel",
            "of 'head.2' cannot be removed: its outputs are the network's",
        ),
        ("Residual", "b", "channel", "channels of 'b' belong to the group 'stem'; use that id as the key"),
        ("Split", "wide:2", "weight", "'wide:2' is a group; granularity 'weight' needs the name"),
        ("Plain", "body.1", "weight", "'body.1' names no convolution or linear layer of this network"),
        ("Tied", "second", "weight", "weight of 'second' is shared with another layer"),
        ("Fixed", "unused", "weight", "Weights of 'unused' cannot be pruned: It was not called"),
    ],
)
def test_keys_that_cannot_be_pruned_are_refused_in_words(name, key, granularity, message):
    with pytest.raises(ValueError, match=message) as caught:
        plan_of(name, {key: Rule(ratio=0.5, granularity=granularity)})
    assert str(caught.value).count(".\n") == 0


def test_an_unknown_criterion_is_refused_in_words():
    with pytest.raises(ValueError, match="no criterion 'beauty'"):
        plan_of("Plain", {"body.0": Rule(ratio=0.5, criterion="beauty")})


def test_an_empty_recipe_is_an_empty_plan():
    plan = plan_of("Plain", {})
    assert not plan.entries
    assert not plan.keep
