import pytest
import torch
from torch import Tensor, nn

from pruning.latency import WAYS, measure_latency, prepare
from pruning.models import MODELS, build_model
from pruning.models.loading import example_inputs


def trained(module: nn.Module) -> nn.Module:
    """With statistics in its batch norms that folding must not lose."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 2.0)
            nn.init.uniform_(part.weight)
            nn.init.uniform_(part.bias)
    return module.eval()


@pytest.mark.parametrize("name", MODELS)
def test_frozen_networks_answer_alike_and_the_user_s_stays(name: str) -> None:
    module, inputs = trained(build_model(name)), example_inputs(MODELS[name])
    before = {key: value.clone() for key, value in module.state_dict().items()}
    frozen = prepare(module, inputs, "frozen")
    torch.testing.assert_close(frozen(*inputs), module(*inputs), rtol=1e-4, atol=1e-4)
    assert not [part for part in frozen.modules() if isinstance(part, nn.BatchNorm2d)]
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


class Fork(nn.Module):
    """One norm follows a convolution that feeds the sum too, the other a layer that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.linear, self.last = (
            nn.Conv2d(3, 4, 3),
            nn.BatchNorm2d(4),
            nn.Linear(2, 2),
            nn.BatchNorm1d(2),
        )
        self.both = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = self.both((x + self.norm(x)).mean((2, 3)))
        return self.last(self.linear(self.linear(x)))


def test_only_a_layer_that_feeds_the_norm_alone_takes_it_in() -> None:
    net, x = trained(Fork()), (torch.rand(2, 3, 5, 5),)
    frozen = prepare(net, x, "frozen")
    torch.testing.assert_close(frozen(*x), net(*x))
    assert len([part for part in frozen.modules() if isinstance(part, nn.BatchNorm2d | nn.BatchNorm1d)]) == 2


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_what_cannot_run_that_way_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    x = (torch.ones(1, 2),)
    with pytest.raises(ValueError, match=r"cannot be frozen here \(.*control flow.*\); time it eagerly"):
        prepare(Branching(), x, "frozen")
    with pytest.raises(
        ValueError, match="no way to run called 'fast'; choose one of eager, frozen, compiled"
    ):
        prepare(Branching(), x, "fast")  # type: ignore[arg-type]

    class InvalidCxxCompiler(RuntimeError):
        pass

    def refuse(*_: object) -> None:
        raise InvalidCxxCompiler("No working C++ compiler found in ...\nmore")

    monkeypatch.setattr(torch, "compile", lambda module, **_: refuse)
    with pytest.raises(ValueError, match="needs a C\\+\\+ compiler and finds none here"):
        prepare(nn.Linear(2, 2).eval(), x, "compiled")
    monkeypatch.setattr(torch, "compile", lambda module, **_: lambda x: module(x) + 1)
    with pytest.raises(ValueError, match="answers otherwise"):
        prepare(nn.Linear(2, 2).eval(), x, "compiled")


def test_compiled_is_a_private_copy_made_under_the_conditions_of_the_measurement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[nn.Module] = []
    ran: set[tuple[int, bool]] = set()
    net, threads = nn.Linear(3, 2).eval(), torch.get_num_threads() + 1

    def note(module: nn.Module, **_: object) -> nn.Module:
        made.append(module)
        module.register_forward_hook(
            lambda *_: ran.add((torch.get_num_threads(), torch.is_inference_mode_enabled()))
        )
        return module

    monkeypatch.setattr(torch, "compile", note)
    timing = measure_latency(
        net, (torch.ones(1, 3),), baseline=net, way="compiled", threads=threads, repeats=6, batch_size=2
    )
    assert (timing.way, timing.batch_size, timing.threads) == ("compiled", 2, threads)
    assert timing.preparation > 0
    assert len(made) == 2
    assert net not in made
    assert ran == {(threads, True)}  # compiled at its first run, and for that number of threads
    assert not net._forward_hooks


def test_eager_is_the_module_itself() -> None:
    net = nn.Linear(2, 2)
    assert prepare(net, (torch.ones(1, 2),), "eager") is net
    assert all(spec.label == way for way, spec in WAYS.items())
