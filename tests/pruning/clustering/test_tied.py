"""Centroids in training: gradients summed by cluster, members exactly equal, zeros exactly zero."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import pruning
from pruning.clustering import Tied, centroids_of, cluster
from pruning.recover import Fit, Pruning, Recovery, Teach, recover

BITS = {"0": 2, "2": 3}


def network() -> nn.Module:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 7, 3), nn.ReLU(), nn.Conv2d(7, 5, 3), nn.Flatten(), nn.Linear(20, 3))
    with torch.no_grad():
        module[0].weight[torch.rand_like(module[0].weight) < 0.6] = 0
    return cluster(module, BITS).to(memory_format=torch.channels_last)


def groups(weight: Tensor) -> list[Tensor]:
    """Masks of the members of each cluster, zeros among them."""
    return [weight == value for value in weight.detach().unique()]


def train(module: nn.Module, optimizer: torch.optim.Optimizer, tied: Tied | None, steps: int = 30) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        loss = module(torch.randn(9, 3, 6, 6)).square().mean() - module(torch.randn(9, 3, 6, 6)).mean()
        loss.backward()
        if tied:
            tied.before_step()
        optimizer.step()
        if tied:
            tied.after_step()


OPTIMIZERS = {
    "sgd": lambda params: torch.optim.SGD(params, lr=1e-3, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adamw": lambda params: torch.optim.AdamW(params, lr=1e-2, weight_decay=0.5),
    "fused": lambda params: torch.optim.AdamW(params, lr=1e-2, weight_decay=0.5, fused=True),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_members_stay_equal_and_zeros_zero(name: str) -> None:
    module = network()
    before = {layer: module.get_submodule(layer).weight.clone() for layer in BITS}
    tied = Tied(module, BITS)
    train(module, OPTIMIZERS[name](module.parameters()), tied)
    for layer, weight in before.items():
        now = module.get_submodule(layer).weight
        assert all(len(now[members].unique()) == 1 for members in groups(weight))
        assert not torch.equal(now, weight)
        assert not now[weight == 0].any()
        assert torch.equal(centroids_of(now), tied.centroids()[layer].unique())


def test_without_it_members_part_and_zeros_come_back() -> None:
    module = network()
    before = module[0].weight.clone()
    train(module, OPTIMIZERS["adamw"](module.parameters()), None)
    assert any(len(module[0].weight[members].unique()) > 1 for members in groups(before))
    assert module[0].weight[before == 0].any()


def test_the_gradient_of_a_centroid_is_the_sum_over_its_members() -> None:
    module = network()
    tied = Tied(module, BITS)
    module(torch.randn(4, 3, 6, 6)).square().sum().backward()
    weight, pruned = module[2].weight, module[0].weight
    gradient = weight.grad.clone()
    assert pruned.grad[pruned == 0].any()
    tied.before_step()
    for members in groups(weight):
        assert torch.allclose(weight.grad[members], gradient[members].sum(), rtol=1e-4)
    assert not pruned.grad[pruned == 0].any()
    assert pruned.grad.any()


def test_a_run_trains_centroids_and_keeps_them() -> None:
    loaded, task = pruning.load_model("digits-mlp"), pruning.load_task("digits")
    layers = ["hidden.fc1", "hidden.fc2"]
    clustered = cluster(loaded.module, dict.fromkeys(layers, 2))
    settings = Recovery(pruning=Pruning(prune=0, recover=2), fit=Fit(lr=1e-3))
    made: list[Tied] = []

    def constrain(module: nn.Module) -> Tied:
        made.append(Tied(module, layers))
        return made[-1]

    found = recover(clustered, task, settings, example_inputs=loaded.example_inputs, constrain=constrain)
    assert len(made) == 1
    for layer in layers:
        assert len(centroids_of(found.module.get_submodule(layer).weight)) <= 4
    again = recover(clustered, task, settings, example_inputs=loaded.example_inputs, constrain=constrain)
    assert all(
        torch.equal(a, b) for a, b in zip(found.module.parameters(), again.module.parameters(), strict=True)
    )
    for options in ({"constrain": constrain}, {"teacher": loaded.module}):
        with pytest.raises(ValueError, match="leave the folder out"):
            recover(clustered, task, settings, example_inputs=(), folder="x", **options)  # type: ignore[arg-type]


def test_another_network_may_teach() -> None:
    loaded, task = pruning.load_model("digits-mlp"), pruning.load_task("digits")
    clustered = cluster(loaded.module, {"hidden.fc1": 1, "hidden.fc2": 1})
    settings = Recovery(pruning=Pruning(prune=0, recover=2), fit=Fit(lr=1e-3), teach=Teach(weight=1.0))
    losses = []
    for teacher in (None, loaded.module):
        found = recover(clustered, task, settings, example_inputs=loaded.example_inputs, teacher=teacher)
        losses.append(found.epochs[-1].losses["distillation"])
    assert losses[0] < losses[1], "it is its own teacher at first, and differs from the other one"
