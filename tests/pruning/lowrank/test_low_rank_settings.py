"""Settings as JSON, what they come to, and a factorised network in training."""

from __future__ import annotations

import pytest
import torch
from fake_task import fake_task
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_networks import EXAMPLE, tiny

from pruning.cost import CostModel
from pruning.groups import find_structure
from pruning.lowrank import (
    METHODS,
    LowRank,
    find_factorable,
    low_rank,
    plan_low_rank,
    predict,
    record_of,
    scan,
)
from pruning.recipe import Recipe, Rule
from pruning.recover import Fit, Pruning, Recovery, recover

RANK = st.integers(1, 50)
DECIDED = st.one_of(
    st.fixed_dictionaries(
        {"ranks": st.dictionaries(st.text(max_size=8), RANK | st.tuples(RANK, RANK), max_size=4)}
    ),
    st.fixed_dictionaries({"energy": st.floats(0, 1)}),
    st.fixed_dictionaries(
        {"share": st.floats(0.01, 1), "layers": st.none() | st.lists(st.text(max_size=5), max_size=3)}
    ),
)


@given(DECIDED, st.sampled_from(list(METHODS)))
@settings(max_examples=60, deadline=None)
def test_json_both_ways(decided: dict, method: str) -> None:
    wanted = LowRank(method=method, **decided)
    again = LowRank.from_json(wanted.to_json())
    assert again == wanted
    assert again.digest == wanted.digest
    assert hash(wanted.digest)
    assert LowRank(method=method, **decided, data=METHODS[method].takes_data).digest != wanted.digest or (
        not METHODS[method].takes_data
    )


