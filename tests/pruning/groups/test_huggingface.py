"""Networks that people really prune: exact at every ratio and at random masks, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from zoo import random_plan, ratio_plan

from pruning.groups import Choices, Structure, find_structure
from pruning.masks import apply_masks
from pruning.plan import Plan
from pruning.reference import masked_outputs
from pruning.shrink import shrink

pytest.importorskip("transformers")

from huggingface import NETWORKS

WAYS = {
    "exact": Choices(),
    "statistics": Choices(norms="statistics"),
    "inside heads": Choices(heads="inside", norms="statistics"),
}


def plans(structure: Structure) -> list[Plan]:
    return [
        *(ratio_plan(structure, r) for r in (0.1, 0.5, 0.9)),
        *(random_plan(structure, s) for s in (1, 2)),
    ]


@torch.no_grad()
def assert_exact(module: nn.Module, plan: Plan, inputs: tuple[Tensor, ...]) -> None:
    small = shrink(module, plan, inputs)
    expected = masked_outputs(apply_masks(module, plan), inputs, plan.structure, plan.channels)
    precise = (
        plan.structure.precision is torch.float64
    )  # some compute parts in float32, whatever they are given
    torch.testing.assert_close(small(*inputs), expected, rtol=0, atol=1e-10 if precise else 1e-5)
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NETWORKS)
def test_smaller_equals_masked(name: str, way: str) -> None:
    module, inputs = NETWORKS[name](0)
    module = module.double()
    inputs = tuple(x.double() if x.is_floating_point() else x for x in inputs)
    structure = find_structure(module, inputs, WAYS[way])
    assert structure.groups
    for plan in plans(structure):
        assert_exact(module, plan, inputs)
