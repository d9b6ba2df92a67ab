"""What tests of runs share: a cache directory of their own, and runs that need no network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from queued_runs import Queue

from pruning.history import About, History


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRUNING_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("PRUNING_DATABASE_URL", raising=False)
    monkeypatch.delenv("PRUNING_RUNS_MB", raising=False)
    return tmp_path


@pytest.fixture
def history() -> History:
    return History()


@pytest.fixture
def queue(history: History) -> Queue:
    """Puts a run into the queue whose settings are the keyword arguments."""

    def put(owner: str = "anna", **settings: object) -> str:
        about = About(kind="fine-tuning", owner=owner)
        run_id = history.add(about, settings=json.dumps(settings), state="interrupted")
        history.folder(run_id).mkdir(parents=True)
        history.set_state(run_id, "queued")
        return run_id

    return put
