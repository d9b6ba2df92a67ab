"""Which run is shown: that of the address, one of the earlier ones, or none, to begin another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pruning import MODELS
from ui import runs, shell, state
from ui.state import Session

if TYPE_CHECKING:
    from pruning.history import Run

MOST = 50  # runs to choose from
NEW = ""


def draw(session: Session) -> Run | None:
    """The choice among the runs of this network; the run to show, or None."""
    if notice := runs.history().notice:
        st.warning(shell.literal(notice), icon=":material/database:")
    asked = runs.find(session.run) if session.run else None
    shown = asked if asked is None or asked.kind == "fine-tuning" else None
    if session.run and asked is None:
        st.info(
            "The run of this link is not in this app's history: it was deleted, or is of another machine.",
            icon=":material/link_off:",
        )
    found = runs.history().runs(kind="fine-tuning", model=session.model, limit=MOST, study="")
    others = {run.id: run for run in ([shown] if shown else []) + found}
    if others:
        _choose(session, others, shown)
    if shown is not None and shown.model != session.model:
        label = MODELS[shown.model].label if shown.model in MODELS else shown.model
        st.caption(f"This run is of another network than the one chosen above: {shell.literal(label)}.")
    return shown


def _choose(session: Session, found: dict[str, Run], shown: Run | None) -> None:
    now = shown.id if shown else NEW
    key = f"ft-run-{now}"  # another widget for each: one that is polled would take back a choice

    def take() -> None:
        chosen = state.value(key)
        if chosen in (NEW, *found) and (shown.id if shown else session.run) == session.run:
            session.look_at(chosen)

    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "Run",
            [NEW, *found],
            format_func=lambda run_id: _label(found[run_id]) if run_id else "New run",
            filter_mode=None,
            width=620,
            label_visibility="collapsed",
            **state.tie(key, now, take),
        )
        if shown is not None:
            st.button("New run", key="ft-new", icon=":material/add:", on_click=session.look_at, args=(NEW,))


def _label(run: Run) -> str:
    """A run for the list: what it is and when it was asked for; nothing that changes while it is shown, for
    Streamlit tells options apart by their labels."""
    star = "★ " if run.starred else ""
    when = run.created.strftime("%Y-%m-%d %H:%M UTC")
    return f"{star}{run.called} · {when}"
