"""Removing channels is exact: the smaller network answers like the one whose removed channels are zero."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from zoo import BASIC, ZOO, Baked, Scaled, random_plan, randomise

from pruning.groups import find_structure
from pruning.groups.emit import emit_graph
from pruning.masks import apply_masks
from pruning.models import MODELS, build_model
from pruning.plan import Plan, make_plan
from pruning.recipe import Recipe, Rule
from pruning.shrink import is_graph, shrink, shrink_by_keep, slice_module

SEEDS = [0, 1, 2, 3]  # seed 0 keeps one unit of every group


def builtin(name: str, seed: int) -> tuple[nn.Module, tuple[Any, ...]]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = build_model(name).eval()
        randomise(module)
        return module, (torch.randn(2, *MODELS[name].input_shape),)


def network(name: str, seed: int) -> tuple[nn.Module, tuple[Any, ...]]:
    """Any network, in float64."""
    module, inputs = ZOO[name](seed) if name in ZOO else builtin(name, seed)
    return module.double(), tuple(x.double() for x in inputs)


def randomised(cls: type[nn.Module]) -> nn.Module:
    module = cls().double().eval()
    randomise(module)
    return module


@torch.no_grad()
def outputs(module: nn.Module, inputs: tuple[Any, ...]) -> Tensor:
    return torch.cat([leaf.flatten() for leaf in tree_leaves(module(*inputs))])


def assert_exact(masked: nn.Module, small: nn.Module, inputs: tuple[Any, ...]) -> None:
    expected = outputs(masked, inputs)
    assert expected.abs().max() > 1e-6  # a network of zeros would prove nothing
    assert (outputs(small, inputs) - expected).abs().max() <= 1e-10 * expected.abs().max()


def sizes(module: nn.Module) -> int:
    return sum(tensor.numel() for tensor in module.state_dict().values())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", [*BASIC, *MODELS])
def test_shrunk_equals_masked_and_again_after_shrinking_twice(name, seed):
    module, inputs = network(name, seed)
    plan = random_plan(find_structure(module, inputs), seed)
    small = shrink(module, plan, inputs)
    assert type(small) is type(module)
    assert sizes(small) < sizes(module)
    other = tuple(torch.randn(x.shape, dtype=x.dtype) for x in inputs)
    for given in (inputs, other):
        assert_exact(apply_masks(module, plan), small, given)

    again = random_plan(find_structure(small, inputs), seed + 1)
    smaller = shrink(small, again, inputs)
    assert_exact(apply_masks(small, again), smaller, inputs)


@pytest.mark.parametrize("name", ["Plain", "Tied", "Transformer", "digits-mobilenet"])
def test_the_input_is_never_changed(name):
    module, inputs = network(name, 0)
    module.train()
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    objects = [id(tensor) for tensor in module.state_dict(keep_vars=True).values()]
    attributes = [dict(vars(part)) for part in copy.deepcopy(module).modules()]
    plan = random_plan(find_structure(module, inputs), seed=1)
    keep = {key: mask.clone() for key, mask in plan.keep.items()}
    small = shrink(module, plan, inputs)
    assert [id(tensor) for tensor in module.state_dict(keep_vars=True).values()] == objects
    assert all(torch.equal(tensor, before[key]) for key, tensor in module.state_dict().items())
    for part, known in zip(module.modules(), attributes, strict=True):
        for key, value in vars(part).items():
            assert not isinstance(value, (int, float, str, tuple, list)) or value == known[key], key
    assert all(torch.equal(mask, keep[key]) for key, mask in plan.keep.items())
    assert all(part.training for part in small.modules())  # as the module was


def test_attributes_follow_the_tensors():
    module, inputs = network("digits-mobilenet", 0)
    small = shrink(module, random_plan(find_structure(module, inputs), seed=2), inputs)
    for layer in small.modules():
        if isinstance(layer, nn.Conv2d):
            assert layer.weight.shape[:2] == (layer.out_channels, layer.in_channels // layer.groups)
        elif isinstance(layer, nn.Linear):
            assert layer.weight.shape == (layer.out_features, layer.in_features)
        elif isinstance(layer, nn.BatchNorm2d):
            assert layer.weight.shape == layer.running_mean.shape == (layer.num_features,)
    depthwise = [m for m in small.modules() if isinstance(m, nn.Conv2d) and m.weight.shape[1] == 1 < m.groups]
    assert depthwise
    assert all(layer.groups == layer.in_channels for layer in depthwise)


def test_padded_shortcuts_are_repaired():
    module, inputs = network("cifar10-resnet20", 0)
    structure = find_structure(module, inputs)
    plan = random_plan(structure, seed=5)
    small = shrink(module, plan, inputs)
    pads = [m for m in small.modules() if type(m).__name__ == "ChannelPad"]
    second = plan.keep["stages.stage2.0.conv2"]
    third = plan.keep["stages.stage3.0.conv2"]
    assert [(pad.lo, pad.hi) for pad in pads] == [
        (int(second[:8].sum()), int(second[8:].sum())),
        (int(third[:16].sum()), int(third[16:].sum())),
    ]


def test_heads_are_repaired():
    module, inputs = network("digits-vit", 0)
    structure = find_structure(module, inputs)
    keep = {"blocks.1.attention.qkv": torch.tensor([True, False, False, True])}
    small = shrink_by_keep(module, keep, inputs, structure)
    assert [block.attention.num_heads for block in small.blocks] == [4, 2, 4, 4]
    assert {block.attention.head_dim for block in small.blocks} == {16}


def test_shared_weights_stay_shared():
    module, inputs = network("Tied", 0)
    small = shrink(module, random_plan(find_structure(module, inputs), seed=1), inputs)
    assert small.first.weight is small.second.weight
    assert small.first.weight.requires_grad


def test_the_pruned_network_trains():
    module, inputs = network("digits-cnn", 0)
    module.fc.weight.requires_grad_(False)
    small = shrink(module, random_plan(find_structure(module, inputs), seed=1), inputs)
    small(*inputs).sum().backward()
    assert {name for name, p in small.named_parameters() if p.grad is None} == {"fc.weight"}


def test_weight_masks_are_carried_along():
    module, inputs = network("Plain", 0)
    recipe = Recipe(
        rules={
            "body.4": Rule(ratio=0.5),
            "head.0": Rule(ratio=0.75, granularity="weight", criterion="l1"),
        }
    )
    plan = make_plan(module, recipe, example_inputs=inputs)
    small = shrink(module, plan, inputs)
    assert small.head[0].weight.shape == (10, 48)
    assert int((small.head[0].weight != 0).sum()) == 120
    assert_exact(apply_masks(module, plan), small, inputs)


def test_a_dense_module_is_sliced_for_weights_that_come_later():
    module, inputs = network("digits-resnet", 0)
    structure = find_structure(module, inputs)
    plan = random_plan(structure, seed=2)
    trained = shrink(module, plan, inputs)
    fresh = network("digits-resnet", 7)[0]
    empty = shrink_by_keep(fresh, plan.channels, inputs)
    empty.load_state_dict(trained.state_dict())
    assert torch.equal(outputs(empty, inputs), outputs(trained, inputs))
    cut = slice_module(fresh, structure, plan.channels).state_dict()
    assert {key: t.shape for key, t in cut.items()} == {key: t.shape for key, t in empty.state_dict().items()}


def test_an_empty_plan_gives_an_equal_copy():
    module, inputs = network("Residual", 0)
    small = shrink(module, Plan({}, (), find_structure(module, inputs)), inputs)
    assert small is not module
    assert torch.equal(outputs(small, inputs), outputs(module, inputs))


@pytest.mark.parametrize("cls", [Baked, Scaled])
def test_a_size_written_into_the_forward_gives_a_graph(cls):
    """Its Python would fail, or compute with the old width; the recorded calls do neither."""
    module, inputs = randomised(cls), (torch.randn(2, 12).double(),)
    plan = random_plan(find_structure(module, inputs), seed=1)
    small = shrink(module, plan, inputs)
    assert is_graph(small)
    assert_exact(apply_masks(module, plan), small, inputs)
    assert dict(small.named_parameters()).keys() == dict(module.named_parameters()).keys()
    assert sizes(small) < sizes(module)
    more = (torch.randn(7, 12).double(),)  # a batch of another size
    assert_exact(apply_masks(module, plan), small, more)
    small(*more).sum().backward()
    assert all(p.grad is not None for p in small.parameters())
    again = random_plan(find_structure(small, inputs), seed=2)
    assert_exact(apply_masks(small, again), shrink(small, again, inputs), more)
    exported = torch.export.export(small, more).module()
    assert torch.equal(exported(*more), small(*more))


@pytest.mark.parametrize("name", [*BASIC, *MODELS])
def test_the_graph_answers_like_the_network(name):
    module, inputs = network(name, 3)
    structure = find_structure(module, inputs)
    plan = random_plan(structure, seed=3)
    cut = slice_module(module, structure, plan.channels)
    graph = emit_graph(module, cut, structure, plan.channels, inputs)
    assert graph.state_dict().keys() == module.state_dict().keys()
    assert_exact(apply_masks(module, plan), graph, inputs)


def test_wrong_example_inputs_are_said_in_words():
    module, inputs = network("Residual", 0)
    plan = random_plan(find_structure(module, inputs), seed=1)
    with pytest.raises(ValueError, match="The Residual does not run on the example inputs"):
        shrink(module, plan, (torch.randn(2, 5, 8, 8).double(),))


class Misread(Scaled):
    """A number that the data decides, beside a width in the arithmetic: class and graph are both wrong."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * float(x.abs().max())


