"""The board as a table: exact ratios and counts to type or to paste, and locks."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping
from math import prod
from typing import Any

import pandas as pd
import streamlit as st

from pruning.plan import PlanEntry
from ui import cache, state
from ui.draft import clean
from ui.granularity import possible
from ui.prune import layers
from ui.prune.facts import Facts
from ui.state import Session

ASKED, KEEP, LOCK = "Remove, %", "Keep", "Lock"


def draw(session: Session, now: Facts) -> None:
    """An editable table of every row; an edit is one undo step."""
    switches = session.granularity == "layer"
    shown = layers.frame(session, now) if switches else frame(session, now)
    if shown.empty:
        st.caption("There is nothing to drop.")
        return
    # A fresh key for other contents, and after an edit that changed nothing (of a locked row): what was typed
    # into the last table must not be laid over this one.
    key = f"prune-table-{zlib.crc32(shown.to_csv().encode()):08x}-{session.version}"
    st.data_editor(
        shown,
        hide_index=True,
        disabled=[str(name) for name in shown if name not in (ASKED, KEEP, LOCK)],
        column_config=layers.columns()
        if switches
        else {
            "Row": st.column_config.TextColumn(width="large"),
            ASKED: st.column_config.NumberColumn(
                min_value=0.0, max_value=100.0, step=0.01, format="%.2f", help="Share asked to be removed."
            ),
            KEEP: st.column_config.NumberColumn(
                min_value=0, step=1, format="localized", help="Exact number kept; the ratio follows from it."
            ),
            "Of": st.column_config.NumberColumn(format="localized"),
            LOCK: st.column_config.CheckboxColumn(help="Locked rows are left alone by presets and drags."),
        },
        key=key,
        on_change=_take,
        args=(session, shown, key),
    )
    if not switches:
        st.caption("Paste a column from a spreadsheet into Remove or Keep; Undo takes it back.")


def frame(session: Session, now: Facts) -> pd.DataFrame:
    """One row per key: name, kind, asked percent, kept, size, locked."""
    entries = {entry.key: entry for entry in now.plan.entries}
    return pd.DataFrame(
        [
            _row(key, kind, size, entries.get(key), key in session.locked or key in session.whole)
            for key, kind, size in _keys(session)
        ],
        columns=["Row", "Kind", ASKED, KEEP, "Of", LOCK],
    )


def edited(
    shown: pd.DataFrame,
    edits: Mapping[int, Mapping[str, Any]],
    ratios: Mapping[str, float],
    locked: frozenset[str],
    whole: Collection[str] = (),
) -> tuple[dict[str, float], frozenset[str]]:
    """Ratios and locks after edits of the table; what is no number, or of a locked row, changes nothing.

    Args:
        shown: the table before the edits.
        edits: row number -> column -> new value, as `st.data_editor` reports them.
        ratios, locked: before.
        whole: keys that the criterion cannot rank; they do not change.
    """
    after, locks = dict(ratios), set(locked)
    for number, values in edits.items():
        key, size = str(shown.at[number, "Row"]), int(str(shown.at[number, "Of"]))
        if key in whole:
            continue
        if isinstance(values.get(LOCK), bool):
            (locks.add if values[LOCK] else locks.discard)(key)
        if key in locked:
            continue
        asked, keep = _number(values.get(ASKED)), _number(values.get(KEEP))
        if asked is not None:
            after[key] = asked / 100
        elif keep is not None:
            after[key] = 1 - min(max(keep, 0), size) / size
    return after, frozenset(locks)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _take(session: Session, shown: pd.DataFrame, key: str) -> None:
    edits = (state.value(key) or {}).get("edited_rows", {})
    rows = {int(row): values for row, values in edits.items()}
    if session.granularity == "layer":
        ratios, locked = layers.edited(shown, rows, session.ratios, session.locked)
    else:
        ratios, locked = edited(shown, rows, session.ratios, session.locked, session.whole)
    stops = cache.stops(session.model_id, session.granularity, session.criterion, session.seed)
    session.set(ratios=clean(possible(stops, ratios)), locked=locked)


def _keys(session: Session) -> list[tuple[str, str, int]]:
    if session.granularity == "channel":
        groups = cache.structure(session.model_id, session.choices).groups
        return [(group.id, group.kind, group.size) for group in groups]
    sizes = {layer.name: prod(layer.weight_shape) for layer in cache.layers(session.model_id)}
    return [(key, session.granularity, sizes[key]) for key in session.keys]


def _row(key: str, kind: str, size: int, entry: PlanEntry | None, locked: bool) -> tuple[Any, ...]:
    kept, asked = (entry.kept, entry.asked) if entry else (size, 0.0)
    shown = kind if entry is None or entry.granularity == "channel" else entry.spelled
    return key, shown, round(100 * asked, 2), kept, size, locked
