from __future__ import annotations

import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning.history import About, Figures, History, HistoryError, Measured, Run, Size, forget
from pruning.recover.record import Epoch, Histogram

ROOT = Path(__file__).resolve().parents[3]
TUNING = About(kind="fine-tuning", title="cubic", model="digits-mlp", task="digits", owner="anna", seed=3)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRUNING_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("PRUNING_DATABASE_URL", raising=False)
    monkeypatch.delenv("PRUNING_RUNS_MB", raising=False)
    return tmp_path


@pytest.fixture
def history() -> History:
    return History()


def measured(accuracy: float, n: int = 100) -> Figures:
    return Figures(validation=Measured(accuracy=accuracy, low=0.0, high=1.0, n=n))


def epoch(number: int, accuracy: float = 0.5) -> Epoch:
    histogram = Histogram(counts=(1, 2), edge=0.5, zero=3, near=1)
    return Epoch(
        number=number,
        phase="prune",
        accuracy=accuracy,
        low=0.4,
        high=0.6,
        n=9,
        reached=0.5,
        sparsity=0.25,
        histograms={"fc": histogram},
    )


def test_a_run_comes_back_as_it_was_kept(history: History) -> None:
    figures = Figures(
        validation=Measured(accuracy=0.9, low=0.8, high=0.95, n=360, loss=0.3),
        size=Size(parameters=10, nonzero=5, macs=7, file_bytes=99),
        removed={"fc": 0.5},
        confusion=((3, 1), (0, 4)),
        best=2,
    )
    before = datetime.now(UTC)
    run_id = history.add(TUNING, settings='{"a": 1}', figures=figures)
    run = history.get(run_id)
    assert run is not None
    assert run.model_dump(include=set(TUNING.model_dump())) == TUNING.model_dump()
    assert (run.id, run.state, run.figures, run.starred, run.called) == (
        run_id,
        "done",
        figures,
        False,
        "cubic",
    )
    assert run.ended is not None
    assert before - timedelta(seconds=1) < run.created == run.ended < before + timedelta(seconds=30)
    assert history.settings(run_id) == '{"a": 1}'
    assert History().get(run_id) == run


@pytest.mark.parametrize("run_id", ["", "x", "0" * 12, "../../../etc", "A" * 12, "0" * 5000, "é\0"])
def test_what_is_not_there_is_not_found(history: History, run_id: str) -> None:
    assert history.get(run_id) is None
    assert history.settings(run_id) == ""
    assert history.epochs(run_id) == []
    assert not any((history.star(run_id), history.rename(run_id, "n"), history.claim(run_id)))
    assert not history.delete(run_id)


def test_filters_narrow_and_order(history: History) -> None:
    names = ("first", "second", "third 100%")
    ids = [history.add(TUNING.model_copy(update={"title": name})) for name in names]
    scan = history.add(About(kind="scan", model="digits-cnn", owner="ben"))
    cell = history.add(TUNING.model_copy(update={"study": ids[0], "task": "mnist"}))
    history.star(ids[1])
    history.rename(scan, "  Große\n Sache ")

    def found(**filters: object) -> list[str]:
        assert history.count(**filters) == len(history.runs(**filters))  # type: ignore[arg-type]
        return [run.id for run in history.runs(**filters)]  # type: ignore[arg-type]

    assert found() == [cell, scan, *reversed(ids)]
    assert found(kind="scan") == [scan]
    assert found(kind=("scan", "export"), owner="anna") == []
    assert found(model="digits-cnn") == found(owner="ben") == [scan]
    assert found(task="mnist") == found(study=ids[0]) == [cell]
    assert found(study="", kind="fine-tuning") == ids[::-1]
    assert found(starred=True) == [ids[1]]
    assert found(starred=False, text="FIRST") == [ids[0]]
    assert found(text="0%") == [ids[2]]
    assert found(text="%") == [ids[2]]  # no wildcard
    assert found(text="große sache") == [scan]
    assert found(text="_") == []
    assert found(state="queued") == []
    assert [run.id for run in history.runs(limit=2, offset=1)] == [scan, ids[2]]


def test_the_queue_is_in_the_order_of_asking(history: History) -> None:
    first, second = (history.add(TUNING, state="queued") for _ in range(2))
    history.claim(first)
    history.set_state(first, "interrupted", error="The server ended.")
    history.set_state(first, "queued")  # asked for again: behind the other
    assert [run.id for run in history.runs(state="queued", oldest_first=True)] == [second, first]


def test_times_and_errors_follow_the_state(history: History) -> None:
    run_id = history.add(TUNING, state="queued")

    def run() -> Run:
        found = history.get(run_id)
        assert found is not None
        return found

    assert (run().started, run().ended, run().busy) == (None, None, True)
    assert history.claim(run_id)
    assert not history.claim(run_id)
    assert run().started is not None
    assert not history.set_state(run_id, "done", only=("paused",))
    assert history.set_state(run_id, "failed", error="x" * 999)
    assert (run().state, run().busy, len(run().error)) == ("failed", False, 200)
    assert run().ended is not None
    assert history.set_state(run_id, "queued")
    assert (run().started, run().ended, run().error) == (None, None, "")


