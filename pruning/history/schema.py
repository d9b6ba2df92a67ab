"""The version of the tables: new ones are made as they are today, older ones are brought up to date."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, insert, inspect, select, text, update

from pruning.history.problem import HistoryError
from pruning.history.tables import metadata, schema_version

# What turns version 1 into 2, 2 into 3, and so on. What is here stays as it is for ever.
MIGRATIONS: Sequence[Sequence[str]] = (
    (
        "ALTER TABLE runs ADD COLUMN queued DOUBLE PRECISION",
        "ALTER TABLE runs ADD COLUMN study VARCHAR(12)",
        "ALTER TABLE runs ADD COLUMN same VARCHAR(64)",
        "UPDATE runs SET queued = created",
        "CREATE INDEX runs_study ON runs (study)",
        "CREATE UNIQUE INDEX runs_same ON runs (same)",
    ),
)
VERSION = len(MIGRATIONS) + 1


def prepare(connection: Connection) -> None:
    """Make the tables, or bring older ones up to date, in the transaction that is open.

    Raises:
        HistoryError: if a later version of the program made them.
    """
    if not inspect(connection).has_table(schema_version.name):
        metadata.create_all(connection)
        connection.execute(insert(schema_version).values(version=VERSION))
        return
    found = connection.execute(select(schema_version.c.version)).scalar_one()
    if found > VERSION:
        raise HistoryError(
            f"The history was written by a later version of this program (its tables are of version {found}, "
            f"not {VERSION}); update the program, or name another database in PRUNING_DATABASE_URL."
        )
    for statements in MIGRATIONS[found - 1 :]:
        for statement in statements:
            connection.execute(text(statement))
    if found < VERSION:
        connection.execute(update(schema_version).values(version=VERSION))