def test_a_network_that_the_recording_misreads_does_not_slip_through():
    module, inputs = randomised(Misread), (torch.randn(2, 12).double(),)
    plan = random_plan(find_structure(module, inputs), seed=1)
    with pytest.raises(ValueError, match="The smaller Misread does not answer like the masked one"):
        shrink(module, plan, inputs)


def test_the_check_does_not_rest_on_the_example_inputs_alone():
    """At zeros both answer alike; noise tells them apart."""

    class Quiet(Scaled):
        def forward(self, x: Tensor) -> Tensor:
            hidden = self.a(x)
            return self.b(hidden) * (1 + float(x.abs().sum()) * hidden.shape[-1])

    module, inputs = Quiet().eval(), (torch.zeros(2, 12),)
    plan = random_plan(find_structure(module, inputs), seed=1)
    with pytest.raises(ValueError, match="does not answer like"):
        shrink(module, plan, inputs)


def test_a_number_that_follows_the_width_shows_even_where_outputs_do_not():
    """The scores of this attention are so near zero that any temperature gives nearly the same output."""

    class Faint(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v = (nn.Linear(12, 8) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            q, k = 1e-4 * self.q(x), 1e-4 * self.k(x)
            return (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(-1) @ self.v(x)

    module, inputs = randomised(Faint).float(), (torch.randn(2, 5, 12),)
    plan = random_plan(find_structure(module, inputs), seed=1)
    assert is_graph(shrink(module, plan, inputs))  # which divides by the root of the whole width


def test_float32_networks_pass_the_check_too():
    for name in MODELS:
        module, inputs = builtin(name, 1)
        shrink(module, random_plan(find_structure(module, inputs), seed=1), inputs)
