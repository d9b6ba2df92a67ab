"""What the history takes on the disk, where it is, and how to make room."""

from __future__ import annotations

import streamlit as st

from pruning.history import ENDED
from pruning.history.files import bound
from pruning.history.filters import Filters
from ui import record, runs, shell
from ui.state import Session

MOST = 100_000  # runs that one click deletes
_FREE: Filters = {"starred": False, "state": ENDED, "study": ""}


def draw(session: Session) -> None:
    """One line, and a way to clear behind a question."""
    history = runs.history()
    free = history.count(**_FREE)
    with st.container(horizontal=True, vertical_alignment="center", key="compare-disk"):
        st.caption(
            f"The history takes {shell.size(history.size())} on this machine's disk; files of runs are "
            f"bounded at {shell.size(bound())}, the oldest go first. Rows stay.",
            width="content",
            help="PRUNING_RUNS_MB sets the bound, PRUNING_DATABASE_URL another database.",
        )
        with st.popover("Clear", icon=":material/delete_sweep:", type="tertiary", width="content"):
            st.markdown(
                f"Delete {free:,} run{'s' * (free != 1)} that ended, with figures and files, for ever? Runs "
                "with a star, under way, or started by other visitors stay."
            )
            st.button(
                "Delete them",
                key="compare-clear-all",
                type="primary",
                disabled=not free,
                on_click=_clear,
                args=(session,),
            )
    if history.notice:
        st.warning(shell.literal(history.notice), icon=":material/database:")
    if record.problem():
        st.warning(
            f"The last figures could not be kept: {shell.literal(record.problem())}",
            icon=":material/database:",
        )


def _clear(session: Session) -> None:
    history = runs.history()
    try:
        for run in history.runs(limit=MOST, **_FREE):
            if runs.is_mine(session, run):
                history.delete(run.id)
    except ValueError as error:
        session.note = str(error)
    record.forget()
    session.pick(())
