"""The ratio board on the Prune page: what an edit changes, and what is drawn again because of it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.errors import StreamlitAPIException

from ui import dropping
from ui.prune import rows
from ui.prune.facts import Facts
from ui.ratio_board import Edit, ratio_board
from ui.state import Session

LIVE = "prune-live"  # the fragment that follows a drag


def draw(session: Session, facts: Facts) -> None:
    """The board; its edits go to the session."""
    if session.granularity == "layer" and dropping.none_here(session.model_id):
        return
    seen: list[Edit] = []

    channels = session.granularity == "channel"

    def take(edit: Edit) -> None:
        seen.append(edit)
        merge(session, edit)

    def then() -> None:
        edits = tuple(seen)
        seen.clear()
        if not settled(edits):
            _follow()

    ratio_board(
        rows.of(session, facts),
        key="board",
        version=session.version,
        on_edit=take,
        then=then,
        multiple_of=session.multiple_of if channels else 1,
        dense_accuracy=facts.scan.dense.accuracy if facts.scan else None,
        ticks_every=session.multiple_of if channels and session.multiple_of > 1 else 0,
        can_undo=session.can_undo,
        can_redo=session.can_redo,
        label="Pruning ratio of each layer or coupled group",
    )
    if session.granularity == "layer":
        dropping.fixed(session.model_id)
    if whole := session.whole:
        st.caption(f"Stays whole: {len(whole)} of {len(session.keys)} rows. {next(iter(whole.values()))}")


def merge(session: Session, edit: Edit) -> None:
    """Let the session follow one edit; ratios and locks of an earlier version of the board are dropped."""
    if edit.action in ("edit", "lock", "units") and edit.version != session.version:
        return
    if edit.action == "edit":
        session.drag({**session.ratios, **edit.ratios}, final=edit.final)
    elif edit.action == "units":
        session.switch(edit.units)
    elif edit.action == "lock":
        session.lock(edit.locks)
    elif edit.action == "reset":
        session.set_ratios({key: ratio for key, ratio in session.ratios.items() if key in session.locked})
    elif edit.action == "undo":
        session.undo()
    else:
        session.redo()


def settled(edits: Sequence[Edit]) -> bool:
    """Whether the hand let go, so that the whole page follows; until then only the figures do."""
    return any(edit.action != "edit" or edit.final for edit in edits)


def _follow() -> None:
    """Run only the figures; from a callback this also drops what they are still measuring."""
    try:
        st.rerun(LIVE)
    except StreamlitAPIException:  # not registered yet: the page is still on its first run
        return
