"""Every network of the zoo: what is coupled in it, and that removing it is exact."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map
from zoo import FAMILIES, ZOO, random_plan, ratio_plan
from zoo.expected import GRAPHS, GROUPS, WIDER

from pruning.groups import Choices, Structure, find_structure
from pruning.masks import apply_masks
from pruning.plan import Plan
from pruning.reference import masked_outputs
from pruning.shrink import is_graph, shrink

WAYS = {
    "exact": Choices(),
    "statistics": Choices(norms="statistics"),
    "inside": Choices(heads="inside", norms="statistics"),
}


def in_float64(name: str, seed: int = 0) -> tuple[nn.Module, tuple[Any, ...]]:
    module, inputs = ZOO[name](seed)

    def wide(value: Any) -> Any:
        return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value

    return module.double(), tree_map(wide, inputs)


def listed(structure: Structure) -> str:
    """Each group as the layers that make it and its size; a star where statistics change."""
    return ", ".join(
        f"{'+'.join(group.producers) or group.id}:{group.size}{'*' if group.grade == 'statistics' else ''}"
        for group in structure.groups
    )


def plans(structure: Structure, name: str, way: str) -> list[Plan]:
    """Few for the many, all of them for some, which differ from way to way."""
    if sorted(ZOO).index(name) % 8 == list(WAYS).index(way):
        ratios = [ratio_plan(structure, ratio) for ratio in (0.1, 0.5, 0.9)]
        return ratios + [random_plan(structure, seed) for seed in range(4)]
    return [ratio_plan(structure, 0.5), random_plan(structure, 1)]


@torch.no_grad()
def assert_exact(module: nn.Module, plan: Plan, inputs: tuple[Any, ...]) -> nn.Module:
    small = shrink(module, plan, inputs)
    expected = masked_outputs(apply_masks(module, plan), inputs, plan.structure, plan.channels)
    pairs = list(zip(tree_leaves(small(*inputs)), tree_leaves(expected), strict=True))
    assert pairs
    for got, wanted in pairs:
        if isinstance(wanted, Tensor):
            # Some compute parts in float32, whatever they are given.
            share = 1e-10 if plan.structure.precision is torch.float64 else 1e-5
            scale = float(wanted.abs().max()) if wanted.numel() else 0.0
            torch.testing.assert_close(got, wanted, rtol=0, atol=share * scale)
    removed = any(not mask.all() for mask in plan.channels.values())
    before, after = (sum(p.numel() for p in each.parameters()) for each in (module, small))
    assert after < before if removed else after == before
    return small


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ZOO)
def test_smaller_equals_masked(name: str, way: str) -> None:
    module, inputs = in_float64(name)
    structure = find_structure(module, inputs, WAYS[way])
    if way == "inside" and listed(structure) == listed(find_structure(module, inputs, WAYS["statistics"])):
        return  # nothing to choose
    for plan in plans(structure, name, way) if structure.groups else ():
        small = assert_exact(module, plan, inputs)
        assert not is_graph(small) or name in GRAPHS


@pytest.mark.parametrize("name", ZOO)
def test_what_is_coupled(name: str) -> None:
    """None of these may be lost by fixing too much."""
    assert listed(find_structure(*ZOO[name](), WAYS["exact"])) == GROUPS[name]


@pytest.mark.parametrize(("name", "way"), WIDER)
def test_what_other_choices_free(name: str, way: str) -> None:
    assert listed(find_structure(*ZOO[name](), WAYS[way])) == WIDER[name, way]


def test_the_zoo_is_large_and_listed_once() -> None:
    assert len(ZOO) >= 60
    assert sorted(name for names in FAMILIES.values() for name in names) == sorted(ZOO)
    assert GROUPS.keys() == ZOO.keys()


@pytest.mark.parametrize("name", ZOO)
def test_what_stays_is_said(name: str) -> None:
    """Every parameter is in a group, or the reason is given: never that an operation has no rule."""
    module, inputs = ZOO[name]()
    structure = find_structure(module, inputs)
    in_groups = {member.parameter for group in structure.groups for member in group.members}
    held = {fixed.parameter for fixed in structure.fixed}
    alone = {n for n, p in module.named_parameters() if max(p.shape[:2], default=1) == 1}
    assert {n for n, p in module.named_parameters()} <= in_groups | held | alone
    assert not [fixed for fixed in structure.fixed if "has no rule" in fixed.reason]
