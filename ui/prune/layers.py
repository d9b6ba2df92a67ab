"""Whole layers on the Prune page: their rows, their presets, their table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import pandas as pd
import streamlit as st
import torch

import pruning
from pruning import Scan
from pruning.blocks import lowest
from ui import cache, scans, state
from ui.prune.facts import Facts
from ui.ratio_board import Row
from ui.state import Session

By = Literal["score", "sensitivity"]
KEEP, LOCK = "Keep", "Lock"
COUNT, BY = "drop-count", "drop-by"


def rows(session: Session, facts: Facts) -> list[Row]:
    """One row a block that can be dropped, in the order of the forward pass."""
    found, dense = scores(session), facts.dense
    return [
        Row(
            key=block.id,
            label=block.id,
            kind=block.kind,
            size=1,
            ratio=session.ratios.get(block.id, 0.0),
            locked=block.id in session.locked,
            minimum=0,
            parameter_share=block.parameters / dense.parameters,
            macs_share=block.macs / dense.macs if dense.macs else math.nan,
            curve=tuple((point.ratio, point.accuracy) for point in _curve(facts, block.id)),
            multiple_of=1,
            stops=((0.0, 1, ""), (1.0, 0, "")),
            switch=True,
            score=found.get(block.id, math.nan),
        )
        for block in cache.blocks(session.model_id).blocks
    ]


def scores(session: Session) -> dict[str, float]:
    """Block id -> score by the session's criterion; empty without the data that it needs."""
    try:
        found = cache.scores(session.model_id, *session.how)
    except pruning.MissingData:  # switches need no scores, and the accuracy card says what is missing
        return {}
    return {key: float(value) for key, value in found.items()}


def losses(scan: Scan | None) -> dict[str, float]:
    """Block id -> accuracy lost if it alone is dropped, as far as a scan has measured it."""
    if scan is None:
        return {}
    last = {key: points[-1] for key in scan.keys if (points := scan.curve(key))}
    return {key: scan.dense.accuracy - point.accuracy for key, point in last.items()}


# Presets


def presets(session: Session) -> None:
    """Drop so many, by score or by what each costs alone."""
    free, lost = session.free, losses(scans.latest(session.model_id, *session.how))
    ways: dict[By, str] = {"score": pruning.CRITERIA[session.criterion].label}
    if lost:
        ways["sensitivity"] = "Accuracy lost alone"
    by = st.segmented_control(
        "Lowest first, by",
        list(ways),
        format_func=ways.__getitem__,
        default="score",
        required=True,
        key=BY,
        help="The criterion's score, or the accuracy that the sensitivity scan measured with each layer "
        "alone dropped. Both look at one layer at a time: the accuracy card measures all together.",
    )
    st.number_input(
        f"Drop how many of {len(free)}", 0, max(len(free), 1), min(1, len(free)), key=COUNT, width=190
    )
    if not lost:
        st.caption("Measure curves below the board to choose by the accuracy that each costs alone.")
    st.button(
        "Drop the lowest",
        type="primary",
        key="apply-preset",
        disabled=not free,
        help="Locked rows stay as they are; Undo takes it back.",
        on_click=_apply,
        args=(session, by or "score", lost),
    )


def chosen(session: Session, by: By, count: int, lost: Mapping[str, float]) -> dict[str, float]:
    """Ratios that drop the lowest of the rows that are not locked; locked rows as they are.

    Raises:
        ValueError: if there are fewer rows, or nothing is known to choose by.
    """
    known = scores(session) if by == "score" else lost
    free = [key for key in session.free if key in known]
    if len(free) < count:
        raise ValueError(f"Only {len(free)} unlocked layers are measured, so {count} cannot be chosen.")
    gone = lowest({key: torch.tensor([known[key]]) for key in free}, count)
    locked = {key: session.ratios.get(key, 0.0) for key in session.locked}
    return {**locked, **dict.fromkeys(gone, 1.0)}


def _apply(session: Session, by: By, lost: Mapping[str, float]) -> None:
    try:
        session.set_ratios(chosen(session, by, int(state.value(COUNT, 1)), lost))
    except ValueError as error:
        session.note = str(error)


# The table


def frame(session: Session, facts: Facts) -> pd.DataFrame:
    """One row a block: kept, score, shares, accuracy alone, lock."""
    found, dense, lost = scores(session), facts.dense, losses(facts.scan)
    whole = facts.scan.dense.accuracy if facts.scan else math.nan
    return pd.DataFrame(
        {
            "Row": block.id,
            KEEP: not session.ratios.get(block.id),
            "Kind": block.kind,
            "Score": found.get(block.id),
            "Parameters, %": 100 * block.parameters / dense.parameters,
            "MACs, %": 100 * block.macs / dense.macs if dense.macs else None,
            "Accuracy alone, %": 100 * (whole - lost[block.id]) if block.id in lost else None,
            LOCK: block.id in session.locked,
        }
        for block in cache.blocks(session.model_id).blocks
    )


def columns() -> dict[str, Any]:
    """How the table's columns are shown."""
    number, tick = st.column_config.NumberColumn, st.column_config.CheckboxColumn
    return {
        "Row": st.column_config.TextColumn(width="large"),
        KEEP: tick(help="Off: the layer is dropped, and its input goes on in the place of its output."),
        "Score": number(format="%.4f", help="By the chosen criterion; the lowest go first."),
        "Parameters, %": number(format="%.1f"),
        "MACs, %": number(format="%.1f"),
        "Accuracy alone, %": number(format="%.1f", help="By the scan, with this layer alone dropped."),
        LOCK: tick(help="Locked rows are left alone by presets."),
    }


def edited(
    shown: pd.DataFrame,
    edits: Mapping[int, Mapping[str, Any]],
    ratios: Mapping[str, float],
    locked: frozenset[str],
) -> tuple[dict[str, float], frozenset[str]]:
    """Ratios and locks after edits of the table; what is no tick, or of a locked row, changes nothing."""
    after, locks = dict(ratios), set(locked)
    for number, values in edits.items():
        key = str(shown.at[number, "Row"])
        if isinstance(values.get(LOCK), bool):
            (locks.add if values[LOCK] else locks.discard)(key)
        if isinstance(values.get(KEEP), bool) and key not in locked:
            after[key] = 0.0 if values[KEEP] else 1.0
    return after, frozenset(locks)


def _curve(facts: Facts, key: str) -> tuple[pruning.ScanPoint, ...]:
    return facts.scan.curve(key) if facts.scan and key in facts.scan.keys else ()
