"""The page's parts in their order; of the tabs only the open one is computed."""

from __future__ import annotations

import streamlit as st

from ui import record, shell
from ui.compare import actions, disk, pair, reports, trade, which
from ui.compare.which import Shown
from ui.state import Session

TABS = ("Accuracy against cost", "Two runs", "Report")


def draw(session: Session) -> None:
    """Everything below the heading."""
    record.flush()
    shown = which.draw(session)
    if not shown.all:
        _empty()
    else:
        _tabs(session, shown)
    disk.draw(session)


def _tabs(session: Session, shown: Shown) -> None:
    chosen = actions.picked(session)
    actions.draw(session, chosen)
    trade_off, two, report = st.tabs(TABS, key="compare-tabs", on_change="rerun")
    for tab, fill in (
        (trade_off, lambda: trade.draw(session, shown.runs)),
        (two, lambda: pair.draw(session, shown.runs, chosen)),
        (report, lambda: reports.draw(shown.runs, chosen)),
    ):
        if tab.open:
            with tab, shell.errors_here():
                fill()


def _empty() -> None:
    """What will be here, and how it gets here."""
    st.info("Nothing has been measured yet. What you measure is kept here by itself.", icon=":material/info:")
    with st.container(horizontal=True, key="compare-next"):
        for page, label in (
            ("prune", "Prune: every recipe whose accuracy is measured"),
            ("sensitivity", "Sensitivity: every scan"),
            ("finetune", "Fine-tune: every run"),
            ("export", "Export: every file"),
        ):
            st.page_link(f"pages/{page}.py", label=label, icon=":material/arrow_forward:")
