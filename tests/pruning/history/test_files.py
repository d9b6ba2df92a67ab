"""Files of runs: bounded, the oldest go first, rows stay."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pruning.history import About, History, files


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> History:
    monkeypatch.setenv("PRUNING_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("PRUNING_DATABASE_URL", raising=False)
    monkeypatch.setenv("PRUNING_RUNS_MB", "0.004")
    return History()


def add(history: History, state: str = "done", size: int = 1000) -> str:
    run_id = history.add(About(kind="fine-tuning"), state=state)  # type: ignore[arg-type]
    fill(history.folder(run_id), size)
    return run_id


def fill(folder: Path, size: int = 1000) -> None:
    (folder / "state").mkdir(parents=True)
    (folder / "state" / "weights.safetensors").write_bytes(b"x" * size)


def left(history: History, ids: list[str]) -> list[bool]:
    return [history.folder(run_id).exists() for run_id in ids]


def test_the_oldest_ended_lose_their_files_first_and_keep_their_rows(history: History) -> None:
    ids = [add(history, state) for state in ("interrupted", "done", "done", "failed", "running", "done")]
    history.star(ids[1])
    assert history.trim() == 4000
    assert left(history, ids) == [True, True, False, False, True, True]
    assert history.count() == 6
    fill(history.folder("0" * 12))
    os.utime(history.folder("0" * 12))
    assert history.trim() == 4000
    assert not history.folder("0" * 12).exists()  # nobody knows it
    add(history, "running", size=2000)
    assert history.trim() == 4000
    assert left(history, ids) == [False, True, False, False, True, False]


def test_what_is_worked_on_and_what_has_a_star_stays_beyond_the_bound(history: History) -> None:
    ids = [add(history, size=3000) for _ in range(3)]
    history.star(ids[0])
    lock = files.lock_of(ids[1])
    with lock:
        assert files.alive(ids[1])
        assert history.trim() == 6000
    assert left(history, ids) == [True, True, False]
    assert not files.alive(ids[1])


def test_the_size_counts_files_and_the_database(history: History, tmp_path: Path) -> None:
    before = history.size()
    assert before >= (tmp_path / "history.sqlite").stat().st_size > 0
    add(history, size=100_000)
    assert history.size() >= before + 100_000


@pytest.mark.parametrize("run_id", ["..", "a/../../b", "", "0" * 11, "A" * 12, "0" * 12 + "\n"])
def test_only_an_id_has_a_folder(history: History, run_id: str) -> None:
    with pytest.raises(ValueError, match="12 hexadecimal digits"):
        history.folder(run_id)


def test_a_bound_that_is_no_number_is_one_sentence(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNING_RUNS_MB", "much")
    with pytest.raises(ValueError, match="PRUNING_RUNS_MB must be a number"):
        history.trim()
