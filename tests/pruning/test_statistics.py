from dataclasses import replace

import pytest
import torch
from captum.attr import LayerConductance
from fake_task import FakeSplit, FakeTask, fake_task
from tiny_networks import NETWORKS, tiny, traces
from torch import Tensor, nn
from torch.nn import functional as F

from pruning.statistics import CONDUCTANCE_SAMPLES, NEEDS, Statistics, collect_statistics, conductance


@pytest.fixture
def task() -> FakeTask:
    return fake_task()


def calibration(task: FakeTask, samples: int | None = None) -> tuple[Tensor, Tensor]:
    return task.calibration.x[:samples], task.calibration.targets[:samples]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("need", sorted(NEEDS - {"blocks"}))  # these: see blocks/test_blocks_score.py
def test_statistics_are_finite_deterministic_and_leave_nothing_behind(
    name: str, need: str, task: FakeTask
) -> None:
    module = tiny(name).train()
    before = traces(module)
    first, second = (collect_statistics(module, task, {need}, limit=40) for _ in range(2))
    assert traces(module) == before
    assert first.samples == 40
    filled = {field for field, values in vars(first).items() if values} - {"samples"}
    assert (
        filled
        == {
            "inputs": {"input_norm"},
            "gradients": {"gradients", "gradient_squares", "products"},
            "conductance": {"conductance"},
        }[need]
    )
    for field in filled:
        one, two = getattr(first, field), getattr(second, field)
        assert list(one) == list(two)
        for key in one:
            for a, b in zip(as_tuple(one[key]), as_tuple(two[key]), strict=True):
                assert torch.isfinite(a).all()
                assert torch.equal(a, b)
                assert not a.requires_grad


def as_tuple(value: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)


