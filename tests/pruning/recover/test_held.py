"""What is masked stays exactly zero, whatever the optimizer remembers."""

from __future__ import annotations

import pytest
import torch
from fake_task import fake_task
from tiny_networks import tiny
from torch import nn

from pruning.groups import find_structure
from pruning.plan import make_plan
from pruning.recipe import Recipe, Rule
from pruning.recover.held import Held, masks_of, masks_when_small
from pruning.recover.optimise import make_optimizer
from pruning.recover.settings import Fit
from pruning.shrink import shrink

EXAMPLE = (torch.zeros(1, 1, 6, 6),)


def step(module: nn.Module, optimizer: torch.optim.Optimizer, held: Held | None, x: torch.Tensor) -> None:
    optimizer.zero_grad()
    module(x).square().mean().backward()
    if held:
        held.before_step()
    optimizer.step()
    if held:
        held.after_step()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("network", ["plain", "residual", "grouped", "tied"])
def test_neither_momentum_nor_weight_decay_revives_a_pruned_weight(optimizer: str, network: str) -> None:
    module, task = tiny(network), fake_task()
    fit = Fit(optimizer=optimizer, lr=0.05, weight_decay=0.3, momentum=0.9)
    made = make_optimizer(module, fit)
    module.train()
    for _ in range(3):  # the optimizer remembers weights that are about to go
        step(module, made, None, task.train.x)
    generator = torch.Generator().manual_seed(1)
    masks = {
        name: torch.rand(parameter.shape, generator=generator) < 0.4
        for name, parameter in module.named_parameters()
    }
    held = Held(module, masks)
    held.set(made)
    for _ in range(5):
        step(module, made, held, task.train.x)
        for name, parameter in module.named_parameters():
            gone = ~masks[name]
            assert torch.equal(parameter[gone], torch.zeros(int(gone.sum())))
            for value in made.state[parameter].values():
                if value.shape == parameter.shape:
                    assert not value[gone].any()
    free = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    assert all(free[name][masks[name]].any() for name in free if masks[name].any())


def test_without_masks_the_same_steps_do_revive_them() -> None:
    """The test above can fail: this is what happens to weights that are only set to zero."""
    module, task = tiny("plain"), fake_task()
    made = make_optimizer(module, Fit(optimizer="adamw", lr=0.05))
    for _ in range(3):
        step(module, made, None, task.train.x)
    weight = next(parameter for parameter in module.parameters() if parameter.ndim > 1)
    with torch.no_grad():
        weight.zero_()
    step(module, made, None, task.train.x)
    assert weight.any()


@pytest.mark.parametrize("network", ["plain", "residual", "grouped"])
def test_masks_of_channels_are_those_of_the_masked_network(network: str) -> None:
    from pruning.masks import apply_masks

    module = tiny(network).eval()
    structure = find_structure(module, EXAMPLE)
    recipe = Recipe(rules={group.id: Rule(ratio=0.5) for group in structure.groups})
    plan = make_plan(module, recipe, example_inputs=EXAMPLE, structure=structure)
    masked = apply_masks(module, plan)
    masks = masks_of(module, plan)
    for (name, parameter), other in zip(module.named_parameters(), masked.parameters(), strict=True):
        expected = parameter * masks[name] if name in masks else parameter
        assert torch.equal(expected, other)


def test_masks_of_weights_follow_the_channels_that_stay() -> None:
    module = tiny("plain").eval()
    structure = find_structure(module, EXAMPLE)
    layers = [name for name, part in module.named_modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    rules = {group.id: Rule(ratio=0.5) for group in structure.groups}
    rules |= {
        layer: Rule(ratio=0.5, granularity="weight", criterion="l1") for layer in layers if layer not in rules
    }
    plan = make_plan(module, Recipe(rules=rules), example_inputs=EXAMPLE, structure=structure)
    small = shrink(module, plan, EXAMPLE)
    for name, keep in masks_when_small(small, plan).items():
        weight = dict(small.named_parameters())[name]
        assert keep.shape == weight.shape
        assert not weight[~keep].any()
        assert weight[keep].all()
