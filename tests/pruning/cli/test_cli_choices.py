"""How groups are found, from the command line: inspected, scanned, pruned, written as a program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import pruning
from pruning.checkpoint import program_code
from pruning.cli import main

NAME, CHOICES = "digits-vit", pruning.Choices("inside", "statistics")
OPTIONS = ("--heads", "inside", "--norms", "statistics")
STREAM = "patches"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Latency in a moment; the file's check in a fresh process is tested elsewhere."""
    monkeypatch.setattr("pruning.cli.prune.LATENCY_BUDGET_S", 0.05)
    monkeypatch.setattr("pruning.cli.prune.self_check", lambda *_, **__: None)


def run(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    assert main([str(argument) for argument in argv]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_inspect_says_all_of_each_group_and_of_what_is_fixed(capsys: pytest.CaptureFixture[str]) -> None:
    loaded = pruning.load_model(NAME)
    structure = pruning.find_structure(loaded.module, loaded.example_inputs, CHOICES)
    found = json.loads(run(capsys, "--json", "inspect", NAME, *OPTIONS))
    told = [(g["id"], g["size"], g["kind"], g["grade"], g["minimum"], g["why"]) for g in found["groups"]]
    assert told == [(g.id, g.size, g.kind, g.grade, g.minimum, g.why) for g in structure.groups]
    assert {g["id"] for g in found["groups"] if g["grade"] == "statistics"} == {STREAM}
    assert [(f["parameter"], f["dim"], f["reason"]) for f in found["fixed"]] == [
        (f.parameter, f.dim, f.reason) for f in structure.fixed
    ]
    text = " ".join(run(capsys, "inspect", NAME, *OPTIONS).split())
    assert "exact, with means and variances over the channels that stay" in text
    assert all(group.why in text for group in structure.groups)
    assert all(fixed.reason in text for fixed in structure.fixed)
    whole = json.loads(run(capsys, "--json", "inspect", NAME))
    assert STREAM not in {g["id"] for g in whole["groups"]}
    assert "head" in {g["kind"] for g in whole["groups"] if not g["roundable"]}


def test_a_scan_of_one_choice_is_not_found_for_another(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRUNING_CACHE_DIR", str(tmp_path / "cache"))
    scan = ("--json", "scan", NAME, "--ratios", "0.5", "--limit", 20, "--write", tmp_path / "r.json")
    stream = json.loads(run(capsys, *scan, "--norms", "statistics"))
    assert STREAM in stream["scan"]["keys"]
    assert pruning.Recipe.from_json((tmp_path / "r.json").read_text()).norms == "statistics"
    exact = json.loads(run(capsys, *scan))
    assert not exact["from_cache"]
    assert STREAM not in exact["scan"]["keys"]
    assert json.loads(run(capsys, *scan, "--norms", "statistics"))["from_cache"]


def test_prune_writes_a_program_and_says_what_the_result_is(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = json.loads(
        run(capsys, "--json", "prune", NAME, "--ratio", 0.3, *OPTIONS, "--pt2", "--out", tmp_path)
    )
    assert (found["grade"], found["graph"]) == ("statistics", False)
    recipe = pruning.Recipe.from_json((tmp_path / "recipe.json").read_text())
    assert recipe.choices == CHOICES
    card = (tmp_path / "README.md").read_text()
    assert "Grade: exact, with means and variances over the channels that stay." in card
    assert "Result: your own class." in card
    program = Path(found["program"])
    assert program_code(program.name) in card
    loaded = pruning.load_checkpoint(tmp_path / f"{NAME}-pruned.safetensors").module
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(program_code(program.name), names)
    images = torch.randn(5, *pruning.MODELS[NAME].input_shape)
    with torch.no_grad():
        torch.testing.assert_close(names["network"](images), loaded(images), rtol=0, atol=1e-6)


def test_without_a_program_all_else_is_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise ValueError("This network cannot be written as a .pt2 program: why.")

    monkeypatch.setattr("pruning.cli.prune.save_program", fail)
    assert main(["prune", "digits-mlp", "--ratio", "0.5", "--pt2", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "warning: This network cannot be written as a .pt2 program: why." in said.err
    assert "result: exact; your own class" in said.out
    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors", ".json", ".py", ".md"}


def test_a_recipe_keeps_its_own_choices(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    recipe = pruning.Recipe(rules={STREAM: pruning.Rule(ratio=0.5)}, norms="statistics", model=NAME)
    file.write_text(recipe.to_json())
    out = ("--json", "prune", NAME, "--recipe", file, "--out", tmp_path / "out")
    assert json.loads(run(capsys, *out))["choices"] == {"heads": "whole", "norms": "statistics"}
    assert main([str(part) for part in (*out, "--norms", "exact")]) != 0
    assert "leave --norms out" in capsys.readouterr().err
