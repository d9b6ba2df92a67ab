"""Networks without some of their blocks are saved and loaded bit for bit; files that lie are refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from block_nets import build
from small_nets import forged, outputs, stir
from torch import Tensor, nn

import pruning
from pruning.blocks import Skip, find_blocks
from pruning.checkpoint import SizeModel, checkpoint_bytes, checkpoint_size, load_checkpoint, loading_code
from pruning.cli import main
from pruning.groups import find_structure
from pruning.masks import apply_masks
from pruning.models import MODELS, build_model
from pruning.models.loading import example_inputs
from pruning.plan import Plan, make_plan
from pruning.recipe import Recipe, Rule
from pruning.shrink import shrink

MODELS_WITH_BLOCKS = ["digits-resnet", "digits-mobilenet", "digits-vit"]


def pruned(
    module: nn.Module, inputs: tuple[Tensor, ...], every: int = 2, channels: float = 0.3
) -> tuple[Plan, Recipe]:
    """Every second block dropped, every group pruned, a weight rule on the last linear layer."""
    structure = find_structure(module, inputs)
    blocks = find_blocks(module, inputs, structure)
    rules = {
        block.id: Rule(ratio=float(block.order % every == 0), granularity="layer", criterion="influence")
        for block in blocks.blocks
    }
    rules |= {group.id: Rule(ratio=channels, criterion="random") for group in structure.groups if channels}
    last = [name for name, part in module.named_modules() if isinstance(part, nn.Linear)][-1]
    rules[last] = Rule(ratio=0.5, granularity="weight")
    recipe = Recipe(rules=rules)
    return make_plan(module, recipe, example_inputs=inputs, structure=structure, blocks=blocks), recipe


def assert_same(module: nn.Module, loaded: nn.Module, x: Tensor) -> None:
    ours, theirs = module.state_dict(), loaded.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    assert torch.equal(outputs(module, x), outputs(loaded, x))


@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize("name", MODELS_WITH_BLOCKS)
def test_built_in_networks_without_blocks_survive_the_file(name: str, form: str, tmp_path: Path) -> None:
    module = build_model(name)
    stir(module)
    inputs = example_inputs(MODELS[name])
    plan, recipe = pruned(module.eval(), inputs)
    small = shrink(module, plan, inputs)
    path = pruning.save_checkpoint(tmp_path / "a.safetensors", small, plan, recipe, form=form)
    again = load_checkpoint(path)
    assert_same(small, again.module, torch.randn(3, *MODELS[name].input_shape))
    assert again.recipe == recipe
    moot = {entry.key for entry in plan.entries if entry.gone_with}
    assert moot
    assert again.keep.keys() == plan.keep.keys() - moot
    for key in plan.keep.keys() - moot - plan.weights.keys():
        assert torch.equal(again.keep[key], plan.keep[key])
    kept, nonzero = (
        {key: int(keep.sum()) for key, keep in part.items()} for part in (plan.channels, plan.weights)
    )
    dropped = [block.id for block in plan.blocks]
    sizes = SizeModel(module, plan.structure)
    assert path.stat().st_size == checkpoint_size(small, plan, recipe, form=form)
    assert path.stat().st_size == sizes.size(recipe, kept, nonzero, dropped=dropped, form=form)


@pytest.mark.parametrize("name", ["Stages", "Forms", "Overwritten", "TorchEncoder"])
@pytest.mark.parametrize("channels", [0.0, 0.4])
def test_networks_that_are_not_built_in(name: str, channels: float) -> None:
    module, inputs = build(name)
    plan, recipe = pruned(module, inputs, channels=channels)
    for network in (shrink(module, plan, inputs), apply_masks(module, plan)):
        again = load_checkpoint(checkpoint_bytes(network, plan, recipe), build(name, 5)[0], inputs)
        assert_same(network, again.module, inputs[0])
        assert [n for n, m in again.module.named_modules() if isinstance(m, Skip)] == [
            block.id for block in plan.blocks
        ]
    with pytest.raises(ValueError, match="give load_checkpoint its example_inputs too"):
        load_checkpoint(checkpoint_bytes(network, plan, recipe), build(name, 5)[0])


def test_blocks_that_all_stay_need_no_inputs() -> None:
    module, inputs = build("Stages")
    recipe = Recipe(rules={"stages.0.0": Rule(ratio=0.0, granularity="layer")})
    plan = make_plan(module, recipe, example_inputs=inputs)
    again = load_checkpoint(checkpoint_bytes(module, plan, recipe), build("Stages", 5)[0])
    assert_same(module, again.module, inputs[0])
    assert again.keep["stages.0.0"].tolist() == [True]


def test_the_loading_code_runs_and_the_command_line_writes_such_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pruning.cli.prune.LATENCY_BUDGET_S", 0.05)
    monkeypatch.setattr("pruning.cli.prune.self_check", lambda *args, fresh_process, **options: None)
    out = tmp_path / "small"
    arguments = ["prune", "digits-resnet", "--granularity", "layer", "--ratio", "0.5", "--out", str(out)]
    assert main(arguments) == 0
    assert "influence" in (out / "README.md").read_text(encoding="utf-8")
    assert "stages.stage1.1" in capsys.readouterr().out
    loaded = load_checkpoint(out / "digits-resnet-pruned.safetensors")
    gone = [key for key, keep in loaded.keep.items() if not keep]
    assert len(gone) == 2
    assert (out / "load.py").read_text(encoding="utf-8") == loading_code(
        "digits-resnet", "digits-resnet-pruned.safetensors"
    )
    done = subprocess.run(
        [sys.executable, "load.py"],
        cwd=out,
        env={"PYTHONPATH": str(Path(pruning.__file__).parents[1]), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    parameters = sum(parameter.numel() for parameter in loaded.module.parameters())
    assert f"parameters: {parameters}" in done.stdout


def test_the_command_line_scans_layers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "r.json"
    scan = ["scan", "digits-resnet", "--granularity", "layer", "--limit", "64", "--loss", "100"]
    assert main([*scan, "--write", str(file)]) == 0
    said = capsys.readouterr().out
    assert "with one layer pruned by influence" in said
    recipe = Recipe.from_json(file.read_text(encoding="utf-8"))
    assert {(rule.ratio, rule.granularity) for rule in recipe.rules.values()} == {(1.0, "layer")}
    assert len(recipe.rules) == 4
    assert main([*scan, "--ratios", "0.5"]) == 2
    assert "A layer is kept (0) or dropped (1)" in capsys.readouterr().err
    assert (
        main(["prune", "digits-mlp", "--granularity", "layer", "--ratio", "1", "--out", str(tmp_path)]) == 2
    )
    assert "Nothing in digits-mlp can be pruned by layer." in capsys.readouterr().err


BLOCK = "stages.0.0"


def small_file() -> tuple[bytes, tuple[Tensor, ...]]:
    module, inputs = build("Stages")
    recipe = Recipe(rules={BLOCK: Rule(ratio=1.0, granularity="layer")})
    plan = make_plan(module, recipe, example_inputs=inputs)
    return checkpoint_bytes(shrink(module, plan, inputs), plan, recipe), inputs


def rules(**changes: object) -> dict[str, object]:
    keys = {BLOCK: {"ratio": 1.0, "granularity": "layer", "criterion": "l2"}, **changes}
    return {"pruning.recipe": {"rules": {key: rule for key, rule in keys.items() if rule is not None}}}


def keep(size: object, kept: object, key: str = BLOCK) -> dict[str, object]:
    return {"pruning.keep": {key: {"size": size, "kept": kept}}}


WRONG = {"ratio": 1.0, "granularity": "layer", "criterion": "l2"}


def both(other: str) -> dict[str, object]:
    """A second block that is said to be dropped."""
    record = {"size": 1, "kept": "00"}
    return {**rules(**{other: WRONG}), "pruning.keep": {BLOCK: record, other: record}}


FORGED: dict[str, tuple[dict[str, object], str]] = {
    "kept after all": (keep(1, "80"), "record of the layer 'stages.0.0' does not fit its recipe"),
    "no record": ({"pruning.keep": {}}, "record of the layer 'stages.0.0' does not fit its recipe"),
    "two of it": (keep(2, "00"), "record of the layer 'stages.0.0' does not fit its recipe"),
    "half a layer": (rules(**{BLOCK: {**WRONG, "ratio": 0.5}}), r"A layer is kept \(0\) or dropped \(1\)"),
    "no rule": (rules(**{BLOCK: None}), "lacks the tensor 'stages.0.0"),
    "a block that is none": (
        both("stages.1.0"),
        "'stages.1.0' cannot be dropped, because its input has shape",
    ),
    "nowhere": (
        both("no\x1bwhere"),
        "There is no block 'no.x1bwhere' in this network",
    ),
    "another one": (
        {**rules(**{BLOCK: None, "stages.0.2": WRONG}), **keep(1, "00", "stages.0.2")},
        "lacks the tensor 'stages.0.0",
    ),
    "a group of that name": (keep(1, "00") | rules(**{BLOCK: None}), "lacks the tensor"),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_blocks_with_a_fitting_digest(name: str) -> None:
    data, inputs = small_file()
    load_checkpoint(data, build("Stages", 5)[0], inputs)
    change, message = FORGED[name]
    with pytest.raises(ValueError, match=message) as caught:
        load_checkpoint(forged(data, metadata=change), build("Stages", 5)[0], inputs)
    assert str(caught.value).endswith(".")
    assert str(caught.value).isprintable()


def test_what_does_not_belong_together_is_not_saved() -> None:
    module, inputs = build("Stages")
    recipe = Recipe(rules={BLOCK: Rule(ratio=1.0, granularity="layer")})
    plan = make_plan(module, recipe, example_inputs=inputs)
    with pytest.raises(ValueError, match="other shapes than the plan"):
        checkpoint_bytes(module, plan, recipe)
    with pytest.raises(ValueError, match="recipe drops other layers than the plan"):
        checkpoint_bytes(shrink(module, plan, inputs), plan, Recipe())
