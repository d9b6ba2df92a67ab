"""Layers that round their inputs."""

import copy

import pytest
import torch
from fake_task import FakeTask, fake_task
from tiny_networks import Grouped, Plain, Residual, Tied, Transformer
from torch import nn

from pruning.evaluate import evaluate
from pruning.quantise import RANGES, calibrate, float_inputs, input_grids, quantise_inputs

NETS = (Plain, Residual, Grouped, Tied, Transformer)


@pytest.fixture
def task() -> FakeTask:
    return fake_task()


def made(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return kind().eval()


def output(net: nn.Module, task: FakeTask) -> torch.Tensor:
    with torch.no_grad():
        return net(task.validation.x)  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("range", RANGES)
@pytest.mark.parametrize("symmetric", [True, False])
def test_any_network_rounds_its_inputs_in_a_copy(
    kind: type[nn.Module], range: str, symmetric: bool, task: FakeTask
) -> None:
    net = made(kind)
    before = output(net, task)
    state = copy.deepcopy(net.state_dict())
    errors = []
    for bits in (3, 8):
        grids = calibrate(net, task, bits, symmetric=symmetric, range=range)
        assert grids == calibrate(net, task, bits, symmetric=symmetric, range=range)
        rounded = quantise_inputs(net, grids)
        assert input_grids(rounded) == grids
        errors.append(float((output(rounded, task) - before).square().sum()))
    assert errors[0] > 4 * errors[1] > 0
    assert torch.equal(output(net, task), before)
    assert all(torch.equal(state[name], value) for name, value in net.state_dict().items())
    assert list(rounded.state_dict()) == list(state)


def test_they_are_taken_off_and_other_hooks_stay(task: FakeTask) -> None:
    net = made(Plain)
    calls = []
    net.head.register_forward_pre_hook(lambda *_: calls.append(1))
    rounded = quantise_inputs(net, calibrate(net, task, 4))
    plain = float_inputs(rounded)
    assert torch.equal(output(plain, task), output(net, task))
    assert not input_grids(plain)
    assert len(plain.head._forward_pre_hooks) == 1
    assert not any(layer._forward_pre_hooks for name, layer in net.named_modules() if name != "head")
    assert len(input_grids(rounded)) == 3  # the one given stays as it was


def test_evaluate_measures_the_rounded_network(task: FakeTask) -> None:
    net = made(Plain)
    rounded = quantise_inputs(net, calibrate(net, task, 2))
    assert evaluate(rounded, task).loss != evaluate(net, task).loss
    assert evaluate(float_inputs(rounded), task).loss == evaluate(net, task).loss


def test_inputs_have_no_more_values_than_bits_allow(task: FakeTask) -> None:
    net = made(Plain)
    rounded = quantise_inputs(net, calibrate(net, task, {"conv2": 3}))
    seen = []
    rounded.conv2.register_forward_pre_hook(lambda _, args: seen.append(args[0]))  # type: ignore[union-attr]
    output(rounded, task)
    assert len(seen[0].unique()) <= 8
    assert (seen[0] == 0).any()  # what ReLU cut stays zero


def test_a_second_time_replaces_the_first(task: FakeTask) -> None:
    net = made(Plain)
    coarse = quantise_inputs(net, calibrate(net, task, 2))
    grids = calibrate(coarse, task, 8)
    assert grids == calibrate(net, task, 8)  # rounding is left out of what is looked at
    assert torch.equal(
        output(quantise_inputs(coarse, grids), task), output(quantise_inputs(net, grids), task)
    )


def test_gradients_pass_where_nothing_is_clipped(task: FakeTask) -> None:
    net = nn.Sequential(nn.Linear(4, 3))
    rounded = quantise_inputs(net, calibrate(net, fake_task((4,)), 8, range="percentile"))
    x = torch.tensor([[0.5, -0.5, 100.0, -100.0]], requires_grad=True)
    rounded(x).sum().backward()
    assert x.grad is not None
    assert (x.grad[0, :2] != 0).all()
    assert (x.grad[0, 2:] == 0).all()


def test_export_keeps_the_rounding(task: FakeTask) -> None:
    rounded = quantise_inputs(made(Plain), calibrate(made(Plain), task, 3))
    program = torch.export.export(rounded, (task.validation.x,))
    assert torch.allclose(program.module()(task.validation.x), output(rounded, task), atol=1e-6)
    assert "fake_quantize" in str(program.graph)


@pytest.mark.parametrize(
    ("bits", "said"),
    [({"nowhere": 8}, "no layer 'nowhere'"), ({"head": 1}, "2 bits or more"), (9, "from 1 to 8")],
)
def test_refused(bits: dict[str, int] | int, said: str, task: FakeTask) -> None:
    with pytest.raises(ValueError, match=said):
        calibrate(made(Plain), task, bits)


def test_refused_without_images_or_layers(task: FakeTask) -> None:
    with pytest.raises(ValueError, match="at least one image"):
        calibrate(made(Plain), task, limit=0)
    grids = calibrate(made(Plain), task)
    with pytest.raises(ValueError, match="no layer 'conv1'"):
        quantise_inputs(made(Tied), grids)
