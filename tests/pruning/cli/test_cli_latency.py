"""`latency`: what a person reads, what a machine reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pruning.cli import main
from pruning.latency.table import ChannelTable

NAME = "digits-mlp"


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BUDGET_S", "LAYERS_S", "TABLE_S"):
        monkeypatch.setattr(f"pruning.cli.latency.{name}", 0.05)


def document(capsys: pytest.CaptureFixture[str], *argv: object) -> Any:
    assert main(["--json", "latency", *map(str, argv)]) == 0
    return json.loads(capsys.readouterr().out)


def test_dense_alone(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, NAME, "--threads", 1, "--batch-size", 3)
    assert found["latency"]["batch_size"] == 3
    assert found["latency"]["threads"] == 1
    assert found["latency"]["baseline"] is None
    assert found["layers"] == {}
    assert found["table"] is None
    assert list(found["peak_memory"]) == ["dense"]


def test_pruned_and_dense_in_turns_with_layers(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = document(capsys, NAME, "--ratio", 0.5, "--way", "frozen", "--layers", "--threads", 1)
    assert found["latency"]["way"] == "frozen"
    assert found["latency"]["ratio_interval"]
    assert found["peak_memory"]["pruned"]["peak"] < found["peak_memory"]["dense"]["peak"]
    for profile in found["layers"].values():
        assert sum(layer["seconds"] for layer in profile["layers"]) == pytest.approx(profile["whole"])
    recipe = tmp_path / "r.json"
    recipe.write_text('{"rules": {}, "model": "digits-cnn"}')
    assert main(["latency", NAME, "--recipe", str(recipe)]) == 2
    assert "made for digits-cnn" in capsys.readouterr().err


def test_the_table_is_read_by_people_and_machines(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--json", "inspect", NAME])
    key = json.loads(capsys.readouterr().out)["groups"][0]["id"]
    found = document(capsys, NAME, "--table", key)["table"]
    good = found.pop("good")
    assert ChannelTable.from_json(json.dumps(found)).good == tuple(good)
    assert main(["latency", NAME, "--table", key, "--layers"]) == 0
    out = capsys.readouterr().out
    for said in (
        "eager, batch 1,",
        "dense: ",
        "quartiles",
        "peak memory",
        "where the time of the dense",
        key,
    ):
        assert said in out
    assert main(["latency", NAME, "--table", "nothing"]) == 2
    assert "nothing" in capsys.readouterr().err
