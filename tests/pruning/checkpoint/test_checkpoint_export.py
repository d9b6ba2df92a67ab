"""What goes with an exported file: the card, the loading code, the self-check. Each is really run."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import torch
from small_nets import INPUTS, Net, channel_recipe, make_net, plan_for, stir
from torch import nn

import pruning
from pruning.checkpoint import (
    Side,
    check_batches,
    checkpoint_bytes,
    dense_size,
    loading_code,
    model_card,
    self_check,
)
from pruning.cost import CostModel
from pruning.latency import Timing
from pruning.models.loading import example_inputs
from pruning.plan import Plan

ROOT = Path(pruning.__file__).parents[1]
NAME = "digits-mlp"


@pytest.fixture(scope="module")
def pruned() -> tuple[nn.Module, nn.Module, Plan, pruning.Recipe]:
    dense = pruning.build_model(NAME).eval()
    stir(dense)
    inputs = example_inputs(pruning.MODELS[NAME])
    ids = [group.id for group in pruning.find_groups(dense, inputs)]
    recipe = channel_recipe(dense, ids, 0.5)
    plan = plan_for(dense, recipe, inputs)
    return dense, pruning.shrink(dense, plan, inputs), plan, recipe


@pytest.fixture(scope="module")
def digits() -> pruning.Task:
    return pruning.load_task("digits")


def test_the_loading_code_runs_in_a_fresh_process(pruned: tuple, tmp_path: Path) -> None:
    _, small, plan, recipe = pruned
    name = 'it\'s "mine" $x.safetensors'
    pruning.save_checkpoint(tmp_path / name, small, plan, recipe)
    (tmp_path / "load.py").write_text(loading_code(NAME, name), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "load.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        predicted = small(torch.zeros(1, 1, 8, 8)).argmax(1).tolist()
    parameters = sum(parameter.numel() for parameter in small.parameters())
    assert done.stdout == f"predicted class: {predicted}\nparameters: {parameters}\n"


@pytest.mark.parametrize("name", pruning.MODELS)
def test_the_loading_code_is_python_for_every_network(name: str) -> None:
    code = loading_code(name, "a.safetensors")
    ast.parse(code)
    assert name in code
    assert len(code.splitlines()) < 25


@pytest.mark.parametrize("name", ["", "../a.safetensors", "/a", "a\nb", "a\\b", "a\0b"])
def test_the_loading_code_takes_no_odd_name(name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a file"):
        loading_code(NAME, name)
    with pytest.raises(ValueError, match="no model"):
        loading_code('x"""; import os', "a.safetensors")


def test_self_check_in_this_process_and_in_a_fresh_one(pruned: tuple, digits: pruning.Task) -> None:
    _, small, plan, recipe = pruned
    data = checkpoint_bytes(small, plan, recipe)
    report = pruning.evaluate(small, digits, split="test", limit=70)
    for fresh in (False, True):
        check = self_check(data, small, digits.test, batch_size=32, limit=70, fresh_process=fresh)
        assert check.passed
        assert check.identical
        assert (check.n, check.same, check.largest, check.fresh_process) == (70, 70, 0.0, fresh)
        assert check.accuracy == pytest.approx(report.accuracy)
        assert "70 of 70 predictions the same" in str(check)


def test_self_check_sees_another_network(pruned: tuple, digits: pruning.Task) -> None:
    """Not a formality: a file with other weights is found out."""
    _, small, plan, recipe = pruned
    data = checkpoint_bytes(small, plan, recipe)
    other = pruning.load_checkpoint(data).module
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    check = self_check(checkpoint_bytes(other, plan, recipe), small, digits.test)
    assert not check.passed
    assert not check.identical
    assert check.n == len(digits.test)
    assert check.largest > 0
    with pytest.raises(ValueError, match="cut off"):
        self_check(data[:1000], small, digits.test)
    with pytest.raises(ValueError, match=r"fresh process could not load .*cut off"):
        self_check(data[:1000], small, digits.test, limit=5, fresh_process=True)


