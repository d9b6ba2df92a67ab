"""Networks in integers: their answers are those of the same network with rounded weights and inputs."""

import copy
import pickle

import pytest
import torch
from fake_task import FakeTask, fake_task
from tiny_networks import Grouped, Plain, Residual, Tied, Transformer
from torch import nn

from pruning.evaluate import evaluate
from pruning.latency import measure_latency
from pruning.latency.ways import folded
from pruning.quantise import InputGrid, Uniform, calibrate, grid_of, quantise, quantise_inputs, to_integer
from pruning.quantise.integer import integer_layers
from pruning.quantise.integer_layer import IntegerLayer, obstacle

pytestmark = pytest.mark.skipif(bool(obstacle()), reason=obstacle())
WEIGHTS = Uniform(True, True, "min-max")


@pytest.fixture
def task() -> FakeTask:
    return fake_task()


def made(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    net = kind()
    with torch.no_grad():
        net(torch.randn(64, 1, 6, 6))  # moves the statistics of BatchNorm
    return net.eval()


def parts(net: nn.Module) -> dict[str, IntegerLayer]:
    return {name: part for name, part in net.named_modules() if isinstance(part, IntegerLayer)}


@pytest.mark.parametrize("kind", [Plain, Residual, Grouped, Tied, Transformer])
def test_answers_are_those_of_the_rounded_network(kind: type[nn.Module], task: FakeTask) -> None:
    net = made(kind)
    state = copy.deepcopy(net.state_dict())
    whole = to_integer(net, task)
    x = task.validation.x
    with torch.no_grad():
        got = whole(x)
        plain = folded(net)
        names = dict.fromkeys(parts(whole), 8)
        rounded = quantise_inputs(quantise(plain, names, WEIGHTS), calibrate(plain, task, names))
        # A value on the border between two steps may fall to either side after sums in another order.
        step = (rounded(x) - net(x)).abs().max()
        assert (got - rounded(x)).abs().max() <= step
        assert (got - rounded(x)).abs().mean() < 0.2 * (rounded(x) - net(x)).abs().mean() + 1e-6
    assert len(names) >= 3
    assert all(torch.equal(state[name], value) for name, value in net.state_dict().items())


def test_norms_and_relu_become_part_of_layers_which_hand_on_integers(task: FakeTask) -> None:
    whole = to_integer(made(Plain), task)
    assert not any(isinstance(part, nn.BatchNorm2d | nn.ReLU) for part in whole.modules())
    layers = parts(whole)
    assert [layer.relu for layer in layers.values()] == [True, True, False]
    assert layers["conv1"].gives == layers["conv2"].grid
    assert layers["conv2"].takes_integers
    assert layers["conv2"].gives is None  # flattening stands between it and the next


def test_a_module_called_twice_hands_nothing_on(task: FakeTask) -> None:
    layers = parts(to_integer(made(Tied), task))
    assert layers["again"].gives is None
    assert not layers["again"].takes_integers


def test_only_the_layers_named(task: FakeTask) -> None:
    whole = to_integer(made(Plain), task, layers=["conv2"])
    assert list(parts(whole)) == ["conv2"]
    assert evaluate(whole, task).n == 50


LAYERS = {
    "linear": (nn.Linear(20, 7), (5, 20)),
    "linear, tokens, no bias": (nn.Linear(20, 7, bias=False), (5, 3, 20)),
    "convolution": (nn.Conv2d(6, 8, 3, padding=1, stride=2), (5, 6, 9, 9)),
    "depthwise, dilated": (nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8, bias=False), (5, 8, 9, 9)),
    "one axis": (nn.Conv1d(6, 8, 3, padding=1), (5, 6, 9)),
    "three axes": (nn.Conv3d(2, 3, 2), (5, 2, 4, 4, 4)),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_gives_what_float_gives_of_rounded_numbers(kind: str) -> None:
    layer, shape = LAYERS[kind]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    weight, grid = grid_of(layer.weight, 8, WEIGHTS), InputGrid(0.03, 90, 8)
    whole = IntegerLayer(layer, weight, grid)
    plain = quantise_inputs(quantise(nn.Sequential(layer), {"0": 8}, WEIGHTS), {"0": grid})
    with torch.no_grad():
        expected = plain(x)
        for made in (whole, copy.deepcopy(whole), pickle.loads(pickle.dumps(whole))):
            assert torch.allclose(made(x), expected, atol=1e-5)
            assert torch.allclose(made(x[:2]), expected[:2], atol=1e-5)  # another batch size
        if whole.fuses:
            whole.relu = True
            assert torch.allclose(whole(x), expected.relu(), atol=1e-5)


def test_it_is_copied(task: FakeTask) -> None:
    whole = to_integer(made(Plain), task)
    with torch.no_grad():
        before = whole(task.validation.x)
        assert torch.equal(copy.deepcopy(whole)(task.validation.x), before)


def test_its_latency_is_measured_beside_the_float_network(task: FakeTask) -> None:
    net = made(Plain)
    timing = measure_latency(
        to_integer(net, task), (task.validation.x,), baseline=net, batch_size=2, repeats=3, threads=1
    )
    assert timing.ratio is not None
    assert timing.ratio > 0


def test_why_layers_stay_in_float(task: FakeTask) -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding="same"),
        nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"),
        nn.ConvTranspose2d(2, 2, 1),
        nn.Flatten(),
        nn.Linear(72, 3),
    )
    reasons = integer_layers(net)
    assert [bool(reason) for reason in reasons.values()] == [True, True, True, False]
    with pytest.raises(ValueError, match="'0' cannot run in integers"):
        to_integer(net, task, layers=["0"])
    with pytest.raises(ValueError, match="'9' cannot run in integers: The network has no such layer"):
        to_integer(net, task, layers=["9"])
    with pytest.raises(ValueError, match="No layer of this network"):
        to_integer(nn.Sequential(nn.Flatten()), task)
    assert list(parts(to_integer(net, task))) == ["4"]