def test_nothing_is_left_behind_when_the_network_fails(task: FakeTask) -> None:
    class Fails(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = tiny("plain")

        def forward(self, x: Tensor) -> Tensor:
            self.inner(x)
            raise RuntimeError("no answer")

    module = Fails().train()
    before = traces(module)
    for need in NEEDS:
        with pytest.raises((RuntimeError, ValueError), match="no answer"):
            collect_statistics(module, task, {need})
    assert traces(module) == before


def test_input_norms_are_those_of_the_inputs_that_layers_really_get(task: FakeTask) -> None:
    module = tiny("plain")
    x, _ = calibration(task)
    norms = collect_statistics(module, task, {"inputs"}, batch_size=7).input_norm
    with torch.no_grad():
        second = module.norm1(module.conv1(x)).relu()
        last = module.norm2(module.conv2(second)).relu().flatten(1)
    torch.testing.assert_close(norms["conv1"], x.square().sum((0, 2, 3)).sqrt())
    torch.testing.assert_close(norms["conv2"], second.square().sum((0, 2, 3)).sqrt())
    torch.testing.assert_close(norms["head"], last.square().sum(0).sqrt())


def test_input_norms_count_every_token_and_every_call(task: FakeTask) -> None:
    x, _ = calibration(task)
    transformer = tiny("transformer")
    seen: list[Tensor] = []
    handle = transformer.fc1.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    transformer(x)
    handle.remove()
    norms = collect_statistics(transformer, task, {"inputs"}).input_norm
    torch.testing.assert_close(norms["fc1"], seen[0].square().sum((0, 1)).sqrt())

    tied = tiny("tied")
    with torch.no_grad():
        first = tied.first(x.flatten(1)).relu()
        second = tied.again(first).relu()
    norms = collect_statistics(tied, task, {"inputs"}).input_norm
    torch.testing.assert_close(norms["again"], (first.square() + second.square()).sum(0).sqrt())


def test_the_limit_cuts_the_last_batch(task: FakeTask) -> None:
    module = tiny("plain")
    cut = collect_statistics(module, task, {"inputs"}, limit=20, batch_size=16)
    x, y = calibration(task, 20)
    fewer = replace(task, calibration=FakeSplit(x, y, "calibration"))
    assert cut.samples == 20
    torch.testing.assert_close(
        cut.input_norm["head"], collect_statistics(module, fewer, {"inputs"}, limit=None).input_norm["head"]
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_mean_gradients_are_those_of_the_mean_loss(name: str, task: FakeTask) -> None:
    module = tiny(name)
    x, y = calibration(task)
    found = collect_statistics(module, task, {"gradients"}, batch_size=16).gradients  # 16 + 16 + 16 + 2
    F.cross_entropy(module(x), y).backward()
    for key, parameter in module.named_parameters():
        expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(found[key], expected, rtol=1e-4, atol=1e-6)


def test_squares_and_products_are_those_of_each_batch(task: FakeTask) -> None:
    module = tiny("plain")
    found = collect_statistics(module, task, {"gradients"}, batch_size=25)
    weight = module.conv2.weight
    gradients = [
        torch.autograd.grad(F.cross_entropy(module(x), y), weight)[0] for x, y in task.calibration.batches(25)
    ]
    torch.testing.assert_close(
        found.gradient_squares["conv2.weight"], torch.stack(gradients).square().mean(0)
    )
    products = torch.stack([gradient * weight.detach() for gradient in gradients])
    assert [tuple(p.shape) for p in found.products["conv2.weight"]] == [(2, 8), (2, 6), (2, 3), (2, 3)]
    torch.testing.assert_close(found.products["conv2.weight"][0], products.sum((2, 3, 4)))
    torch.testing.assert_close(found.products["conv2.weight"][1], products.sum((1, 3, 4)))
    assert found.products["norm1.bias"][0].shape == (2, 6)


def test_a_shared_parameter_has_its_statistics_under_both_names(task: FakeTask) -> None:
    found = collect_statistics(tiny("tied"), task, {"gradients"}).gradients
    assert found["twin.weight"] is found["again.weight"]


def test_statistics_work_where_gradients_are_switched_off(task: FakeTask) -> None:
    frozen = tiny("plain").requires_grad_(False)
    with torch.no_grad():
        found = collect_statistics(frozen, task, {"gradients", "conductance"})
    expected = collect_statistics(tiny("plain"), task, {"gradients"})
    assert torch.equal(found.gradients["conv1.weight"], expected.gradients["conv1.weight"])
    assert found.conductance["conv1"].any()


@pytest.mark.parametrize(("name", "layer"), [("plain", "conv1"), ("plain", "conv2"), ("transformer", "fc1")])
def test_conductance_is_captums(name: str, layer: str, task: FakeTask) -> None:
    module = tiny(name)
    x, y = calibration(task, 6)
    ours = conductance(module, x, y, steps=200)[layer]
    theirs = LayerConductance(module, module.get_submodule(layer)).attribute(
        x, target=y, n_steps=400, method="riemann_trapezoid"
    )
    summed = theirs.sum(1) if theirs.dim() == 3 else theirs.sum((2, 3))
    torch.testing.assert_close(ours, summed.detach(), rtol=0.02, atol=0.002)


def test_conductance_of_a_cut_sums_to_the_difference_of_the_logit(task: FakeTask) -> None:
    module = tiny("residual").double()
    x, y = calibration(task, 8)
    x = x.double()
    with torch.no_grad():
        logit = module(x).gather(1, y[:, None]) - module(torch.zeros_like(x)).gather(1, y[:, None])
    flow = conductance(module, x, y, steps=100)
    torch.testing.assert_close(flow["stem"].sum(1), logit.squeeze(1), rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(flow["expand"], flow["depthwise"], rtol=5e-2, atol=5e-3)  # channel by channel


def test_conductance_of_a_hidden_unit_is_what_it_adds_to_the_logit(task: FakeTask) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Tanh(), nn.Linear(8, 3))
    for parameter, seed in zip(module.parameters(), range(4), strict=True):
        nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(seed))
    x, y = calibration(task, 8)
    with torch.no_grad():
        added = torch.tanh(module[1](module[0](x))) - torch.tanh(module[1].bias)
        expected = module[3].weight[y] * added
    found = conductance(module, x, y)["1"]
    assert (found - expected).abs().max() < 0.01 * expected.abs().max()


def test_an_activation_in_place_changes_nothing(task: FakeTask) -> None:
    x, y = calibration(task, 4)

    def flow(inplace: bool) -> dict[str, Tensor]:
        layers = [nn.Conv2d(1, 4, 3), nn.ReLU(inplace), nn.Flatten(), nn.Linear(64, 3)]
        module = nn.Sequential(*layers)
        for parameter, seed in zip(module.parameters(), range(4), strict=True):
            nn.init.normal_(parameter, generator=torch.Generator().manual_seed(seed))
        return conductance(module, x, y)

    for layer, expected in flow(inplace=False).items():
        torch.testing.assert_close(flow(inplace=True)[layer], expected)


def test_mean_conductance_takes_the_first_samples_only() -> None:
    task = fake_task(images=CONDUCTANCE_SAMPLES + 20)
    module = tiny("plain")
    found = collect_statistics(module, task, {"conductance"}, limit=None).conductance["conv1"]
    x, y = calibration(task, CONDUCTANCE_SAMPLES)
    torch.testing.assert_close(found, conductance(module, x, y)["conv1"].abs().mean(0), rtol=1e-4, atol=1e-6)


def test_wrong_arguments_are_refused_in_a_sentence(task: FakeTask) -> None:
    module = tiny("plain")
    with pytest.raises(ValueError, match=r"There is no statistic 'hessian'; choose from blocks, conductance"):
        collect_statistics(module, task, {"hessian"})
    for wrong in ({"limit": 0}, {"batch_size": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            collect_statistics(module, task, {"inputs"}, **wrong)
    empty = replace(task, calibration=FakeSplit(torch.zeros(0, 1, 6, 6), torch.zeros(0), "calibration"))
    with pytest.raises(ValueError, match="has no samples"):
        collect_statistics(module, empty, {"inputs"})
    assert collect_statistics(module, task, set()) == Statistics(samples=50)
