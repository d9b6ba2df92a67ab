"""Rows that go: with a run its epochs and cells, and the oldest of what comes in masses."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, delete, func, select

from pruning.history.run import ENDED, Kind
from pruning.history.tables import epochs, runs

# Evaluations come with every slider; of these kinds only so many are kept, the oldest without a star go.
MOST = {"evaluation": 2000, "scan": 1000, "export": 1000}


def with_cells(connection: Connection, run_id: str) -> list[str]:
    """A run, and those that are cells of it."""
    cells = connection.execute(select(runs.c.id).where(runs.c.study == run_id)).scalars().all()
    return [run_id, *cells]


def forget(connection: Connection, ids: Collection[str]) -> None:
    """Remove rows and their epochs."""
    connection.execute(delete(epochs).where(epochs.c.run.in_(ids)))
    connection.execute(delete(runs).where(runs.c.id.in_(ids)))


def forget_oldest(connection: Connection, kind: Kind) -> list[str]:
    """Hold the rows of a kind within their bound; cells of a study are not counted, and stay.

    Returns:
        Ids of those that are forgotten.
    """
    if kind not in MOST:
        return []
    mine = (runs.c.kind == kind, runs.c.study.is_(None), runs.c.state.in_(ENDED))
    there = connection.execute(select(func.count()).select_from(runs).where(*mine)).scalar_one()
    if there <= MOST[kind]:
        return []
    oldest = select(runs.c.id).where(*mine, runs.c.starred.is_(False)).order_by(runs.c.created)
    gone = connection.execute(oldest.limit(there - MOST[kind])).scalars().all()
    forget(connection, gone)
    return list(gone)
