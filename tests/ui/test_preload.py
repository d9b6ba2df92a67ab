"""What the server does by itself when it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from pruning.history import HistoryError
from ui import cache, preload


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An empty cache directory; grows by a word when somebody asks for the dispatcher."""
    found: list[str] = []
    monkeypatch.setenv("PRUNING_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(cache, "dispatcher", lambda: found.append("asked"))
    return found


def test_runs_that_wait_go_on_without_a_visitor(asked: list[str], tmp_path: Path) -> None:
    preload.go_on()
    assert not asked, "nothing can wait where no run has a folder"
    (tmp_path / "runs" / "0123456789ab").mkdir(parents=True)
    preload.go_on()
    assert asked == ["asked"]


def test_a_history_that_cannot_be_used_does_not_stop_the_server(
    asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise HistoryError("The history cannot be used.")

    (tmp_path / "runs" / "0123456789ab").mkdir(parents=True)
    monkeypatch.setattr(cache, "dispatcher", refuse)
    preload.go_on()
    assert not asked
