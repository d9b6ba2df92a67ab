"""Whatever the blocks of a network and whatever is removed, the smaller network is exact."""

from __future__ import annotations

import pytest
import torch
from composed import BLOCKS, Step, composed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zoo import random_plan, ratio_plan

from pruning.groups import Choices, find_structure
from pruning.masks import apply_masks
from pruning.plan import Plan
from pruning.reference import masked_outputs
from pruning.shrink import shrink

STEPS = st.lists(
    st.builds(Step, st.sampled_from(sorted(BLOCKS)), st.integers(0, 3), st.integers(0, 11)),
    min_size=1,
    max_size=5,
)
CHOICES = st.builds(Choices, st.sampled_from(["whole", "inside"]), st.sampled_from(["exact", "statistics"]))


@torch.no_grad()
def assert_exact(module: torch.nn.Module, plan: Plan, x: torch.Tensor) -> None:
    small = shrink(module, plan, (x,))
    expected = masked_outputs(apply_masks(module, plan), (x,), plan.structure, plan.channels)
    scale = float(expected.abs().max())
    assert scale > 0
    torch.testing.assert_close(small(x), expected, rtol=0, atol=1e-10 * scale)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(STEPS, CHOICES, st.integers(0, 10**6))
def test_any_composition_and_any_mask_is_exact(steps: list[Step], choices: Choices, seed: int) -> None:
    module = composed(steps)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    structure = find_structure(module, (x,), choices)
    if structure.groups:
        plan = ratio_plan(structure, 0.5, seed) if seed % 3 == 0 else random_plan(structure, seed)
        assert_exact(module, plan, x)


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_every_block_has_something_to_prune(name: str) -> None:
    """A block that fixed all it touches would prove nothing."""
    module = composed([Step(name, 2, 1), Step("convolution", 1, 1)])
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    structure = find_structure(module, (x,), Choices(norms="statistics"))
    touched = {member.parameter for group in structure.groups for member in group.members}
    own = [parameter for parameter, _ in module.named_parameters() if parameter.startswith("body.1.")]
    assert touched.issuperset(own)
    assert_exact(module, random_plan(structure, 0), x)
