"""Which compression is shown: that of the address, one of the earlier ones, or none, to decide another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from ui import runs, shell, state
from ui.state import Session

if TYPE_CHECKING:
    from pruning.history import Run

MOST = 50
NEW = ""


def draw(session: Session) -> Run | None:
    """The choice among the compressions of this network; the run to show, or None."""
    asked = runs.find(session.run) if session.run else None
    if session.run and asked is None:
        st.info(
            "The run of this link is not in this app's history: it was deleted, or is of another machine.",
            icon=":material/link_off:",
        )
    shown = asked if asked is not None and asked.kind == "compression" else None
    found = runs.history().runs(kind="compression", model=session.model, limit=MOST, study="")
    others = {run.id: run for run in ([shown] if shown else []) + found}
    if not others:
        return None
    now = shown.id if shown else NEW
    key = f"compress-run-{now}"  # another widget for each: one that is polled would take back a choice

    def take() -> None:
        chosen = state.value(key)
        if chosen in (NEW, *others):
            session.look_at(chosen)

    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "Run",
            [NEW, *others],
            format_func=lambda run_id: _label(others[run_id]) if run_id else "Decide and try",
            filter_mode=None,
            width=620,
            label_visibility="collapsed",
            **state.tie(key, now, take),
        )
        if shown is not None:
            st.button(
                "Back to deciding",
                key="compress-new",
                icon=":material/arrow_back:",
                on_click=session.look_at,
                args=(NEW,),
            )
    return shown


def _label(run: Run) -> str:
    return shell.literal(f"{run.called} · {run.created.strftime('%Y-%m-%d %H:%M UTC')}")
