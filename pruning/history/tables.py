"""The tables, in words that SQLite and PostgreSQL understand alike."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    Boolean,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

from pruning.history.run import NOTE, SHORT, TITLE

metadata = MetaData()


class Moment(TypeDecorator[datetime]):
    """A time in UTC, stored as seconds since 1970: databases differ in what they make of time zones."""

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> float | None:
        return None if value is None else value.timestamp()

    def process_result_value(self, value: float | None, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromtimestamp(value, UTC)


schema_version = Table("schema_version", metadata, Column("version", Integer, nullable=False))

runs = Table(
    "runs",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("title", String(TITLE), nullable=False),
    Column("owner", String(SHORT), nullable=False),
    Column("model", String(SHORT), nullable=False),
    Column("weights", String(SHORT), nullable=False),
    Column("device", String(SHORT), nullable=False),
    Column("task", String(SHORT), nullable=False),
    Column("split", String(SHORT), nullable=False),
    Column("digest", String(SHORT), nullable=False),
    Column("criterion", String(SHORT), nullable=False),
    Column("granularity", String(SHORT), nullable=False),
    Column("schedule", String(SHORT), nullable=False),
    Column("ratio", Double),
    Column("seed", Integer),
    Column("created", Moment, nullable=False),
    Column("started", Moment),
    Column("ended", Moment),
    Column("error", String(TITLE), nullable=False),
    Column("starred", Boolean, nullable=False),
    Column("name", String(TITLE), nullable=False),
    Column("note", String(NOTE), nullable=False),
    Column("figures", Text, nullable=False),  # JSON
    Column("settings", Text, nullable=False),  # JSON, up to megabytes: read for one run at a time
    # since version 2
    Column("queued", Moment),
    Column("study", String(12)),
    Column("same", String(64)),  # rows that mean the same have the same text here; None is like no other
    Index("runs_created", "created"),
    Index("runs_study", "study"),
    Index("runs_same", "same", unique=True),
)

epochs = Table(
    "epochs",
    metadata,
    Column("run", String(12), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("record", Text, nullable=False),  # JSON of pruning.recover.record.Epoch
)
