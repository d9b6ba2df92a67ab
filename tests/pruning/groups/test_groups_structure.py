"""What `find_structure` says about whole networks: groups, roles, reasons, words."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode
from zoo import ZOO, Baked

from pruning.groups import Structure, find_groups, find_structure
from pruning.models import MODELS, build_model


def zoo(name: str) -> Structure:
    return find_structure(*ZOO[name]())


def builtin(name: str) -> Structure:
    return find_structure(build_model(name), (torch.zeros(1, *MODELS[name].input_shape),))


def sizes(structure: Structure) -> dict[str, tuple[int, str]]:
    return {group.id: (group.size, group.kind) for group in structure.groups}


def reasons(structure: Structure) -> dict[tuple[str, int], str]:
    return {(fixed.parameter, fixed.dim): fixed.reason for fixed in structure.fixed}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Plain", {"body.0": (8, "filter"), "body.4": (6, "filter"), "head.0": (10, "neuron")}),
        ("Residual", {"stem": (8, "filter"), "a": (8, "filter")}),
        ("Tied", {"encoder": (8, "neuron")}),
        ("SharedModule", {"stem": (8, "filter")}),
        ("Depthwise", {"expand": (8, "filter"), "reduce": (5, "filter"), "project": (6, "filter")}),
        ("Grouped", {"stem": (4, "filter"), "grouped": (6, "filter")}),
        ("Transformer", {"separate.q": (4, "head"), "fused.qkv": (3, "head"), "fc1": (20, "neuron")}),
        ("OptionA", {"stem": (4, "filter"), "down1": (4, "filter"), "down2": (5, "filter")}),
        ("Concat", {"a": (4, "filter"), "b": (5, "filter"), "c": (6, "filter")}),
        (
            "Decoder",
            {
                "down": (6, "filter"),
                "squeeze": (5, "neuron"),
                "grow": (7, "neuron"),
                "up": (4, "filter"),
            },
        ),
        ("Filled", {"a": (8, "filter")}),
        ("Fixed", {"free": (5, "filter")}),
        ("TorchAttention", {"attention": (3, "head"), "fc1": (9, "neuron")}),
        (
            "Recurrent",
            {"before": (8, "neuron"), "gru": (8, "recurrent unit"), "after": (6, "neuron")},
        ),
    ],
)
def test_groups_of_the_zoo(name, expected):
    assert sizes(zoo(name)) == expected


def test_pieces_of_one_layer_are_groups_of_their_own():
    structure = zoo("Split")
    assert sizes(structure) == {
        "gated": (6, "filter"),
        "wide": (4, "filter"),
        "wide:2": (6, "filter"),
        "cut": (2, "filter"),
        "cut:2": (4, "filter"),
        "left": (4, "filter"),
    }
    halves = next(m for m in structure.group("gated").members if m.parameter == "gated.weight")
    assert halves.index.tolist() == [[unit, unit + 6] for unit in range(6)]
    assert "gated` go in blocks of 2 because they are cut into equal pieces" in structure.group("gated").why


def test_a_chain_of_coupled_layers_is_named_in_words():
    group = zoo("Residual").group("stem")
    assert group.producers == ("stem", "b", "c")
    assert group.consumers == ("a", "c", "head.linear")
    assert group.operations == ("forward: add",)
    assert group.why == (
        "`stem`, `b` and `c` are coupled because their outputs are added in the network's own forward. "
        "With them go the entries of `norm` and the inputs of `a`, `c` and `head.linear`."
    )


def test_roles_and_entries():
    members = {(m.parameter, m.dim): m for m in zoo("Plain").group("body.4").members}
    assert {place: m.role for place, m in members.items()} == {
        ("body.4.weight", 0): "producer",
        ("body.4.bias", 0): "producer",
        ("body.5.running_mean", 0): "norm",
        ("body.5.running_var", 0): "norm",
        ("head.0.weight", 1): "consumer",
    }
    flat = members["head.0.weight", 1].index
    assert flat.dtype is torch.int64
    assert flat.tolist() == torch.arange(96).view(6, 16).tolist()


def test_every_entry_of_a_dimension_belongs_to_one_unit_at_most():
    for name in ZOO:
        structure = zoo(name)
        seen: dict[tuple[str, int], list[int]] = {}
        for group in structure.groups:
            for member in group.members:
                assert member.index.shape[0] == group.size
                seen.setdefault((member.parameter, member.dim), []).extend(member.index.flatten().tolist())
        for (parameter, dim), entries in seen.items():
            assert len(entries) == len(set(entries)), parameter
            assert max(entries) < structure.shapes[parameter][dim]


def test_what_is_fixed_says_why():
    held = reasons(zoo("Fixed"))
    assert "`norm` normalises over it" in held["a.weight", 0]
    assert "`softmax`" in held["b.weight", 0]
    assert "`mean`" in held["c.weight", 0]
    assert "`sort`" in held["d.weight", 0]
    assert held["head.linear.weight", 0] == "its outputs are the network's outputs"
    assert held["a.weight", 1] == "it reads the network's input, whose size is given"
    assert held["unused.weight", 0] == "the forward pass does not use it"
    assert ("free.weight", 0) not in held
    partly = reasons(zoo("Concat"))["b.weight", 1]
    assert partly == "3 of 7 entries: it reads the network's input, whose size is given"


def test_a_single_unit_is_fixed_because_one_must_stay():
    assert (
        reasons(zoo("Split"))["cut.weight", 0] == "1 of 7 entries: there is only one unit, and one must stay"
    )


def test_one_head_is_no_head_to_keep_whole():
    class OneHead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv, self.out = nn.Linear(6, 12), nn.Linear(4, 6)

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = self.qkv(x).view(2, 5, 3, 1, 4).permute(2, 0, 3, 1, 4)
            return self.out(((q @ k.transpose(-1, -2)).softmax(-1) @ v).transpose(1, 2).flatten(2))

    structure = find_structure(OneHead(), (torch.zeros(2, 5, 6),))
    assert sizes(structure) == {"qkv": (4, "inside-head")}


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_of_the_built_in_networks_is_explained(name):
    structure = builtin(name)
    module = build_model(name)
    in_groups = {member.parameter for group in structure.groups for member in group.members}
    fixed = {held.parameter for held in structure.fixed}
    assert {n for n, _ in module.named_parameters()} <= in_groups | fixed
    assert not [held for held in structure.fixed if "no rule" in held.reason]
    for group in structure.groups:
        assert group.why.endswith(".")
        assert group.producers[0] == group.id
        assert group.consumers


def test_resnet20_has_three_groups_along_its_padded_shortcuts():
    groups = {g.id: g for g in builtin("cifar10-resnet20").groups if len(g.producers) > 1}
    assert {name: group.size for name, group in groups.items()} == {
        "conv": 16,
        "stages.stage2.0.conv2": 16,
        "stages.stage3.0.conv2": 32,
    }
    assert len(groups["conv"].producers) == 10  # the stem and the second convolution of each of nine blocks
    rows = {
        m.parameter: m.index.flatten().tolist() for m in groups["stages.stage2.0.conv2"].members if not m.dim
    }
    assert rows["stages.stage2.0.conv2.weight"] == [*range(8), *range(24, 32)]
    assert rows["stages.stage3.2.conv2.weight"] == [*range(16, 24), *range(40, 48)]


def test_vit_heads_and_residual_stream():
    structure = builtin("digits-vit")
    heads = [group for group in structure.groups if group.kind == "head"]
    assert [group.size for group in heads] == [4] * 4
    assert {(group.minimum, group.multiple) for group in heads} == {(1, 48)}
    index = {(m.parameter.rpartition(".attention.")[2], m.dim): m.index for m in heads[0].members}
    rows = [part * 64 + 16 + entry for part in range(3) for entry in range(16)]
    assert index["qkv.weight", 0][1].tolist() == rows
    assert index["qkv.bias", 0][1].tolist() == rows
    assert index["proj.weight", 1][1].tolist() == list(range(16, 32))
    held = reasons(structure)
    assert "normalises over it" in held["positions", 2]
    assert "normalises over it" in held["blocks.0.attention.proj.weight", 0]
    assert sum(group.kind == "neuron" for group in structure.groups) == 4


def test_flatten_gives_each_filter_sixteen_inputs():
    group = builtin("mnist-lenet-5").group("conv2")
    reader = next(m for m in group.members if m.role == "consumer")
    assert tuple(reader.index.shape) == (50, 16)
    assert "(16 inputs of `fc1` each)" in group.why


@pytest.mark.parametrize("name", ["digits-mobilenet", "digits-vit"])
def test_same_structure_at_every_run_and_batch_size(name):
    module = build_model(name)
    one = find_structure(module, (torch.randn(1, *MODELS[name].input_shape),))
    three = find_structure(module, (torch.randn(3, *MODELS[name].input_shape),))
    for a, b in zip(one.groups, three.groups, strict=True):
        assert (a.id, a.size, a.kind, a.why, a.operations) == (b.id, b.size, b.kind, b.why, b.operations)
        for m, n in zip(a.members, b.members, strict=True):
            assert (m.parameter, m.dim, m.role) == (n.parameter, n.dim, n.role)
            assert torch.equal(m.index, n.index)
    assert one.fixed == three.fixed


@pytest.mark.parametrize("fails", [False, True])
def test_the_module_is_never_touched(fails):
    module, inputs = ZOO["Plain"]()
    module.train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    tensors = {name: id(tensor) for name, tensor in module.named_parameters()}
    if fails:
        with pytest.raises(ValueError, match="The network does not run on the example inputs: "):
            find_structure(module, (torch.zeros(2, 5, 8, 8),))
    else:
        find_structure(module, inputs)
    assert all(part.training for part in module.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    assert {name: id(tensor) for name, tensor in module.named_parameters()} == tensors
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert _get_current_dispatch_mode() is None


def test_a_weight_reached_through_data_is_still_the_weight():
    class ThroughData(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(6, 5, bias=False), nn.Linear(5, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(nn.functional.linear(x, self.a.weight.data))

    assert sizes(find_structure(ThroughData(), (torch.zeros(2, 6),))) == {"a": (5, "neuron")}


def test_a_forward_that_returns_something_else_is_refused_in_words():
    class Strange(nn.Module):
        def forward(self, x: Tensor) -> object:
            return object()

    with pytest.raises(ValueError, match="must return tensors"):
        find_structure(Strange(), (torch.zeros(1),))


def test_outputs_in_a_dict_are_outputs():
    class Dict(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(6, 5), nn.Linear(5, 4)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            hidden = self.a(x)
            return {"hidden": hidden, "logits": self.b(hidden)}

    assert find_groups(Dict(), (torch.zeros(2, 6),)) == ()


def test_unknown_groups_and_wrong_masks_are_refused_in_words():
    structure = find_structure(Baked(), (torch.zeros(2, 12),))
    with pytest.raises(ValueError, match=r"no group 'c' in this network; its groups are a\."):
        structure.group("c")
    with pytest.raises(ValueError, match="must be 8 booleans"):
        structure.checked({"a": torch.ones(7, dtype=torch.bool)})
    with pytest.raises(ValueError, match="must be 8 booleans"):
        structure.checked({"a": torch.ones(8)})
    with pytest.raises(ValueError, match="at least 1 of its 8"):
        structure.checked({"a": torch.zeros(8, dtype=torch.bool)})
