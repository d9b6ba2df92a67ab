"""What was asked and what came of it: the parts add up to the whole, and the numbers are the network's."""

from __future__ import annotations

import pytest
from zoo import ZOO

from pruning import CostModel, Recipe, Rule, load_model, make_plan
from pruning.blocks import find_blocks
from pruning.groups import find_structure
from pruning.outcome import outcome


@pytest.fixture(scope="module")
def mlp():
    return parts("digits-mlp")


def parts(name):
    loaded = load_model(name)
    structure = find_structure(loaded.module, loaded.example_inputs)
    return loaded, structure, CostModel(loaded.module, loaded.example_inputs, structure)


def found(net, rules, **options):
    loaded, structure, costs = net
    recipe = Recipe(rules=rules, **options)
    plan = make_plan(loaded.module, recipe, example_inputs=loaded.example_inputs, structure=structure)
    return outcome(plan, costs)


def test_nothing_asked_is_no_outcome(mlp):
    assert found(mlp, {}) is None
    assert found(mlp, {"hidden.fc1": Rule(ratio=0.0)}) is None


def test_channels_of_a_perceptron_by_hand_count(mlp):
    """64 x 300 + 300, 300 x 100 + 100, 100 x 10 + 10: 50,610 parameters."""
    got = found(mlp, {"hidden.fc1": Rule(ratio=0.5), "hidden.fc2": Rule(ratio=0.5)})
    left = 64 * 150 + 150 + 150 * 50 + 50 + 50 * 10 + 10
    assert got.differs
    assert (got.rows, got.size, got.asked, got.got) == (2, 400, 0.5, 0.5)
    assert got.parameters == pytest.approx(1 - left / 50_610)
    both = 300 * 100 / 50_610  # weights between the two
    assert f"{100 * both:.1f} % of the parameters" in got.sentence
    assert "shrink on both sides and fall by 75.0 %" in got.sentence
    assert got.sentence.startswith("Asked 50.0 % of 400 units in 2 rows, got 64.8 % of all parameters and ")


def test_one_row_alone_leaves_the_rest_whole(mlp):
    got = found(mlp, {"hidden.fc2": Rule(ratio=0.5)})
    assert got.parameters == pytest.approx((300 * 50 + 50 + 50 * 10) / 50_610)
    assert "follow no pruned row (rows that keep all their units)" in got.sentence


def test_rounding_minima_and_multiples_are_named(mlp):
    assert (
        "multiples keep 6 units more in 1 row"
        in found(mlp, {"hidden.fc2": Rule(ratio=0.1)}, multiple_of=32).sentence
    )
    assert "at least 1 unit must stay in 2 rows" in " ".join(
        found(mlp, dict.fromkeys(["hidden.fc1", "hidden.fc2"], Rule(ratio=1.0))).reasons
    )
    fine = found(mlp, {"hidden.fc2": Rule(ratio=0.504)})
    assert "whole units keep 0.4 more than the ratios say" in fine.reasons
    shared = dict.fromkeys(["hidden.fc1", "hidden.fc2"], Rule(ratio=0.3))
    assert any(
        "multiples and minima keep" in r for r in found(mlp, shared, scope="global", multiple_of=64).reasons
    )


def test_masks_say_what_no_row_reaches_and_that_zeros_are_multiplied(mlp):
    got = found(mlp, {"hidden.fc1": Rule(ratio=0.5, granularity="weight")})
    assert (got.unit, got.size, got.macs) == ("weights", 64 * 300, 0.0)
    assert got.parameters == pytest.approx(9_600 / 50_610)
    assert f"{100 * (1 - 19_200 / 50_610):.1f} % of the parameters are outside" in got.sentence
    assert "zeros in place are still multiplied" in got.sentence


def test_a_transformer_names_what_its_residual_stream_holds():
    net = parts("digits-vit")
    rules = {group.id: Rule(ratio=1.0) for group in net[1].groups}
    said = found(net, rules).sentence
    assert "1.9 % of the parameters (0.1 % of the MACs) follow no pruned row" in said
    assert "`blocks.0.norm1` normalises over it" in said


def test_whole_layers_are_a_number_and_no_share():
    net = parts("digits-resnet")
    loaded, structure, costs = net
    first = find_blocks(loaded.module, loaded.example_inputs, structure).blocks[0]
    got = found(net, {first.id: Rule(ratio=1.0, granularity="layer", criterion="influence")})
    assert not got.differs
    assert got.parameters == pytest.approx(first.parameters / costs.dense.parameters)
    assert got.sentence.startswith("Dropped 1 layer: ")


@pytest.mark.parametrize("name", list(ZOO)[:8])
def test_the_parts_add_up(name):
    module, inputs = ZOO[name](0)
    structure = find_structure(module, inputs)
    costs = CostModel(module, inputs, structure)
    kept = {group.id: max(group.minimum, group.size // 2) for group in structure.groups}
    cost = costs.cost(kept)
    parameters, _ = costs.shrinking(kept)
    assert sum(part.before for part in parameters) == costs.dense.parameters
    assert sum(part.after for part in parameters) == cost.parameters
