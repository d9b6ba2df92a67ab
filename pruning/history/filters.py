"""Which runs are meant: filters as keyword arguments, turned into SQL."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypedDict

from sqlalchemy import Select, or_

from pruning.history.run import TITLE, Kind, RunState, clean
from pruning.history.tables import runs as rows

_SEARCHED = (rows.c.title, rows.c.name, rows.c.note, rows.c.model, rows.c.criterion, rows.c.id)


class Filters(TypedDict, total=False):
    """What can be asked of runs; all that is given must fit, and what is empty or None is not asked.

    Args:
        kind, state: one or several.
        model, task, owner: exactly.
        study: cells of this study; "" = runs that are no cell; None = both.
        starred: whether they have a star.
        text: somewhere in title, name, note, model, criterion or id, whatever the case of ASCII letters.
    """

    kind: Kind | Collection[Kind]
    state: RunState | Collection[RunState]
    model: str
    task: str
    owner: str
    study: str | None
    starred: bool | None
    text: str


def filtered(chosen: Select[Any], filters: Filters) -> Select[Any]:
    """A selection of rows, narrowed."""
    for column, several in ((rows.c.kind, filters.get("kind")), (rows.c.state, filters.get("state"))):
        if several:
            chosen = chosen.where(column.in_([several] if isinstance(several, str) else list(several)))
    for column, exact in (
        (rows.c.model, filters.get("model")),
        (rows.c.task, filters.get("task")),
        (rows.c.owner, filters.get("owner")),
    ):
        if exact:
            chosen = chosen.where(column == clean(exact, TITLE))
    study, starred = filters.get("study"), filters.get("starred")
    if study is not None:
        chosen = chosen.where(rows.c.study == clean(study, TITLE) if study else rows.c.study.is_(None))
    if starred is not None:
        chosen = chosen.where(rows.c.starred.is_(starred))
    if wanted := clean(filters.get("text") or "", TITLE).strip():
        chosen = chosen.where(or_(*(column.icontains(wanted, autoescape=True) for column in _SEARCHED)))
    return chosen
