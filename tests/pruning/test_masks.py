"""Ranking exactly, and zeros in a copy."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from zoo import ZOO, random_plan

from pruning.groups import find_structure
from pruning.masks import apply_masks, keep_by_rank
from pruning.plan import Plan, PlanEntry, make_plan
from pruning.recipe import Recipe, Rule

ranks = st.lists(st.integers(-3, 3), min_size=1, max_size=40)  # few values, so that there are many ties


@given(ranks, st.data())
def test_exactly_the_highest_stay_and_the_first_among_equals(values, data):
    kept = data.draw(st.integers(0, len(values)))
    keep = keep_by_rank(torch.tensor(values, dtype=torch.float32), kept)
    order = sorted(range(len(values)), key=lambda i: (-values[i], i))
    assert keep.nonzero().flatten().tolist() == sorted(order[:kept])


@given(ranks, st.data())
def test_keeping_fewer_keeps_a_part(values, data):
    scores = torch.tensor(values, dtype=torch.float32)
    many = data.draw(st.integers(0, len(values)))
    few = data.draw(st.integers(0, many))
    assert bool((keep_by_rank(scores, few) <= keep_by_rank(scores, many)).all())


def test_shape_infinities_and_whole_numbers():
    keep = keep_by_rank(torch.tensor([[1.0, math.inf], [-math.inf, 0.0]]), 2)
    assert keep.tolist() == [[True, True], [False, False]]
    assert keep_by_rank(torch.tensor([3, 1, 2]), 2).tolist() == [True, False, True]
    assert keep_by_rank(torch.zeros(0), 0).shape == (0,)


@pytest.mark.parametrize("kept", [-1, 4])
def test_impossible_counts_are_refused(kept):
    with pytest.raises(ValueError, match=f"Cannot keep {kept} of 3 entries"):
        keep_by_rank(torch.ones(3), kept)


def test_nan_is_refused():
    with pytest.raises(ValueError, match="A score is NaN"):
        keep_by_rank(torch.tensor([1.0, math.nan]), 1)


@pytest.mark.parametrize("name", ["Plain", "Depthwise", "Transformer", "OptionA", "Tied"])
def test_every_entry_of_removed_units_is_zero_and_nothing_else_changes(name):
    module, inputs = ZOO[name]()
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    objects = {key: id(tensor) for key, tensor in module.named_parameters()}
    structure = find_structure(module, inputs)
    plan = random_plan(structure, seed=3)
    masked = apply_masks(module, plan)
    expected = {key: tensor.clone() for key, tensor in before.items()}
    for group in structure.groups:
        for unit in (~plan.keep[group.id]).nonzero().flatten().tolist():
            for member in group.members:
                if not member.parameter.endswith("running_var"):
                    expected[member.parameter].index_fill_(member.dim, member.index[unit], 0)
    result = dict(masked.named_parameters()) | dict(masked.named_buffers())
    assert any(not torch.equal(expected[key], before[key]) for key in before)
    for key, tensor in result.items():
        assert torch.equal(tensor, expected[key]), key
    assert {key: id(tensor) for key, tensor in module.named_parameters()} == objects
    assert all(torch.equal(tensor, before[key]) for key, tensor in module.state_dict().items())
    assert type(masked) is type(module)
    assert masked is not module


def test_single_weights_are_masked_exactly():
    module, inputs = ZOO["Plain"]()
    recipe = Recipe(rules={"head.0": Rule(ratio=0.25, granularity="weight", criterion="l1")})
    plan = make_plan(module, recipe, example_inputs=inputs)
    weight, dense = apply_masks(module, plan).head[0].weight, module.head[0].weight
    assert int((weight == 0).sum()) == 240
    assert torch.equal(weight[plan.keep["head.0"]], dense[plan.keep["head.0"]])
    assert dense.abs()[plan.keep["head.0"]].min() >= dense.abs()[~plan.keep["head.0"]].max()


def test_a_plan_for_another_network_is_refused():
    module, inputs = ZOO["Residual"]()
    plan = random_plan(find_structure(module, inputs), seed=1)
    with pytest.raises(ValueError, match=r"made for another network: there 'stem\.weight' has shape"):
        apply_masks(ZOO["OptionA"]()[0], plan)


def test_a_plan_that_keeps_nothing_is_refused():
    module, inputs = ZOO["Residual"]()
    structure = find_structure(module, inputs)
    entry = PlanEntry("a", "channel", "l2", 1.0, 8, 0)
    with pytest.raises(ValueError, match="Group 'a' must keep at least 1 of its 8 units"):
        apply_masks(module, Plan({"a": torch.zeros(8, dtype=torch.bool)}, (entry,), structure))
