"""The command line, mostly in this process: what a person reads, what a machine reads, what goes wrong."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import pruning
from pruning.checkpoint import checkpoint_bytes, self_check
from pruning.cli import main
from pruning.cli.console import Console, Progress, table
from pruning.models.loading import example_inputs
from pruning.sensitivity import Precise

NAME = "digits-mlp"
ROOT = Path(pruning.__file__).parents[1]


class Run:
    """Run a command and hold what it said."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *argv: object) -> Run:
        self.code = main([str(argument) for argument in argv])
        self.out, self.err = self.capsys.readouterr()
        return self

    def json(self, *argv: object) -> Any:
        self("--json", *argv)
        assert self.code == 0, self.err
        return json.loads(self.out)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


@pytest.fixture(autouse=True)
def short_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pruning.cli.prune.LATENCY_BUDGET_S", 0.05)


@pytest.fixture
def check_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the written file in this process: a fresh one takes seconds to import torch."""

    def check(*arguments: Any, fresh_process: bool, **options: Any) -> Any:
        assert fresh_process
        return self_check(*arguments, **options)

    monkeypatch.setattr("pruning.cli.prune.self_check", check)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a network pruned to a half."""
    loaded = pruning.load_model(NAME)
    groups = pruning.find_groups(loaded.module, loaded.example_inputs)
    recipe = pruning.Recipe(rules={group.id: pruning.Rule(ratio=0.5) for group in groups}, model=NAME)
    plan = pruning.make_plan(loaded.module, recipe, example_inputs=loaded.example_inputs)
    small = pruning.shrink(loaded.module, plan, loaded.example_inputs)
    path = tmp_path_factory.mktemp("exported") / "half.safetensors"
    return pruning.save_checkpoint(path, small, plan, recipe)


def test_help_teaches_the_way_through(run: Run) -> None:
    assert run("--help").code == 0
    for word in ("models", "inspect", "scan", "prune", "evaluate", "train", "--recipe r.json", "validation"):
        assert word in run.out
    for command in ("models", "inspect", "scan", "prune", "evaluate", "train"):
        assert run(command, "--help").code == 0
        assert "--json" in run.out
        assert "--data-dir" in run.out


def test_models_lists_every_network(run: Run) -> None:
    rows = run.json("models")
    assert [row["name"] for row in rows] == list(pruning.MODELS)
    mlp = next(row for row in rows if row["name"] == NAME)
    assert mlp["parameters"] == sum(p.numel() for p in pruning.load_model(NAME).module.parameters())
    assert run("models").code == 0
    assert all(name in run.out for name in pruning.MODELS)
    assert f"{mlp['parameters']:,}" in run.out


def test_inspect_adds_up(run: Run) -> None:
    found = run.json("inspect", NAME)
    assert sum(layer["parameters"] for layer in found["layers"]) == found["parameters"]
    assert sum(layer["macs"] for layer in found["layers"]) == found["macs"]
    loaded = pruning.load_model(NAME)
    groups = pruning.find_groups(loaded.module, loaded.example_inputs)
    assert [(group["id"], group["size"]) for group in found["groups"]] == [(g.id, g.size) for g in groups]
    assert run("inspect", NAME).code == 0
    for layer in found["layers"]:
        assert layer["name"] in run.out
    for group in groups:
        assert f"group {group.id}: {group.size} neurons" in run.out
        assert group.why in " ".join(run.out.split())