def test_the_order_of_layers_is_no_decision() -> None:
    one, other = LowRank(ranks={"a": 1, "b": (2, 3)}), LowRank(ranks={"b": [2, 3], "a": (1,)})
    assert one.ranks == {"a": (1,), "b": (2, 3)}
    assert one.digest == other.digest
    assert one.digest != LowRank(ranks={"a": 1, "b": (2, 4)}).digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "exactly one of ranks, energy and share"),
        ('{"energy": 0.5, "share": 0.5}', "exactly one"),
        ('{"energy": 1.5}', "less than or equal to 1"),
        ('{"share": 0}', "greater than 0"),
        ('{"ranks": {"a": 0}}', "greater than or equal to 1"),
        ('{"ranks": {"a": [1, 2, 3]}}', "at most 2"),
        ('{"ranks": {"a": true}}', "valid integer"),
        ('{"ranks": {"a": 1}, "layers": ["a"]}', "leave out either"),
        ('{"energy": 0.5, "method": "cp"}', "no method of low rank 'cp'"),
        ('{"energy": 0.5, "data": true}', "cannot weigh errors by data"),
        ('{"energy": 0.5, "more": 1}', "Extra inputs"),
        ("[", "Invalid JSON"),
    ],
)
def test_wrong_settings_are_said_in_one_sentence(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        LowRank.from_json(text)
    assert "\n" not in str(caught.value)


def test_settings_come_to_what_they_say() -> None:
    network = tiny("plain")
    plan = plan_low_rank(network, LowRank(share=0.6), example_inputs=EXAMPLE)
    small = low_rank(network, LowRank(share=0.6), example_inputs=EXAMPLE)
    record = record_of(small)
    assert record is not None
    assert plan.ranks
    assert {name: split.ranks for name, split in record.layers.items()} == dict(plan.ranks)
    dense = CostModel(network, EXAMPLE).dense
    foretold = predict(dense.parameters, dense.macs, plan.candidates, plan.ranks)
    assert foretold.parameters == sum(p.numel() for p in small.parameters()) < dense.parameters
    only = plan_low_rank(network, LowRank(share=0.6, layers=("conv2",)), example_inputs=EXAMPLE)
    assert set(only.ranks) == {"conv2"}
    given = low_rank(network, LowRank(ranks={"conv2": (2, 3), "head": 1}), example_inputs=EXAMPLE)
    assert [part.weight.shape[0] for part in given.conv2] == [2, 3, 8]


def test_data_changes_the_factors_and_needs_a_task() -> None:
    network, wanted = tiny("plain"), LowRank(method="channel-svd", share=0.6, data=True)
    with pytest.raises(ValueError, match="needs a task"):
        low_rank(network, wanted, example_inputs=EXAMPLE)
    weighed = low_rank(network, wanted, example_inputs=EXAMPLE, task=fake_task())
    plain = low_rank(network, wanted.model_copy(update={"data": False}), example_inputs=EXAMPLE)
    assert not torch.equal(weighed.conv2.first.weight, plain.conv2.first.weight)


@pytest.mark.parametrize(
    ("network", "wanted", "said"),
    [
        ("plain", LowRank(ranks={"nowhere": 1}), "no linear layer or convolution 'nowhere'"),
        ("plain", LowRank(energy=0.5, layers=("norm1",)), "no linear layer or convolution 'norm1'"),
        ("residual", LowRank(energy=0.5, layers=("depthwise",)), "depthwise convolution"),
        ("tied", LowRank(ranks={"twin": 1}), "also that of"),
        ("plain", LowRank(ranks={"conv1": (1, 99)}), "its highest is"),
    ],
)
def test_what_does_not_fit_the_network_is_said(network: str, wanted: LowRank, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        low_rank(tiny(network), wanted, example_inputs=EXAMPLE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("granularity", ["channel", "weight"])
def test_decomposed_then_pruned_then_trained(granularity: str) -> None:
    small = low_rank(tiny("plain"), LowRank(share=0.8), example_inputs=EXAMPLE)
    if granularity == "channel":
        rules = {group.id: Rule(ratio=0.5) for group in find_structure(small, EXAMPLE).groups}
    else:
        rules = {"conv2.core": Rule(ratio=0.5, granularity="weight", criterion="l1")}
    steps = Recovery(
        recipe=Recipe(rules=rules), pruning=Pruning(prune=1, recover=1), fit=Fit(lr=0.01, batch_size=16)
    )
    found = recover(small, fake_task(), steps, example_inputs=EXAMPLE)
    assert found.plan is not None
    left = sum(int(p.count_nonzero()) for p in found.module.parameters())
    assert left < sum(p.numel() for p in small.parameters())
    assert record_of(found.module) == record_of(small)
    if granularity == "channel":
        assert found.module.conv2.core.weight.shape < small.conv2.core.weight.shape


def test_a_scan_measures_each_layer_alone() -> None:
    network, task = tiny("plain"), fake_task()
    points = list(scan(network, task, (0.8, 0.3, 0.8), example_inputs=EXAMPLE))
    assert {point.key for point in points} <= {one.name for one in find_factorable(network, EXAMPLE)}
    of_one = [point for point in points if point.key == "conv2"]
    assert [point.share for point in of_one] == [0.8, 0.3]
    assert of_one[0].error < of_one[1].error
    assert of_one[0].parameters > of_one[1].parameters
    for point in points:
        small = low_rank(network, LowRank(ranks={point.key: point.ranks}), example_inputs=EXAMPLE)
        cost = CostModel(small, EXAMPLE).dense
        assert (cost.parameters, cost.macs) == (point.parameters, point.macs)
        assert point.n == 50
        with torch.no_grad():
            right = small(task.validation.x).argmax(1) == task.validation.targets
        assert point.accuracy == pytest.approx(float(right.double().mean()))


def test_a_scan_can_be_stopped_narrowed_and_weighed() -> None:
    import threading

    network, task, stop = tiny("plain"), fake_task(), threading.Event()
    walk = scan(network, task, example_inputs=EXAMPLE, layers=["conv2"], limit=7, stop=stop)
    first = next(walk)
    assert (first.key, first.n) == ("conv2", 7)
    stop.set()
    assert list(walk) == []
    weighed = next(scan(network, task, (0.5,), "channel-svd", example_inputs=EXAMPLE, data=True))
    plain = next(scan(network, task, (0.5,), "channel-svd", example_inputs=EXAMPLE))
    assert weighed.error > plain.error  # of the weight; that of outputs is what it lowers


@pytest.mark.parametrize(
    ("more", "said"), [({"split": "test"}, "Test data"), ({"layers": ["norm1"]}, "can be factorised")]
)
def test_a_scan_that_cannot_be_is_said(more: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        next(scan(tiny("plain"), fake_task(), example_inputs=EXAMPLE, **more))
