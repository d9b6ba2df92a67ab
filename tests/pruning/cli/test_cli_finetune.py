"""`finetune`: what is written and said, settings from flags and files, going on after an interruption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import pruning
from pruning.checkpoint import self_check
from pruning.cli import finetune, main
from pruning.recover import Epoch, Recovery, recover

NAME = "digits-mlp"
SHORT = ("--prune", 1, "--recover", 1, "--lr", 0.003)
HALF = ("--ratio", 0.9, "--granularity", "weight", "--criterion", "l1")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Latency from a moment, and the file checked in this process: a fresh one takes seconds."""

    def check(*arguments: Any, fresh_process: bool, **options: Any) -> Any:
        return self_check(*arguments, **options)

    monkeypatch.setattr("pruning.cli.finetune.LATENCY_BUDGET_S", 0.05)
    monkeypatch.setattr("pruning.runs.leave.self_check", check)


def call(*argv: object) -> int:
    return main(["finetune", NAME, *(str(argument) for argument in argv)])


def test_it_prunes_trains_writes_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*HALF, *SHORT, "--distill", "--seed", 3, "--out", tmp_path) == 0
    said = capsys.readouterr().out
    lines = [line for line in said.splitlines() if line.startswith("epoch ")]
    assert [line.split()[1] for line in lines] == ["0/2", "1/2", "2/2"]
    assert "s left" in lines[1]
    assert "s left" not in lines[2]
    assert said.count("test images") >= 2
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"{NAME}-recovered.safetensors", "recipe.json", "settings.json", "load.py", "README.md"}
    settings = Recovery.from_json((tmp_path / "settings.json").read_text())
    assert settings.teach is not None
    assert (settings.teach.weight, settings.fit.seed, settings.recipe.seed) == (0.5, 3, 3)
    assert (settings.pruning.prune, settings.pruning.recover, settings.fit.lr) == (1, 1, 0.003)
    found = pruning.load_checkpoint(tmp_path / f"{NAME}-recovered.safetensors").module
    task = pruning.load_task("digits")
    report = pruning.evaluate(found, task, "test")
    assert f"recovered: {100 * report.accuracy:.2f} %" in said
    pruned = pruning.load_model(NAME).module
    weights = [part.weight for part in found.modules() if hasattr(part, "weight")]
    assert all(float((weight == 0).float().mean()) == pytest.approx(0.9, abs=0.001) for weight in weights)
    assert sum(weight.numel() for weight in weights) < sum(p.numel() for p in pruned.parameters())


def test_the_settings_that_a_run_leaves_make_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert call(*HALF, *SHORT, "--out", first, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert call("--settings", first / "settings.json", "--out", second, "--json") == 0
    again = json.loads(capsys.readouterr().out)
    for key in ("settings", "best", "recovered", "pruned", "dense"):
        assert document[key] == again[key]
    assert document["ended"] == "done"
    assert [epoch["number"] for epoch in document["epochs"]] == [0, 1, 2]
    name = f"{NAME}-recovered.safetensors"
    assert (first / name).read_bytes() == (second / name).read_bytes()


def test_a_flag_changes_what_the_file_says(tmp_path: Path) -> None:
    given = Recovery.from_json(
        '{"recipe": {"rules": {"hidden.fc1": {"ratio": 0.5}}}, "pruning": {"prune": 1}}'
    )
    (tmp_path / "given.json").write_text(given.to_json())
    more = ("--recover", 0, "--hints", "--regularise", "l1", "--schedule", "linear", "--clip", 2)
    assert call("--settings", tmp_path / "given.json", *more, "--out", tmp_path / "out") == 0
    settings = Recovery.from_json((tmp_path / "out" / "settings.json").read_text())
    assert settings.recipe.rules == given.recipe.rules
    assert settings.pruning == given.pruning.model_copy(update={"recover": 0, "schedule": "linear"})
    assert settings.teach is not None
    assert (settings.teach.weight, settings.teach.hints) == (0, 1)
    assert settings.regularise is not None
    assert settings.regularise.strength > 0
    assert settings.fit == given.fit.model_copy(update={"clip": 2})


def test_interrupted_it_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    assert call(*HALF, *SHORT, "--out", straight) == 0

    def interrupted(*arguments: Any, on_epoch: Any, **options: Any) -> Any:
        def tell(epoch: Epoch) -> None:
            on_epoch(epoch)
            if epoch.number == 1:
                raise KeyboardInterrupt

        return recover(*arguments, on_epoch=tell, **options)

    with monkeypatch.context() as patch:
        patch.setattr(finetune, "recover", interrupted)
        assert call(*HALF, *SHORT, "--out", broken) == 130
    assert "--resume" in capsys.readouterr().err
    assert call("--resume", "--out", broken) == 0
    said = capsys.readouterr().out
    assert [line.split()[1] for line in said.splitlines() if line.startswith("epoch ")] == ["2/2"]
    name = f"{NAME}-recovered.safetensors"
    assert (straight / name).read_bytes() == (broken / name).read_bytes()
    assert not (broken / "state").exists()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ((), "Say what to prune"),
        (("--resume", "--ratio", 0.5), "leave them out beside --resume"),
        (("--resume", "--lr", 0.5), "leave them out beside --resume"),
        (("--resume",), "cannot be read"),
        (("--settings", "nowhere.json"), "cannot be read"),
        (("--recipe", "{unknown}"), "hidden.fc1"),
        (("--ratio", 0.5, "--strength", 0.5), "add --regularise"),
        (("--ratio", 0.5, "--lr", -1), "fit > lr"),
        (("--ratio", 0.5, "--schedule", "no"), "invalid choice"),
        (("--ratio", 0.5, "--precision", "float16", "--device", "cpu"), "needs a CUDA device"),
    ],
)
def test_mistakes_are_told_in_a_line(
    argv: tuple[object, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unknown = tmp_path / "unknown.json"
    unknown.write_text('{"rules": {"nowhere": {"ratio": 0.5}}}')
    argv = tuple(unknown if argument == "{unknown}" else argument for argument in argv)
    assert call(*argv, "--out", tmp_path / "out") == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert "\n" not in said