def test_flags_say_how_precise_a_scan_is_else_the_number_of_images(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("scan", NAME, "--ratios", "0.3,0.6")
    scans = {
        name: pruning.Scan.model_validate_json(json.dumps(run.json(*options, *more)["scan"]))
        for name, more in {
            "default": (),
            "adaptive": ("--adaptive",),
            "coarse": ("--precision", 3, "--strict"),
            "strict": ("--strict",),
            "exact": ("--exact",),
        }.items()
    }
    assert scans["default"] == scans["exact"]
    assert scans["exact"].mode == "exact"
    assert scans["adaptive"].precise == Precise()
    assert scans["coarse"].precise == Precise(3, strict=True)
    assert scans["strict"].precise == Precise(strict=True)
    monkeypatch.setattr("pruning.sensitivity.usual.FEW", 359)
    many = run.json(*options)["scan"]
    assert pruning.Scan.model_validate_json(json.dumps(many)) == scans["adaptive"]
    fewer = run.json(*options, "--limit", 359)["scan"]
    assert fewer["precise"] is None
    efforts = [scans[name].effort[0] for name in ("coarse", "adaptive", "exact")]
    assert efforts == sorted(efforts)
    assert efforts[0] < efforts[-1] == 4 * 360
    assert run(*options, "--exact").code == 0
    assert "Known to" not in run.out
    assert run(*options, "--precision", 0).code == 2
    assert "0 points makes no sense" in run.err
    assert run(*options, "--exact", "--adaptive").code == 2
    assert run(*options, "--exact", "--precision", 2).code == 2
    assert "no precision" in run.err


@pytest.mark.usefixtures("check_here")
def test_scan_proposes_a_recipe_that_prune_takes(run: Run, tmp_path: Path) -> None:
    recipe_file = tmp_path / "r.json"
    options = ("scan", NAME, "--ratios", "0.5,0.2", "--limit", 100, "--loss", 3, "--write", recipe_file)
    found = run.json(*options)
    scan = pruning.Scan.model_validate_json(json.dumps(found["scan"]))
    assert scan.complete
    assert scan.n == 100
    assert found["prunable"] == scan.prunable(3)
    assert not found["from_cache"]
    recipe = pruning.Recipe.from_json(recipe_file.read_text())
    assert {key: rule.ratio for key, rule in recipe.rules.items()} == {
        key: ratio for key, ratio in scan.prunable(3).items() if ratio
    }
    again = run.json(*options)
    assert again["from_cache"]
    assert again["scan"] == found["scan"]
    assert not run.json(*options, "--fresh")["from_cache"]
    assert run(*options).code == 0
    assert f"Written to {recipe_file}" in run.out
    assert "20 % off" in run.out
    assert "predicted" in run.out
    assert run("scan", NAME, "--ratios", "1.0", "--limit", 100, "--loss", 0, "--adaptive").code == 0
    assert "None can be pruned that far" in run.out
    assert "Known to ±1 points at 95 %" in run.out
    taken = run.json("prune", NAME, "--recipe", recipe_file, "--out", tmp_path / "small")
    assert [entry["key"] for entry in taken["entries"]] == list(recipe.rules)


@pytest.mark.usefixtures("check_here")
@pytest.mark.parametrize(
    ("granularity", "form"), [("channel", "dense"), ("weight", "sparse"), ("n:4", "prz"), ("4x1", "dense")]
)
def test_prune_writes_its_files_and_true_figures(
    run: Run, tmp_path: Path, granularity: str, form: str
) -> None:
    out = tmp_path / "deep" / "small"
    what = ("--ratio", 0.6, "--granularity", granularity, "--form", form)
    found = run.json("prune", NAME, *what, "--out", out)
    files = {Path(path).name: Path(path) for path in found["written"]}
    name = f"{NAME}-pruned{pruning.checkpoint.ending_of(form)}"
    with_it = {"recipe.json", "README.md", "load.py", *(["reader.py"] if form == "prz" else [])}
    assert set(files) == {name, *with_it}
    assert {path.name for path in out.iterdir()} == set(files)
    checkpoint = files[name]
    assert found["pruned"]["file_bytes"] == checkpoint.stat().st_size
    again = pruning.load_checkpoint(checkpoint)
    assert again.recipe == pruning.Recipe.from_json(files["recipe.json"].read_text())
    report = pruning.evaluate(again.module, pruning.load_task("digits"), split="test")
    assert found["pruned"]["report"]["accuracy"] == report.accuracy
    assert found["pruned"]["report"]["n"] == report.total == found["self_check"]["same"]
    state = again.module.state_dict().values()
    assert found["pruned"]["parameters"] == sum(tensor.numel() for tensor in state)
    assert found["pruned"]["nonzero"] == sum(int(tensor.count_nonzero()) for tensor in state)
    for entry in found["entries"]:
        assert int(again.keep[entry["key"]].sum()) == entry["kept"]
    assert found["latency"]["ratio"] > 0
    assert f"{100 * report.accuracy:.2f} %" in files["README.md"].read_text()
    assert name in files["load.py"].read_text()


@pytest.mark.parametrize(
    ("granularity", "said"),
    [
        ("2:4", "write n:4 and ratio 0.5 for 2:4"),
        ("hair", "There is no granularity 'hair'; choose one of weight, n:M"),
        ("pattern", f"Nothing in {NAME} can be pruned by pattern."),
    ],
)
def test_a_granularity_that_cannot_be_is_one_sentence(
    run: Run, tmp_path: Path, granularity: str, said: str
) -> None:
    assert run("prune", NAME, "--ratio", 0.5, "--granularity", granularity, "--out", tmp_path).code == 2
    assert said in run.err


def test_prune_says_what_was_asked_and_what_came_out(run: Run, tmp_path: Path) -> None:
    assert run("prune", NAME, "--ratio", 0.5, "--out", tmp_path).code == 0
    assert run.err == ""
    for words in (
        "asked",
        "kept",
        "dense:",
        "pruned:",
        "interval",
        "latency:",
        "predictions the same",
        "wrote",
    ):
        assert words in run.out
    line = next(line for line in run.out.splitlines() if line.startswith("hidden.fc1"))
    assert line.split() == ["hidden.fc1", "channel", "50.0%", "150", "150", "300"]


def test_without_data_pruning_goes_on_unmeasured(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PRUNING_DATA_DIR", raising=False)
    name = "mnist-lenet-300-100"
    weights = tmp_path / "w.safetensors"
    module = pruning.build_model(name)
    from safetensors.torch import save_file

    save_file(module.state_dict(), weights)
    common = ("prune", name, "--weights", weights, "--ratio", 0.5, "--data-dir", tmp_path)
    assert run("--json", *common, "--out", tmp_path / "a").code == 0
    found = json.loads(run.out)
    assert run.err.startswith("warning: accuracy is not measured: ")
    assert found["pruned"]["report"] is None
    assert found["self_check"] is None
    assert "not measured" in (tmp_path / "a" / "README.md").read_text()
    assert run(*common, "--criterion", "taylor", "--out", tmp_path / "b").code == 2
    assert "mnist.npz" in run.err
    assert not (tmp_path / "b").exists()


def test_evaluate_a_file_a_name_and_plain_weights(run: Run, exported: Path, tmp_path: Path) -> None:
    task = pruning.load_task("digits")
    small = pruning.evaluate(pruning.load_checkpoint(exported).module, task, split="test")
    dense = pruning.evaluate(pruning.load_model(NAME).module, task, split="validation", limit=50)
    found = run.json("evaluate", exported)
    assert (found["accuracy"], found["n"], found["split"]) == (small.accuracy, small.n, "test")
    assert found["interval"] == list(small.interval)
    found = run.json("evaluate", NAME, "--split", "validation", "--limit", 50)
    assert (found["accuracy"], found["n"], found["split"]) == (dense.accuracy, 50, "validation")
    plain = tmp_path / "plain.pt"
    torch.save({"state_dict": pruning.load_model(NAME).module.state_dict()}, plain)
    assert run("evaluate", plain, "--model", NAME).code == 0
    assert f"{NAME}, 50,610 parameters" in run.out
    assert run("evaluate", plain).code == 2


def test_train_writes_weights_and_card(run: Run, tmp_path: Path) -> None:
    card = run.json("train", NAME, "--epochs", 1, "--out", tmp_path)
    assert card["name"] == NAME
    assert json.loads((tmp_path / f"{NAME}.json").read_text()) == card
    assert run("evaluate", tmp_path / f"{NAME}.safetensors", "--model", NAME).code == 0
    assert f"{100 * card['accuracy']['test']['accuracy']:.2f} %" in run.out


BAD = {
    "no command": [],
    "unknown command": ["trim"],
    "unknown option": ["models", "--all"],
    "unknown model": ["inspect", "digits-cnm"],
    "missing weights": ["inspect", NAME, "--weights", "nowhere.pt"],
    "hostile weights": ["inspect", NAME, "--weights", "{hostile}"],
    "weights of another": ["inspect", "digits-cnn", "--weights", "{plain}"],
    "ratio above one": ["prune", NAME, "--ratio", "1.5", "--out", "{out}"],
    "ratio is a word": ["prune", NAME, "--ratio", "half", "--out", "{out}"],
    "ratios of words": ["scan", NAME, "--ratios", "0.1,x"],
    "no limit": ["scan", NAME, "--limit", "0"],
    "unknown criterion": ["scan", NAME, "--criterion", "magic", "--limit", "10"],
    "no recipe": ["prune", NAME, "--out", "{out}"],
    "recipe is missing": ["prune", NAME, "--recipe", "nowhere.json", "--out", "{out}"],
    "recipe is a folder": ["prune", NAME, "--recipe", "{folder}", "--out", "{out}"],
    "recipe is binary": ["prune", NAME, "--recipe", "{hostile}", "--out", "{out}"],
    "recipe is nonsense": ["prune", NAME, "--recipe", "{nonsense}", "--out", "{out}"],
    "recipe of another": ["prune", NAME, "--recipe", "{other}", "--out", "{out}"],
    "recipe of no layer": ["prune", NAME, "--recipe", "{unknown}", "--out", "{out}"],
    "out is a file": ["prune", NAME, "--ratio", "0.5", "--out", "{plain}"],
    "unwritable recipe": ["scan", NAME, "--limit", "10", "--ratios", "0.5", "--write", "{folder}"],
    "no file": ["evaluate", "nowhere.safetensors"],
    "a folder": ["evaluate", "{folder}"],
    "a plain file": ["evaluate", "{plain}"],
    "no data": ["evaluate", "{lenet}", "--data-dir", "{folder}"],
    "unknown model to train": ["train", "digits-cnm"],
    "no epochs": ["train", NAME, "--epochs", "0", "--out", "{out}"],
}


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("bad")
    (folder / "hostile").write_bytes(b"\xff" * 100)
    (folder / "nonsense").write_text('{"rules": {"x": {"ratio": 7}}}')
    (folder / "other").write_text(pruning.Recipe(model="digits-cnn").to_json())
    (folder / "unknown").write_text(pruning.Recipe(rules={"x\ny": pruning.Rule(ratio=0.5)}).to_json())
    save_file(pruning.build_model(NAME).state_dict(), folder / "plain")
    lenet = pruning.build_model("mnist-lenet-300-100").eval()
    recipe = pruning.Recipe()
    inputs = example_inputs(pruning.MODELS["mnist-lenet-300-100"])
    plan = pruning.make_plan(lenet, recipe, example_inputs=inputs)
    (folder / "lenet").write_bytes(checkpoint_bytes(lenet, plan, recipe))
    names = ("hostile", "nonsense", "other", "unknown", "plain", "lenet", "out")
    return {"folder": str(folder)} | {name: str(folder / name) for name in names}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_gives_one_line_and_code_2(run: Run, name: str, bad_files: dict[str, str]) -> None:
    run(*(argument.format(**bad_files) for argument in BAD[name]))
    assert run.code == 2
    assert run.out == ""
    assert run.err.startswith("error: ")
    assert run.err.count("\n") == 1
    assert 15 < len(run.err) < 500
    assert not Path(bad_files["out"]).exists()


def test_an_interrupt_is_no_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pruning.cli.evaluate.load_task", stop)
    assert run("evaluate", NAME).code == 130
    assert run.err == "error: interrupted\n"


def test_a_reader_that_goes_away_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    errors = io.StringIO()
    monkeypatch.setattr(sys, "stdout", Closed())
    monkeypatch.setattr(sys, "stderr", errors)
    assert main(["models"]) == 0
    assert errors.getvalue() == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_for_a_person_at_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for json_mode in (False, True):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setattr("pruning.cli.console.REDRAW_S", 0)
        assert main([*["--json"] * json_mode, "evaluate", NAME]) == 0
        if json_mode:
            assert terminal.getvalue() == ""
        else:
            assert "[##############################] 360/360" in terminal.getvalue()
            assert terminal.getvalue().endswith("\r\x1b[2K")


def test_a_bar_knows_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, now = Terminal(), [0.0]
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with Progress("scanning", shown=True) as bar:
        now[0] = 10.0
        bar.update(1, 4, "conv1")
        bar.update(2, 4)  # too soon after the last to be drawn
        now[0] = 20.0
        bar.update(4, 4)
    assert "1/4 30 s left conv1" in terminal.getvalue()
    assert "2/4" not in terminal.getvalue()
    assert "4/4 0 s left" in terminal.getvalue()


def test_a_table_lines_up_and_json_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    text = table(("name", "n"), [("a", 1), ("long name", 12345)])
    assert text.splitlines() == [
        "name            n",
        "---------  ------",
        "a               1",
        "long name  12,345",
    ]
    assert table(("name", "n"), []).splitlines()[0] == "name  n"
    Console(json=True).data({"loss": float("inf"), "rows": [{"x": float("nan")}, 1.5]})
    assert json.loads(capsys.readouterr().out) == {"loss": None, "rows": [{"x": None}, 1.5]}


def test_the_program_itself() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pruning", "evaluate", "nowhere"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "error: There is no file 'nowhere'.\n"
