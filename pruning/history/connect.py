"""Open the database: SQLite in the cache directory unless another one is named."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from pruning.history.problem import HistoryError
from pruning.history.schema import prepare
from pruning.store import cache_dir

VARIABLE = "PRUNING_DATABASE_URL"
FILE = "history.sqlite"
BUSY_S = 15.0  # how long one process waits while another one writes
PROBLEMS = (SQLAlchemyError, sqlite3.Error, OSError)  # what using it may raise
_WRITE = "pruning_write"
_DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


class Database:
    """An open history.

    Args:
        url: of SQLAlchemy; None = PRUNING_DATABASE_URL, else a file in the cache directory.
    Raises:
        HistoryError: if it cannot be opened; without the URL's password.
    """

    def __init__(self, url: str | None = None) -> None:
        self.url = _url(url or os.environ.get(VARIABLE) or None)
        self.path = Path(self.url.database or "") if self.url.get_backend_name() == "sqlite" else None
        self.notice = ""
        try:
            self._engine = _engine(self.url)
            self._prepare()
        except (*PROBLEMS, ImportError) as error:
            raise self.problem(error) from None

    def begin(self, *, write: bool) -> Any:
        """A transaction as a context manager that gives its connection; a writing one excludes others."""
        if self.path and not self.path.exists():  # somebody has emptied the cache directory
            self._prepare()
        return self._engine.execution_options(**{_WRITE: write}).begin()

    def problem(self, error: Exception) -> HistoryError:
        """What went wrong as one sentence, without secrets."""
        cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
        words = str(cause).strip().splitlines() or [type(cause).__name__]
        secrets = [self.url.password, *(str(value) for value in self.url.query.values())]
        said = words[0].rstrip(".")[:300]
        for secret in secrets:
            said = said.replace(secret, "***") if secret else said
        return HistoryError(f"The history in {self._shown()} cannot be used: {said}; {self._advice()}.")

    def _shown(self) -> str:
        return str(self.path or self.url.set(query={}).render_as_string(hide_password=True))[:200]

    def _advice(self) -> str:
        return f"check the folder and its free space, or {VARIABLE}" if self.path else f"check {VARIABLE}"

    def _prepare(self) -> None:
        """Make or update the tables; a damaged file is set aside under another name and a new one begun."""
        if self.path is None:
            try:
                self._check_and_prepare()
            except DBAPIError:  # another process may have made the tables at the same time
                self._check_and_prepare()
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_name(f"{self.path.name}.lock"), timeout=BUSY_S):  # one process at a time
            try:
                self._check_and_prepare()
            except (DBAPIError, sqlite3.DatabaseError) as error:
                if not _damaged(error):
                    raise
                kept = _set_aside(self.path)
                self.notice = (
                    f"The history's file was damaged; it is kept as {kept.name} in {kept.parent}, and a new "
                    "history has begun."
                )
                self._check_and_prepare()

    def _check_and_prepare(self) -> None:
        if self.path:
            _use_wal(self._engine)
        with self._engine.execution_options(**{_WRITE: True}).begin() as connection:
            if self.path:
                _check(connection)
            prepare(connection)


def _url(given: str | None) -> URL:
    if given is None:
        return URL.create("sqlite", database=str(cache_dir() / FILE))
    try:
        url = make_url(given)
        backend = url.get_backend_name()
    except (ArgumentError, ValueError):
        raise HistoryError(
            f"{VARIABLE} is not the URL of a database; write it like sqlite:////folder/history.sqlite or "
            "postgresql+psycopg://user:password@host/name."
        ) from None
    if backend == "sqlite" and url.database in (None, "", ":memory:"):
        raise HistoryError(f"{VARIABLE} names no file; other processes could not see a history in memory.")
    return url


def _engine(url: URL) -> Engine:
    try:
        if url.get_backend_name() != "sqlite":
            return create_engine(url, pool_pre_ping=True)
        # A new connection each time costs a fraction of a millisecond, and none outlives a replaced file.
        engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": BUSY_S})
    except NoSuchModuleError:
        raise HistoryError(
            f"SQLAlchemy knows no database {url.drivername[:40]!r}; correct {VARIABLE}."
        ) from None
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def _on_connect(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # transactions begin where _on_begin says
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = NORMAL")  # with WAL: whole after a crash of the machine


def _on_begin(connection: Connection) -> None:
    """A reading transaction that turns into a writing one fails at once when it comes too late; so a writing
    one says so from the start, and waits for its turn."""
    writes = connection.get_execution_options().get(_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _use_wal(engine: Engine) -> None:
    """Then readers and the writer do not wait for each other. It cannot be said inside a transaction."""
    raw = engine.raw_connection()
    try:
        raw.cursor().execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError:
        pass  # not on this file system: it works without, only slower
    finally:
        raw.close()


def _check(connection: Connection) -> None:
    found = connection.execute(text("PRAGMA quick_check(1)")).scalar()
    if found != "ok":
        broken = sqlite3.DatabaseError(str(found))
        broken.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise broken


def _damaged(error: Exception) -> bool:
    """Whether SQLite says that the file itself is broken, not merely locked, full or unreadable."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return getattr(cause, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


def _set_aside(path: Path) -> Path:
    """Rename a file and what SQLite keeps beside it; nothing that was in it is lost."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    kept = path.with_name(f"{path.stem}.damaged-{stamp}{path.suffix}")
    path.rename(kept)
    for end in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + end).rename(kept.with_name(kept.name + end))
    return kept