def test_threads_and_processes_share_one_history(folder: Path) -> None:
    """Two processes and a thread begin it at once, write, and claim: each run has exactly one winner."""
    code = (
        "import time; from pruning.history import About, History\n"
        "for i in range(10): History().add(About(kind='scan', title=str(i)), state='queued')\n"
        "while History().count() < 30: time.sleep(0.05)\n"
        "history = History()\n"
        "print(sum(history.claim(run.id) for run in history.runs()))"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    won: list[int] = []

    def here() -> None:
        history = History()
        ids = [history.add(About(kind="export"), state="queued") for _ in range(10)]
        while history.count() < 30:
            time.sleep(0.01)
        won.append(sum(history.claim(run_id) for run_id in ids))

    thread = threading.Thread(target=here)
    thread.start()
    won += [int(process.communicate(timeout=120)[0]) for process in processes]
    thread.join()
    assert sum(won) == 30
    assert {run.state for run in History().runs()} == {"running"}
    assert not [path.name for path in folder.iterdir() if "damaged" in path.name]


def test_the_same_evaluation_is_kept_once(history: History) -> None:
    about = About(kind="evaluation", weights="w", digest="d", split="validation", owner="anna")
    first = history.add(about, figures=measured(0.5, n=10))
    history.star(first)
    again = history.add(about.model_copy(update={"owner": "ben"}), figures=measured(0.7))
    run = history.get(first)
    assert again == first
    assert run is not None
    assert (run.figures, run.starred, run.owner) == (measured(0.7), True, "anna")
    for other in ({"split": "test"}, {"digest": "e"}, {"weights": "v"}, {"study": first}, {"digest": ""}):
        assert history.add(about.model_copy(update=other)) != first
    assert history.count() == 6


def test_evaluations_are_bounded_the_oldest_without_a_star_go(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(forget.MOST, "evaluation", 3)
    kept = history.add(TUNING)
    ids = [history.add(About(kind="evaluation", title=str(number))) for number in range(3)]
    cell = history.add(About(kind="evaluation", study=kept))
    history.star(ids[0])
    for run_id in ids:
        history.folder(run_id).mkdir(parents=True)
    ids += [history.add(About(kind="evaluation", title=str(number))) for number in range(2)]
    assert [history.folder(run_id).exists() for run_id in ids] == [True, False, False, False, False]
    assert {run.id for run in history.runs()} == {kept, cell, ids[0], ids[3], ids[4]}


def test_epochs_are_replaced_fetched_from_a_number_and_dropped(history: History) -> None:
    run_id = history.add(TUNING, state="queued")
    for number in (0, 2, 1):
        history.add_epoch(run_id, epoch(number))
    history.add_epoch(run_id, epoch(1, accuracy=0.6))
    assert history.epochs(run_id) == [epoch(0), epoch(1, accuracy=0.6), epoch(2)]
    assert history.epochs(run_id, after=1) == [epoch(2)]
    history.drop_epochs(run_id, after=0)
    assert history.epochs(run_id) == [epoch(0)]
    with pytest.raises(HistoryError, match="no run '000000000000'"):
        history.add_epoch("0" * 12, epoch(0))


def test_what_is_deleted_takes_epochs_cells_and_files_along(history: History) -> None:
    study = history.add(About(kind="study"), state="queued")
    cell = history.add(TUNING.model_copy(update={"study": study}))
    other = history.add(TUNING)
    history.add_epoch(cell, epoch(0))
    for run_id in (study, cell, other):
        history.folder(run_id).mkdir(parents=True)
        (history.folder(run_id) / "file").write_bytes(b"1234")
    with pytest.raises(ValueError, match="queued; cancel it"):
        history.delete(study)
    history.set_state(study, "done")
    assert history.delete(study)
    assert [run.id for run in history.runs()] == [other]
    assert history.epochs(cell) == []
    assert [history.folder(i).exists() for i in (study, cell, other)] == [False, False, True]


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=300))
def test_any_text_can_be_kept(text: str) -> None:
    history = History()
    text += "\0\ud800\u202e<script>'; DROP TABLE runs; --"
    run_id = history.add(About(kind="scan", title=text, model=text), settings=text)
    history.rename(run_id, text * 9)
    history.annotate(run_id, text * 99)
    run = history.get(run_id)
    assert run is not None
    assert (len(run.model), len(run.title)) == (min(64, len(text)), min(200, len(text)))
    assert len(run.name) <= 200
    assert len(run.note) == min(4000, 99 * len(text))
    assert all(c.isprintable() or c == "\n" for c in run.title + run.name + run.note)
    assert history.count(text=text, owner=text) == 0


def test_settings_are_bounded(history: History) -> None:
    with pytest.raises(ValueError, match="at most 4,000,000"):
        history.add(TUNING, settings="x" * 4_000_001)
    with pytest.raises(ValueError, match="removed"):
        Figures(removed={str(i): 0.5 for i in range(5000)})
    assert history.count() == 0
