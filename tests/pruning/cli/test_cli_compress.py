"""`compress`: what is written and said, flags, and what cannot be."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import pruning
from pruning.checkpoint import self_check
from pruning.cli import main
from pruning.clustering import centroids_of
from pruning.compress import Compression
from pruning.quantise import search

NAME = "digits-mlp"


@pytest.fixture(autouse=True)
def quick(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is checked in this process: a fresh one takes seconds. The history is the test's own."""
    monkeypatch.setenv("PRUNING_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))

    def check(*arguments: Any, fresh_process: bool, **options: Any) -> Any:
        return self_check(*arguments, **options)

    monkeypatch.setattr("pruning.cli.compress.self_check", check)


def call(*argv: object) -> int:
    return main(["compress", NAME, *(str(argument) for argument in argv)])


def test_a_small_file_is_written_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prune = ("--ratio", 0.5, "--granularity", "weight", "--criterion", "l1", "--prune", 1, "--recover", 1)
    share = ("--bits", 4, "--layer-bits", "head=5", "hidden.fc2=32", "--tune", 1)
    assert call(*prune, *share, "--out", tmp_path) == 0
    said = capsys.readouterr().out
    file = tmp_path / f"{NAME}-compressed.prz"
    assert {path.name for path in tmp_path.iterdir()} == {file.name, "settings.json", "load.py", "reader.py"}
    assert f"Huffman coded: {file.stat().st_size:,} bytes" in said
    module = pruning.load_checkpoint(file).module
    sizes = [len(centroids_of(part.weight)) for part in (module.hidden.fc1, module.head)]
    assert sizes[0] <= 16 < sizes[1] <= 32
    assert len(centroids_of(module.hidden.fc2.weight)) > 1000
    report = pruning.evaluate(module, pruning.load_task("digits"), "test")
    assert f"compressed: {100 * report.accuracy:.2f} %" in said
    settings = Compression.from_json((tmp_path / "settings.json").read_text())
    assert settings.share is not None
    assert settings.share.bits == {"hidden.fc1": 4, "head": 5}
    again = tmp_path / "again"
    assert call("--settings", tmp_path / "settings.json", "--out", again) == 0
    assert (again / file.name).read_bytes() == file.read_bytes()


def test_json_says_where_the_bytes_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--bits", 2, "--method", "uniform", "--no-huffman", "--out", tmp_path, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [stage["name"] for stage in found["stages"]] == ["dense", "shared", "coded"]
    last = found["stages"][-1]
    assert last["bytes"] == (tmp_path / f"{NAME}-compressed.prz").stat().st_size
    assert last["bytes"] == sum(last[part] for part in ("weights", "indices", "codebooks", "overhead"))
    assert found["self_check"]["identical"]
    assert found["ratio"] == pytest.approx(found["stages"][0]["weights"] / last["bytes"])


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--tune", 3), "no shared values to train"),
        (("--bits", 9), "less than or equal to 8"),
        (("--layer-bits", "head"), "LAYER=N"),
        (("--layer-bits", "nowhere=3"), "no layer 'nowhere'"),
        (("--settings", "nowhere.json"), "cannot be read"),
        (("--bits", 4, "--gap-bits", 99), "less than or equal to 10"),
    ],
)
def test_what_cannot_be_is_one_line(
    flags: tuple[object, ...], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*flags, "--out", tmp_path) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.strip().splitlines()) == 1


def test_parameters_of_clip_q_are_searched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_search = partial(search, shares=(0.0, 0.6), bits=(2, 4))
    monkeypatch.setattr("pruning.quantise.search", quick_search)
    assert call("--method", "clip-q", "--clip-search", 10, "--out", tmp_path) == 0
    settings = Compression.from_json((tmp_path / "settings.json").read_text())
    assert settings.share is not None
    loaded, task = pruning.load_model(NAME), pruning.load_task("digits")
    clips = quick_search(loaded.module, task, settings.share.bits, ratio=10).clips
    assert {name: settings.share.clip_of(name) for name in settings.share.bits} == clips
    assert f"hidden.fc1: {100 * clips['hidden.fc1'].share:.0f} % clipped" in capsys.readouterr().out
    for wrong in (("--method", "cluster"), ("--method", "clip-q", "--bits", 4)):
        assert call(*wrong, "--clip-search", 10, "--out", tmp_path) == 2
        assert "--clip-search" in capsys.readouterr().err