def test_one_pass_gives_the_report_and_the_check(pruned: tuple, digits: pruning.Task) -> None:
    _, small, plan, recipe = pruned
    loaded = pruning.load_checkpoint(checkpoint_bytes(small, plan, recipe)).module
    pairs = list(check_batches(loaded, small, digits.test, batch_size=100))
    assert [report.n for report, _ in pairs] == [check.n for _, check in pairs] == [100, 200, 300, 360]
    report, check = pairs[-1]
    assert check.passed
    assert check.identical
    assert (check.split, check.accuracy) == ("test", report.accuracy)
    assert torch.equal(report.predictions, pruning.evaluate(small, digits, split="test").predictions)
    with torch.no_grad():
        next(loaded.parameters()).neg_()
    *_, (_, check) = check_batches(loaded, small, digits.test)
    assert not check.passed
    assert not check.identical
    assert check.same < check.n
    assert check.largest > 0


def test_self_check_of_ones_own_architecture(tmp_path: Path) -> None:
    class Images:
        name = "test"
        targets = torch.zeros(6, dtype=torch.long)

        def __len__(self) -> int:
            return 6

        def batches(self, size: int):
            for start in range(0, 6, size):
                yield INPUTS[0][:1].repeat(6, 1, 1, 1)[start : start + size], self.targets[:size]

    module = make_net()
    recipe = channel_recipe(module, ["stem"])
    plan = plan_for(module, recipe)
    small = pruning.shrink(module, plan, INPUTS)
    path = pruning.save_checkpoint(tmp_path / "a.safetensors", small, plan, recipe)
    assert self_check(path, small, Images(), batch_size=4, dense=Net()).passed


def sides(pruned: tuple, task: pruning.Task | None) -> tuple[Side, Side]:
    dense, small, plan, recipe = pruned
    costs = CostModel(dense, example_inputs(pruning.MODELS[NAME]), plan.structure)
    kept = {entry.key: entry.kept for entry in plan.entries}
    reports = [pruning.evaluate(net, task, split="test") if task else None for net in (dense, small)]
    return (
        Side(costs.cost(), dense_size(dense), reports[0]),
        Side(costs.cost(kept), len(checkpoint_bytes(small, plan, recipe)), reports[1]),
    )


def test_the_card_holds_the_measured_figures(pruned: tuple, digits: pruning.Task) -> None:
    _, small, plan, recipe = pruned
    before, after = sides(pruned, digits)
    base = Timing(2e-3, 1.9e-3, 2.2e-3, 50, 1, 2)
    timing = replace(base, median=1e-3, baseline=base, ratio=2.0, ratio_interval=(1.9, 2.1))
    check = self_check(checkpoint_bytes(small, plan, recipe), small, digits.test)
    card = model_card(
        architecture=NAME,
        recipe=recipe,
        plan=plan,
        dense=before,
        pruned=after,
        timing=timing,
        check=check,
        file_name="folder/a.safetensors",
        data="Data: digits.",
        made=date(2026, 1, 2),
    )
    assert card.startswith("---\nlicense: apache-2.0\n")
    for figure in (
        f"{before.cost.parameters:,} | {after.cost.parameters:,}",
        f"{before.cost.macs:,} | {after.cost.macs:,}",
        f"{100 * after.report.accuracy:.2f} %",
        f"{after.report.n:,} of {after.report.n:,} test images",
        "median 1.000 ms",
        "2.00 times as fast (95 % interval 1.90 to 2.10)",
        "batch 1, 2 threads",
        str(check),
        "2026-01-02",
        "load_checkpoint('a.safetensors')",
        "Apache-2.0",
        recipe.to_json(),
    ):
        assert figure in card, figure
    for entry in plan.entries:
        assert f"`{entry.key}` | channel | `random` | 50.0% off | {entry.kept} of {entry.size}" in card
    assert sum(parameter.numel() for parameter in small.parameters()) == after.cost.parameters


def test_the_card_says_what_was_not_measured(pruned: tuple) -> None:
    _, _, plan, recipe = pruned
    before, after = sides(pruned, None)
    card = model_card(
        architecture="x`|\n# y",
        recipe=recipe,
        plan=plan,
        dense=before,
        pruned=after,
        file_name="a.safetensors",
    )
    assert "| accuracy (95 % interval) | not measured | not measured |  |" in card
    assert "Latency: not measured." in card
    assert "Self-check of the file: not measured." in card
    assert "\n# y" not in card
    assert date.today().isoformat() in card
