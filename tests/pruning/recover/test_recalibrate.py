"""Statistics of BatchNorm measured anew, and nothing else."""

from __future__ import annotations

import copy

import pytest
import torch
from fake_task import fake_task
from tiny_networks import EXAMPLE, NETWORKS, tiny, traces
from torch import nn

from pruning.groups import find_structure
from pruning.masks import apply_masks
from pruning.plan import make_plan
from pruning.recipe import Recipe, Rule
from pruning.recover.recalibrate import has_batch_norm, recalibrate
from pruning.shrink import is_graph, shrink


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_but_statistics_changes(name: str) -> None:
    module = tiny(name)
    before = traces(module)
    result = recalibrate(module, fake_task().calibration.batches(20))
    assert traces(module) == before
    old, new = module.state_dict(), result.state_dict()
    changed = {key for key in old if not torch.equal(old[key], new[key])}
    statistics = {key for key in old if key.endswith(("running_mean", "running_var"))}
    assert changed == statistics
    assert bool(statistics) == has_batch_norm(module)
    assert [part.training for part in result.modules()] == [part.training for part in module.modules()]
    assert all(result.get_parameter(key) is not p for key, p in module.named_parameters())


def test_statistics_are_the_mean_over_batches() -> None:
    module = tiny("plain")
    batches = [torch.randn(b, 1, 6, 6) for b in (7, 12, 5)]
    result = recalibrate(module, batches)
    seen = [module.conv1(x) for x in batches]
    mean = torch.stack([y.mean((0, 2, 3)) for y in seen]).mean(0)
    variance = torch.stack([y.var((0, 2, 3)) for y in seen]).mean(0)
    torch.testing.assert_close(result.norm1.running_mean, mean)
    torch.testing.assert_close(result.norm1.running_var, variance)
    assert result.norm1.momentum == module.norm1.momentum


def test_one_batch_in_eval_mode_is_that_batch_in_training_mode() -> None:
    module = tiny("residual")
    x = torch.randn(4000, 1, 6, 6)
    result = recalibrate(module, [x])
    trained = copy.deepcopy(module).train()
    torch.testing.assert_close(result(x), trained(x), rtol=1e-3, atol=1e-3)  # variances differ by 1 / n


def test_dropout_stays_off_and_no_random_number_is_drawn() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.BatchNorm1d(36), nn.Linear(36, 3)).train()
    x = torch.randn(50, 1, 6, 6)
    state = torch.get_rng_state()
    result = recalibrate(module, [(x, torch.zeros(50))])
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(result[2].running_mean, x.flatten(1).mean(0))
    assert all(part.training for part in result.modules())


def test_a_norm_that_is_not_reached_keeps_its_statistics() -> None:
    class Partly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.BatchNorm2d(1), nn.BatchNorm2d(1)
            nn.init.constant_(self.unused.running_mean, 3.0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.used(x)

    result = recalibrate(Partly(), [torch.randn(9, 1, 6, 6) + 5])
    assert result.used.running_mean > 4
    assert result.unused.running_mean == 3


def test_after_pruning_the_masked_and_the_smaller_network_agree() -> None:
    module = tiny("plain")
    recipe = Recipe(rules={group.id: Rule(ratio=0.5) for group in find_structure(module, EXAMPLE).groups})
    plan = make_plan(module, recipe, example_inputs=EXAMPLE)
    batches = [torch.randn(30, 1, 6, 6) for _ in range(3)]
    masked = recalibrate(apply_masks(module, plan), batches)
    small = recalibrate(shrink(module, plan, EXAMPLE), batches)
    x = torch.randn(11, 1, 6, 6)
    torch.testing.assert_close(masked(x), small(x), rtol=1e-4, atol=1e-4)


def test_a_graph_whose_norm_is_an_operation_is_refused() -> None:
    class Written(nn.Module):
        """Sizes in its code, so that a smaller one is a graph."""

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
            self.head = nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.norm(self.conv(x)).relu()
            return self.head(x.reshape(len(x), 8, 36).mean(2))

    module = Written().eval()
    rules = {group.id: Rule(ratio=0.5) for group in find_structure(module, EXAMPLE).groups}
    small = shrink(module, make_plan(module, Recipe(rules=rules), example_inputs=EXAMPLE), EXAMPLE)
    assert is_graph(small)
    assert not has_batch_norm(small)
    with pytest.raises(ValueError, match=r"^This network is a graph [^.]*\.$"):
        recalibrate(small, [torch.randn(9, 1, 6, 6)])


def test_too_little_data_is_told() -> None:
    with pytest.raises(ValueError, match=r"^There are no images [^.]*\.$"):
        recalibrate(tiny("plain"), [])
    module = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(36)).eval()
    with pytest.raises(ValueError, match=r"^A batch of one image [^.]*\.$"):
        recalibrate(module, [torch.randn(1, 1, 6, 6)])
