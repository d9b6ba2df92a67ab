"""What the benchmark of recovering prints is what was measured."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from pruning.cost import CostModel
from pruning.counts import kept_count
from pruning.groups import find_structure
from pruning.layers import find_layers
from pruning.models import load_model
from pruning.recover import Pruning
from pruning.tasks import load_task


@pytest.fixture(scope="module")
def bench() -> Iterator[ModuleType]:
    path = Path(__file__).parents[1] / "benchmarks" / "recover.py"
    spec = importlib.util.spec_from_file_location("recover_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_a_verdict_is_that_of_the_means_and_counts_seeds(bench: ModuleType) -> None:
    after = {"L1 gradual + distillation": (0.9, 0.8, 0.7), "L1": (0.8, 0.85, 0.6), "random": (0.9, 0.9, 0.9)}
    better, worse = bench.verdicts(0.9, after)
    assert "is better than one-shot L1, by +5.00 points" in better
    assert better.endswith("ahead for 2 of 3 seeds.")
    assert "is not better than one-shot random, by -10.00 points" in worse
    assert worse.endswith("ahead for 0 of 3 seeds.")


def test_mean_and_deviation_are_in_percent(bench: ModuleType) -> None:
    assert bench.spread([0.9, 0.8, 0.7]) == "80.00 ± 10.00"
    assert bench.spread([0.5]) == "50.00 ± -"


def test_a_run_gives_accuracy_before_and_after(bench: ModuleType) -> None:
    loaded, task = load_model("digits-mlp"), load_task("digits")
    way = bench.Way("l1", Pruning(schedule="one-shot", prune=0, recover=1))
    before, after = bench.one_run(loaded, task, way, 0.95, seed=0)
    assert 0.1 < before < after < 1


def test_ratios_leave_half_of_the_macs_and_no_less(bench: ModuleType) -> None:
    loaded = load_model("cifar10-resnet20")
    structure = find_structure(loaded.module, loaded.example_inputs)
    costs = CostModel(loaded.module, loaded.example_inputs, structure)
    ratios = bench.half_ratios(structure, costs)
    kept = {group.id: kept_count(group.size, ratios[group.id]) for group in structure.groups}
    assert 0.45 < costs.cost(kept).macs / costs.cost().macs <= 0.5


@pytest.mark.parametrize("name", ["mnist-lenet-300-100", "mnist-lenet-5"])
def test_the_papers_shares_of_all_layers_are_eight_percent_of_the_weights(
    bench: ModuleType, name: str
) -> None:
    loaded = load_model(name)
    layers = [layer for layer in find_layers(loaded.module, loaded.example_inputs) if layer.prunable]
    sizes = [loaded.module.get_submodule(layer.name).weight.numel() for layer in layers]
    kept = sum(share * size for share, size in zip(bench.PAPERS[name].kept, sizes, strict=True))
    assert round(100 * kept / sum(sizes)) == 8
