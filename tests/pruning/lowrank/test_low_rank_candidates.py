"""Which layers can be factorised, and what is said of the others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tiny_networks import EXAMPLE, NETWORKS, tiny
from torch import Tensor, nn
from zoo import ZOO, ratio_plan

from pruning.cost import CostModel
from pruning.groups import find_structure
from pruning.layers import find_layers
from pruning.lowrank import factorise, find_factorable, predict
from pruning.shrink import shrink

TRACED = ("Plain", "Residual", "SharedModule", "UNet", "DenseNet", "Volumes", "Conformer", "SeveralInputs")


class Peeks(nn.Module):
    """Reads the size of one of its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).view(-1, self.first.out_features))


class Twice(nn.Module):
    """One module under two names, a pair that shares its weight, and one that shares its bias."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(4, 4)
        self.same = self.one
        self.left, self.right, self.bias = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.right.weight, self.bias.bias = self.left.weight, self.left.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.bias(self.right(self.left(self.same(self.one(x)))))


class Loud(nn.Linear):
    """A linear layer that does more."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def hooked() -> nn.Module:
    layer = nn.Linear(4, 4)
    layer.register_forward_hook(lambda module, given, output: output + 1)
    return layer


REFUSED: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "reads a size": (Peeks, "first", "The network's code reads its attributes"),
    "same module": (Twice, "one", "It is the same module as same."),
    "tied": (Twice, "left", "Its weight is also that of right.weight."),
    "tied bias": (Twice, "bias", "Its weight is also that of left.bias."),
    "subclass": (lambda: nn.Sequential(Loud(4, 4)), "0", "Its class Loud may do more"),
    "hooks": (lambda: nn.Sequential(hooked()), "0", "It has hooks"),
    "alone": (lambda: nn.Linear(4, 4), "", "The network is this one layer alone"),
    "computed": (
        lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))),
        "0",
        "Its weight is computed from other tensors",
    ),
    "fused": (
        lambda: nn.TransformerEncoderLayer(4, 2, 8, batch_first=True),
        "self_attn.out_proj",
        "nn.MultiheadAttention multiplies with its weight",
    ),
    "fast path": (
        lambda: nn.TransformerEncoderLayer(4, 2, 8, batch_first=True),
        "linear1",
        "The network's code reads its attributes",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_why(name: str) -> None:
    make, layer, said = REFUSED[name]
    network = make().eval()
    if name in ("computed", "alone"):  # find_layers does not list what has no weight of its own
        with pytest.raises(ValueError, match=said):
            factorise(network, {layer: 1})
        return
    (found,) = [one for one in find_factorable(network, (torch.randn(2, 3, 4),)) if one.name == layer]
    assert found.reason.startswith(said)
    assert found.reason.endswith(".")
    assert found.method == ""


def test_grouped_depthwise_transposed_and_unused_layers_are_refused() -> None:
    reasons = {one.name: one.reason for one in find_factorable(tiny("grouped"), EXAMPLE)}
    assert "grouped convolution" in reasons["grouped"]
    assert "Transposed" in reasons["up"]
    assert "not called" in reasons["unused"]
    assert reasons["conv"] == reasons["head"] == ""
    depthwise = {one.name: one.reason for one in find_factorable(tiny("residual"), EXAMPLE)}["depthwise"]
    assert "depthwise" in depthwise


def test_matrices_take_their_svd_whatever_the_method() -> None:
    methods = {one.name: one.method for one in find_factorable(tiny("residual"), EXAMPLE, "tucker-2")}
    assert methods["stem"] == "tucker-2"
    assert methods["expand"] == "channel-svd"
    assert methods["head"] == "svd"
    kernels = {one.name: one for one in find_factorable(tiny("residual"), EXAMPLE, "svd")}
    assert kernels["stem"].reason == "Only linear layers are factorised by a plain SVD."
    assert kernels["head"].method == "svd"


def test_an_unknown_method_is_said() -> None:
    with pytest.raises(ValueError, match="no method of low rank 'cp'"):
        find_factorable(tiny("plain"), EXAMPLE, "cp")


@pytest.mark.parametrize("name", NETWORKS)
def test_rows_agree_with_find_layers_and_the_network_is_left_alone(name: str) -> None:
    network = tiny(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    rows = {layer.name: layer for layer in find_layers(network, EXAMPLE)}
    for one in find_factorable(network, EXAMPLE):
        assert (one.parameters, one.macs) == (rows[one.name].parameters, rows[one.name].macs)
        assert one.shape == rows[one.name].weight_shape
    assert all(torch.equal(network.state_dict()[key], value) for key, value in before.items())
    assert not any(part._forward_hooks for part in network.modules())


@pytest.mark.parametrize("name", TRACED)
def test_awkward_networks_factorised_trace_group_and_shrink(name: str) -> None:
    network, inputs = ZOO[name](seed=1)
    candidates = [one for one in find_factorable(network, inputs) if not one.reason]
    ranks = {one.name: one.fitted(tuple(max(1, most // 2) for most in one.most)) for one in candidates}
    small = factorise(network, ranks)
    dense, model = CostModel(network, inputs).dense, CostModel(small, inputs)
    foretold = predict(dense.parameters, dense.macs, candidates, ranks)
    assert (model.dense.parameters, model.dense.macs) == (foretold.parameters, foretold.macs)
    inside = {group.id for group in find_structure(small, inputs).groups}
    for one in candidates:  # the values between the smaller layers can be pruned
        rank = max(ranks[one.name])
        assert rank == 1 or any(group.startswith(f"{one.name}.") for group in inside)
    pruned = shrink(small, ratio_plan(model.structure, 0.4), inputs)
    assert sum(p.numel() for p in pruned.parameters()) < foretold.parameters
