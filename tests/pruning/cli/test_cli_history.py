"""What commands measure is found in the history, as what pages measure is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pruning.checkpoint import self_check
from pruning.cli import main
from pruning.history import History

NAME = "digits-mlp"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache directory of the test's own; latency from a moment, files checked in this process."""

    def check(*arguments: Any, fresh_process: bool, **options: Any) -> Any:
        return self_check(*arguments, **options)

    monkeypatch.setenv("PRUNING_CACHE_DIR", str(tmp_path / "cache"))
    for command in ("prune", "finetune"):
        monkeypatch.setattr(f"pruning.cli.{command}.LATENCY_BUDGET_S", 0.05)
    for place in ("pruning.runs.leave", "pruning.cli.prune", "pruning.cli.compress"):
        monkeypatch.setattr(f"{place}.self_check", check)


def call(*argv: object) -> int:
    return main([str(argument) for argument in argv])


def test_a_scan_is_kept_once(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert call("scan", NAME, "--ratios", "0.5") == 0
    (run,) = History().runs()
    assert (run.kind, run.model, run.criterion, run.granularity) == ("scan", NAME, "l2", "channel")
    assert run.figures.points == run.figures.total == 2
    assert run.figures.dense is not None
    assert run.figures.dense.n == 360


def test_a_pruned_network_is_kept_with_what_was_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "small"
    assert call("prune", NAME, "--ratio", 0.5, "--out", out) == 0
    (run,) = History().runs()
    assert (run.kind, run.ratio) == ("export", 0.5)
    assert run.figures.test is not None
    assert f"{100 * run.figures.test.accuracy:.2f} %" in capsys.readouterr().out
    assert run.figures.size is not None
    assert run.figures.size.file_bytes == (out / f"{NAME}-pruned.safetensors").stat().st_size
    assert str(out) in run.note
    History().annotate(run.id, "mine")
    assert call("prune", NAME, "--ratio", 0.5, "--out", tmp_path / "again") == 0
    (run,) = History().runs()
    assert run.note == "mine"


def test_a_fine_tuning_is_kept_with_its_epochs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("finetune", NAME, "--ratio", 0.5, "--prune", 1, "--recover", 1, "--out", tmp_path / "out")
    assert call(*options) == 0
    history = History()
    (run,) = history.runs()
    assert (run.kind, run.schedule, run.figures.epochs) == ("fine-tuning", "cubic", 2)
    assert [epoch.number for epoch in history.epochs(run.id)] == [0, 1, 2]
    assert history.settings(run.id)


def test_a_flag_and_a_broken_history_keep_nothing_and_stop_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("scan", NAME, "--ratios", "0.5", "--no-history") == 0
    assert not History().count()
    monkeypatch.setenv("PRUNING_DATABASE_URL", "sqlite:////proc/nowhere/history.sqlite")
    assert call("scan", NAME, "--ratios", "0.5") == 0
    assert "not kept in the history" in capsys.readouterr().err


def test_a_compression_is_kept_with_the_epochs_of_both_trainings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = ("compress", NAME, "--ratio", 0.5, "--granularity", "weight", "--prune", 1, "--recover", 1)
    more = ("--method", "clip-q", "--clip-share", 0.1, "--bits", 4, "--tune", 1, "--out", out)
    assert call(*options, *more) == 0
    history = History()
    (run,) = history.runs()
    assert (run.kind, run.figures.epochs) == ("compression", 4)
    assert [epoch.number for epoch in history.epochs(run.id)] == [0, 1, 2, 3, 4]
    assert run.figures.size is not None
    assert run.figures.size.file_bytes == (out / f"{NAME}-compressed.prz").stat().st_size
    assert str(out) in run.note
    assert call("compress", NAME, "--bits", 4, "--out", out, "--no-history") == 0
    assert len(history.runs()) == 1
