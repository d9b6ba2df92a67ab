"""Opening the database: older tables, later ones, damaged files, and addresses that lead nowhere."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from pruning.history import About, History, HistoryError
from pruning.history.schema import VERSION

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRUNING_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("PRUNING_DATABASE_URL", raising=False)
    return tmp_path


def execute(path: Path, script: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()


def shape(path: Path) -> dict[str, object]:
    """Columns with their types, and indexes, of every table."""
    connection = sqlite3.connect(path)
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found: dict[str, object] = {
        table: {
            (row[1], row[2].removesuffix(" PRECISION"), row[3], row[5])
            for row in connection.execute(f"PRAGMA table_info({table})")
        }
        for table in tables
    }
    found["indexes"] = {
        tuple(row)
        for row in connection.execute("SELECT name, tbl_name FROM sqlite_master WHERE type = 'index'")
    }
    connection.close()
    return found


def test_a_history_of_version_1_is_brought_up_to_date(folder: Path) -> None:
    old = folder / "old.sqlite"
    execute(old, (HERE / "version_1.sql").read_text())
    history = History(f"sqlite:///{old}")
    (run,) = history.runs()
    assert (run.id, run.kind, run.name, run.note, run.starred) == (
        "aaaaaaaaaaaa",
        "fine-tuning",
        "mine",
        "a note",
        True,
    )
    assert run.figures.validation is not None
    assert run.figures.validation.accuracy == 0.9
    assert (run.study, run.queued, run.created.timestamp()) == (None, run.created, 1750000000.5)
    assert [epoch.accuracy for epoch in history.epochs(run.id)] == [0.5]
    assert history.settings(run.id) == '{"version": 1}'
    assert history.delete(run.id)
    new = folder / "new.sqlite"
    History(f"sqlite:///{new}")
    assert shape(old) == shape(new)
    assert History(f"sqlite:///{old}").notice == ""


def test_a_later_history_is_left_alone(folder: Path) -> None:
    History().add(About(kind="scan"))
    path = folder / "history.sqlite"
    execute(path, f"UPDATE schema_version SET version = {VERSION + 1}")
    with pytest.raises(HistoryError, match="later version of this program"):
        History()
    execute(path, f"UPDATE schema_version SET version = {VERSION}")
    assert History().count() == 1


@pytest.mark.parametrize("damage", ["text", "pages"])
def test_a_damaged_file_is_set_aside(folder: Path, damage: str) -> None:
    path = folder / "history.sqlite"
    first = History()
    for _ in range(50):
        first.add(About(kind="scan", title="x" * 200))
    execute(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    if damage == "text":
        data[:] = b"this is no database" * 1000
    else:
        data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    history = History()
    (kept,) = (each for each in folder.iterdir() if "damaged" in each.name)
    assert kept.read_bytes() == data
    assert kept.name in history.notice
    assert history.notice.count(". ") == 0
    history.add(About(kind="scan"))
    assert history.count() == 1
    assert History().notice == ""


def test_an_emptied_cache_directory_begins_anew(folder: Path) -> None:
    history = History()
    history.add(About(kind="scan"))
    shutil.rmtree(folder)
    assert history.count() == 0
    history.add(About(kind="scan"))
    assert History().count() == 1


def test_a_place_that_cannot_be_used_is_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "file").write_text("")
    monkeypatch.setenv("PRUNING_CACHE_DIR", str(folder / "file"))
    with pytest.raises(HistoryError, match=r"history.sqlite cannot be used: .*folder and its free space"):
        History()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("no url: secret", "not the URL of a database"),
        ("nothing://anna:secret@host/base", "no database 'nothing'"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("postgresql+psycopg://anna:secret@localhost:1/base", "check PRUNING_DATABASE_URL"),
        ("mysql+pymysql://anna@localhost:1/base?password=secret", "check PRUNING_DATABASE_URL"),
        ("postgresql://anna:secret@localhost:port/base", "not the URL of a database"),
    ],
)
def test_a_wrong_address_is_one_sentence_without_its_password(
    url: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRUNING_DATABASE_URL", url)
    with pytest.raises(HistoryError, match=says) as error:
        History()
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_the_address_names_another_database(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNING_DATABASE_URL", f"sqlite:///{folder / 'else' / 'where.db'}")
    history = History()
    history.add(About(kind="export"))
    assert History(history.url).count() == 1
    assert [path.name for path in folder.iterdir()] == ["else"]


def test_a_file_that_is_removed_between_two_looks_does_not_confuse_a_writer(folder: Path) -> None:
    history, other = History(), History()
    other.add(About(kind="scan"))
    for path in folder.glob("history.sqlite*"):
        path.unlink()
    assert (history.count(), other.count()) == (0, 0)
