"""The history: kept in a database that several threads and processes use at once."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from pruning.history import files
from pruning.history.connect import PROBLEMS, Database
from pruning.history.figures import Figures
from pruning.history.files import is_id
from pruning.history.filters import Filters, filtered
from pruning.history.forget import forget, forget_oldest, with_cells
from pruning.history.problem import HistoryError
from pruning.history.run import BUSY, ENDED, NOTE, SHORT, TITLE, About, Run, RunState, clean
from pruning.history.tables import epochs as epoch_rows
from pruning.history.tables import runs as rows
from pruning.recipe import MAX_JSON_CHARS

if TYPE_CHECKING:
    from pruning.recover.record import Epoch

_SHOWN = [column for column in rows.columns if column.name not in ("settings", "same")]


class History:
    """Everything that was run.

    Args:
        url: of a database as SQLAlchemy writes it; None = the one that PRUNING_DATABASE_URL names, else an
            SQLite file in the cache directory. Its tables are made, or brought up to date.
    Raises:
        HistoryError: a ValueError of one sentence, from here and from every method, if the database cannot be
            used. A damaged SQLite file is no error: it is renamed, and `notice` says so.
    """

    def __init__(self, url: str | None = None) -> None:
        self._database = Database(url)

    @property
    def notice(self) -> str:
        """One sentence for the screen, if a damaged file was set aside; else empty."""
        return self._database.notice

    @property
    def url(self) -> str:
        """The database, with its password: for a process that is to use the same one, not for a screen."""
        return self._database.url.render_as_string(hide_password=False)

    # Rows

    def add(
        self,
        about: About,
        *,
        settings: str = "",
        figures: Figures | None = None,
        state: RunState = "done",
        same: str = "",
    ) -> str:
        """Keep a run.

        What means the same is kept once: an evaluation of the same weights by the same recipe on the same
        split brings the kept one up to date (its figures; not its star, name or note).

        Args:
            about: what it is about.
            settings: all decisions as JSON, from which it could be repeated.
            figures: what was measured.
            state: "done" for what was measured on the spot, "queued" for what a worker is to do.
            same: rows with the same text here mean the same; "" = only evaluations are compared, as above.
        Returns:
            Its id: 12 hexadecimal digits.
        Raises:
            ValueError: if the settings are too long.
        """
        if len(settings) > MAX_JSON_CHARS:
            raise ValueError(
                f"The settings have {len(settings):,} characters; at most {MAX_JSON_CHARS:,} are kept."
            )
        new = _new_row(about, settings, figures or Figures(), state, same)
        try:
            return self._insert(new)
        except (
            IntegrityError,
            HistoryError,
        ):  # another one has added the same between our look and our insert
            return self._insert(new)

    def get(self, run_id: str) -> Run | None:
        """A run; None if there is none of this id, whatever it looks like."""
        if not is_id(run_id):
            return None
        with self._read() as connection:
            row = connection.execute(select(*_SHOWN).where(rows.c.id == run_id)).one_or_none()
        return _run(row) if row else None

    def settings(self, run_id: str) -> str:
        """The decisions of a run as JSON; "" if there are none."""
        with self._read() as connection:
            found = connection.execute(select(rows.c.settings).where(rows.c.id == str(run_id))).scalar()
        return found or ""

    def runs(
        self,
        *,
        limit: int = 500,
        offset: int = 0,
        oldest_first: bool = False,
        **filters: Unpack[Filters],
    ) -> list[Run]:
        """Runs that fit all filters (see `Filters`), the latest first.

        Args:
            limit, offset: at most so many, leaving out so many.
            oldest_first: by the time at which they were put into the queue.
        """
        chosen = filtered(select(*_SHOWN), filters)
        latest, queued = (rows.c.created.desc(), rows.c.id), (rows.c.queued, rows.c.created, rows.c.id)
        chosen = chosen.order_by(*(queued if oldest_first else latest))
        with self._read() as connection:
            found = connection.execute(chosen.limit(limit).offset(offset)).all()
        return [_run(row) for row in found]

    def count(self, **filters: Unpack[Filters]) -> int:
        """How many runs fit."""
        with self._read() as connection:
            return connection.execute(filtered(select(func.count()).select_from(rows), filters)).scalar_one()

    # How a run stands

    def claim(self, run_id: str) -> bool:
        """Turn a queued run into a running one. Of all processes that try, exactly one is told True."""
        values = {"state": "running", "started": _now(), "ended": None, "error": ""}
        return self._change(run_id, values, only=("queued",))

    def set_state(
        self, run_id: str, state: RunState, *, error: str = "", only: tuple[RunState, ...] = ()
    ) -> bool:
        """Say how a run stands; what it means for the times is done along.

        Args:
            error: one sentence, if it failed or was interrupted.
            only: change it only if it stands like this now; empty = however it stands.
        Returns:
            Whether there was such a run.
        """
        values: dict[str, Any] = {"state": state, "error": clean(error, TITLE)}
        if state == "queued":
            values |= {"queued": _now(), "started": None, "ended": None}
        elif state not in BUSY:
            values["ended"] = _now()
        return self._change(run_id, values, only=only)

    def set_figures(self, run_id: str, figures: Figures) -> bool:
        """Keep what was measured, in place of what was kept before; False if there is no such run."""
        return self._change(run_id, {"figures": figures.model_dump_json(exclude_defaults=True)})

    # Epochs

    def add_epoch(self, run_id: str, epoch: Epoch) -> None:
        """Keep an epoch of a run; one of the same number is replaced, for a run that went on does it again.

        Raises:
            HistoryError: also if there is no such run.
        """
        place = (epoch_rows.c.run == run_id) & (epoch_rows.c.number == epoch.number)
        new = {"run": run_id, "number": epoch.number, "record": epoch.model_dump_json()}
        try:
            with self._write() as connection:
                connection.execute(delete(epoch_rows).where(place))
                connection.execute(insert(epoch_rows).values(new))
        except IntegrityError:
            raise HistoryError(
                f"There is no run {str(run_id)[:40]!r} that an epoch could belong to."
            ) from None

    def epochs(self, run_id: str, after: int = -1) -> list[Epoch]:
        """The epochs of a run in order, those with a number above `after`."""
        from pruning.recover.record import Epoch

        chosen = (
            select(epoch_rows.c.record)
            .where(epoch_rows.c.run == str(run_id), epoch_rows.c.number > after)
            .order_by(epoch_rows.c.number)
        )
        with self._read() as connection:
            found = connection.execute(chosen).scalars().all()
        return [Epoch.model_validate_json(record) for record in found]

    def drop_epochs(self, run_id: str, after: int = -1) -> None:
        """Forget the epochs of a run with a number above `after`: it goes on from there."""
        place = (epoch_rows.c.run == str(run_id)) & (epoch_rows.c.number > after)
        with self._write() as connection:
            connection.execute(delete(epoch_rows).where(place))

    # What people do with runs

    def star(self, run_id: str, starred: bool = True) -> bool:
        """Give a run a star, or take it away; False if there is no such run."""
        return self._change(run_id, {"starred": starred})

    def rename(self, run_id: str, name: str) -> bool:
        """Give a run a name, cut to 200 characters on one line; False if there is no such run."""
        return self._change(run_id, {"name": clean(" ".join(str(name).split()), TITLE)})

    def annotate(self, run_id: str, note: str) -> bool:
        """Write a note to a run, cut to 4,000 characters; False if there is no such run."""
        return self._change(run_id, {"note": clean(note, NOTE)})

    def delete(self, run_id: str) -> bool:
        """Forget a run with its epochs and files, and all cells of a study; False if there is no such run.

        Raises:
            ValueError: if it waits or works; cancel it first.
        """
        with self._write() as connection:
            state = connection.execute(select(rows.c.state).where(rows.c.id == str(run_id))).scalar()
            if state is None:
                return False
            if state in BUSY:
                raise ValueError(f"This run is {state}; cancel it before deleting it.")
            gone = with_cells(connection, run_id)
            forget(connection, gone)
        for one in gone:
            files.remove(one)
        return True

    # Files

    def folder(self, run_id: str) -> Path:
        """The folder of a run's files, whether or not it exists.

        Raises:
            ValueError: if this is no id.
        """
        return files.folder_of(run_id)

    def size(self) -> int:
        """Bytes on this machine's disk: the files of all runs, and the database if it is a file."""
        path = self._database.path
        beside = [path.with_name(path.name + end) for end in ("", "-wal", "-shm")] if path else []
        return files.size_of(files.runs_dir()) + sum(each.stat().st_size for each in beside if each.is_file())

    def trim(self) -> int:
        """Remove files of runs until all together fit their bound (PRUNING_RUNS_MB, or 2 GB).

        First go folders that no row knows, then runs that have ended, then interrupted ones (which can then
        not go on), the oldest first; never those with a star, nor what a process works on. Rows stay.

        Returns:
            Bytes that are left.
        Raises:
            ValueError: if the bound is no number.
        """
        bound, base = files.bound(), files.runs_dir()
        folders = [path.name for path in base.iterdir() if is_id(path.name)] if base.is_dir() else []
        sizes = {name: files.size_of(base / name) for name in folders}
        total = sum(sizes.values())
        if total <= bound:
            return total
        for name in self._removable(folders):
            if total <= bound:
                break
            if not files.alive(name):
                files.remove(name)
                total -= sizes[name] - files.size_of(base / name)
        return total

    # Inside

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with self._transaction(write=False) as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with self._transaction(write=True) as connection:
            yield connection

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[Connection]:
        try:
            with self._database.begin(write=write) as connection:
                yield connection
        except IntegrityError:
            raise
        except PROBLEMS as error:
            raise self._database.problem(error) from None

    def _insert(self, new: dict[str, Any]) -> str:
        gone: list[str] = []
        with self._write() as connection:
            same = select(rows.c.id).where(rows.c.same == new["same"])
            known = connection.execute(same).scalar() if new["same"] else None
            if known is None:
                connection.execute(insert(rows).values(new))
                gone = forget_oldest(connection, new["kind"])
            elif new["state"] == "done":
                again = {name: new[name] for name in ("state", "figures", "ended")}
                connection.execute(update(rows).where(rows.c.id == known).values(again))
        for one in gone:
            files.remove(one)
        return str(known or new["id"])

    def _change(self, run_id: str, values: dict[str, Any], only: tuple[RunState, ...] = ()) -> bool:
        chosen = update(rows).where(rows.c.id == str(run_id)).values(values)
        if only:
            chosen = chosen.where(rows.c.state.in_(only))
        with self._write() as connection:
            return connection.execute(chosen).rowcount == 1

    def _removable(self, folders: Sequence[str]) -> list[str]:
        """Ids whose files may go, in the order in which they do."""
        with self._read() as connection:
            found = connection.execute(select(rows.c.id, rows.c.state, rows.c.starred, rows.c.created)).all()
        known = {row.id: row for row in found}
        base = files.runs_dir()
        unknown = sorted((n for n in folders if n not in known), key=lambda n: (base / n).stat().st_mtime)
        free = [known[n] for n in folders if n in known and not known[n].starred]
        free = [row for row in free if row.state not in BUSY]
        free.sort(key=lambda row: (row.state not in ENDED, row.created))
        return [*unknown, *(row.id for row in free)]


def _now() -> datetime:
    return datetime.now(UTC)


def _new_row(about: About, settings: str, figures: Figures, state: RunState, same: str) -> dict[str, Any]:
    now = _now()
    return {
        **about.model_dump(),
        "id": secrets.token_hex(6),
        "state": state,
        "created": now,
        "queued": now,
        "started": None if state == "queued" else now,
        "ended": None if state in BUSY else now,
        "error": "",
        "starred": False,
        "name": "",
        "note": "",
        "figures": figures.model_dump_json(exclude_defaults=True),
        "settings": settings.encode(errors="replace").decode(),  # without lone surrogates
        "same": clean(same, SHORT) or _same_evaluation(about) or None,
    }


def _run(row: Any) -> Run:
    values = row._asdict()
    values["figures"] = Figures.model_validate_json(values["figures"])
    return Run.model_validate(values)


def _same_evaluation(about: About) -> str:
    """What names an evaluation: weights, recipe and images. Nothing if one of them is not known."""
    parts = (about.weights, about.digest, about.split)
    if about.kind != "evaluation" or about.study is not None or not all(parts):
        return ""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
