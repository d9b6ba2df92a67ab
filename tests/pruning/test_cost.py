"""Costs from counts alone are those of the network that was really shrunk."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from zoo import BASIC, ZOO, random_plan

from pruning.cost import CostModel
from pruning.groups import find_structure
from pruning.layers import find_layers
from pruning.models import MODELS, build_model
from pruning.plan import make_plan
from pruning.recipe import Recipe, Rule
from pruning.shrink import shrink


def network(name):
    if name in ZOO:
        return ZOO[name]()
    return build_model(name).eval(), (torch.randn(1, *MODELS[name].input_shape),)


def nonzero(module):
    return sum(int((p != 0).sum()) for p in module.parameters())


@pytest.mark.parametrize("name", [*BASIC, *MODELS])
def test_predicted_equals_counted(name):
    module, inputs = network(name)
    structure = find_structure(module, inputs)
    model = CostModel(module, inputs, structure)
    assert model.dense.parameters == sum(p.numel() for p in module.parameters())
    for seed in (0, 1, 2):
        plan = random_plan(structure, seed)
        small = shrink(module, plan, inputs)
        cost = model.cost({entry.key: entry.kept for entry in plan.entries})
        tensors = [*small.parameters(), *small.buffers()]
        assert cost.parameters == cost.nonzero == sum(p.numel() for p in small.parameters())
        assert cost.bytes_dense == sum(t.numel() * t.element_size() for t in tensors)
        assert cost.macs == CostModel(small, inputs).dense.macs
        assert cost.sparsity == 0


@pytest.mark.parametrize("name", MODELS)
def test_dense_macs_equal_pytorchs_own_count(name):
    module, inputs = network(name)
    counter = FlopCounterMode(display=False)
    # The counter knows no fused attention on CPUs; written out it is made of products that it counts.
    with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        module(*inputs)
    assert CostModel(module, inputs).dense.macs * 2 == counter.get_total_flops()


@pytest.mark.parametrize("name", MODELS)
def test_pruned_macs_equal_pytorchs_own_count(name):
    module, inputs = network(name)
    structure = find_structure(module, inputs)
    plan = random_plan(structure, seed=4)
    counter = FlopCounterMode(display=False)
    small = shrink(module, plan, inputs)
    with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        small(*inputs)
    kept = {entry.key: entry.kept for entry in plan.entries}
    assert CostModel(module, inputs, structure).cost(kept).macs * 2 == counter.get_total_flops()


def test_known_numbers():
    lenet = CostModel(*network("mnist-lenet-5")).dense
    assert (lenet.parameters, lenet.bytes_dense) == (431_080, 4 * 431_080)
    assert lenet.macs == 20 * 25 * 24 * 24 + 50 * 20 * 25 * 8 * 8 + 800 * 500 + 500 * 10
    assert CostModel(*network("cifar10-resnet20")).dense.parameters == 269_722


def test_costs_are_of_one_sample_whatever_the_batch():
    module, _ = network("digits-vit")
    one, five = (CostModel(module, (torch.zeros(b, 1, 8, 8),)).dense for b in (1, 5))
    assert one == five


def test_layer_table_adds_up_and_agrees_with_the_layers():
    for name in ("digits-vit", "digits-mobilenet"):
        module, inputs = network(name)
        structure = find_structure(module, inputs)
        model = CostModel(module, inputs, structure)
        kept = {group.id: 1 + group.size // 3 for group in structure.groups}
        masked = {"head": 7}
        rows, cost = model.layer_table(kept, masked), model.cost(kept, masked)
        assert sum(row.parameters for row in rows) == cost.parameters
        assert sum(row.nonzero for row in rows) == cost.nonzero < cost.parameters
        assert sum(row.macs for row in rows) == cost.macs
        known = {row.name: row for row in model.layer_table()}
        for layer in find_layers(module, inputs):
            assert known[layer.name].parameters == layer.parameters
            assert known[layer.name].macs == layer.macs


def test_weights_that_are_masked_count_as_zero_in_the_smaller_network():
    module, inputs = network("digits-mlp")
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    rules = {
        "hidden.fc1": Rule(ratio=0.5),
        "hidden.fc2": Rule(ratio=0.9, granularity="weight"),
        "head": Rule(ratio=0.25, granularity="weight"),
    }
    plan = make_plan(module, Recipe(rules=rules), example_inputs=inputs)
    small = shrink(module, plan, inputs)
    kept = {"hidden.fc1": plan.entries[0].kept}
    cost = CostModel(module, inputs).cost(kept, {entry.key: entry.kept for entry in plan.entries[1:]})
    assert (cost.parameters, cost.nonzero) == (sum(p.numel() for p in small.parameters()), nonzero(small))
    assert cost.sparsity == pytest.approx(1 - cost.nonzero / cost.parameters)


def test_what_one_unit_costs():
    model = CostModel(*network("mnist-lenet-5"))
    # A filter of conv2: 20 x 5 x 5 weights, a bias, and 16 inputs of 500 neurons.
    assert model.parameters_per_unit["conv2"] == 20 * 25 + 1 + 16 * 500
    assert model.macs_per_unit["conv2"] == 20 * 25 * 64 + 16 * 500
    assert set(model.parameters_per_unit) == {"conv1", "conv2", "fc1"}


@pytest.mark.parametrize(
    ("kept", "masked", "message"),
    [
        ({"conv9": 1}, {}, "no group 'conv9'"),
        ({"conv1": 21}, {}, "21 units of group 'conv1' cannot be kept; it has 20"),
        ({"conv1": -1}, {}, "-1 units"),
        ({}, {"conv9": 1}, "no layer 'conv9' with a weight"),
        ({"conv1": 1}, {"conv1": 26}, "26 weights of 'conv1' cannot be kept; it has 25"),
    ],
)
def test_impossible_counts_are_refused_in_words(kept, masked, message):
    with pytest.raises(ValueError, match=message):
        CostModel(*network("mnist-lenet-5")).cost(kept, masked)


def test_units_that_cost_differently_are_groups_of_their_own():
    """The first two heads meet each other's tokens, the others do not: the same entries, other MACs."""

    class Uneven(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.heads, self.some = 5, 2
            self.value, self.out = nn.Linear(6, 5 * 4), nn.Linear(5 * 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            v = self.value(x).view(len(x), -1, self.heads, 4).transpose(1, 2)
            busy, idle = v[:, : self.some], v[:, self.some :]
            busy = (busy @ busy.transpose(-1, -2)) @ busy
            return self.out(torch.cat([busy, idle], 1).transpose(1, 2).flatten(2))

    module, inputs = Uneven().eval(), (torch.randn(1, 7, 6),)
    structure = find_structure(module, inputs)
    assert [group.size for group in structure.groups] == [2, 3]
    plan = random_plan(structure, seed=3)
    small = shrink(module, plan, inputs)
    cost = CostModel(module, inputs, structure).cost({entry.key: entry.kept for entry in plan.entries})
    assert cost.macs == CostModel(small, inputs).dense.macs


def test_no_tensor_is_touched():
    class Forbidden(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            raise AssertionError(f"{func} was called")

    model = CostModel(*network("cifar10-resnet20"))
    with Forbidden():
        with pytest.raises(AssertionError, match="was called"):
            torch.zeros(1) + 1
        cost = model.cost({"conv": 5}, {"head": 100})
        model.layer_table({"conv": 5})
    assert all(type(value) is int for value in (cost.parameters, cost.nonzero, cost.macs, cost.bytes_dense))
