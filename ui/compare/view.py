"""The page's parts in their order; of the tabs only the open one is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from ui import record, runs, shell
from ui.compare import actions, disk, pair, reports, study, trade, which
from ui.compare.study_form import TAB, TABS_KEY
from ui.compare.which import Shown
from ui.state import Session

if TYPE_CHECKING:
    from pruning.history import Run

TABS = ("Accuracy against cost", "Two runs", TAB, "Report")


def draw(session: Session) -> None:
    """Everything below the heading."""
    record.flush()
    shown = which.draw(session)
    if not shown.all:
        _empty(session)
    else:
        _tabs(session, shown)
    disk.draw(session)


def _tabs(session: Session, shown: Shown) -> None:
    chosen = actions.picked(session)
    actions.draw(session, chosen)
    trade_off, two, methods, report = st.tabs(
        TABS,
        default=TAB if chosen and chosen[0].kind == "study" else TABS[0],
        key=TABS_KEY,
        on_change="rerun",
    )
    for tab, fill in (
        (trade_off, lambda: trade.draw(session, _with_cells(shown.runs, chosen))),
        (two, lambda: pair.draw(session, shown.runs, chosen)),
        (methods, lambda: study.draw(session, chosen)),
        (report, lambda: reports.draw(shown.runs, chosen)),
    ):
        if tab.open:
            with tab, shell.errors_here():
                fill()


def _with_cells(shown: Sequence[Run], chosen: Sequence[Run]) -> list[Run]:
    """What the table shows, and what the selected studies consist of."""
    found = {run.id: run for run in shown}
    for study_run in chosen:
        if study_run.kind == "study":
            found |= {cell.id: cell for cell in runs.history().runs(study=study_run.id)}
    return list(found.values())


def _empty(session: Session) -> None:
    """What will be here, how it gets here, and a study to begin with."""
    st.info("Nothing has been measured yet. What you measure is kept here by itself.", icon=":material/info:")
    with st.container(horizontal=True, key="compare-next"):
        for page, label in (
            ("prune", "Prune: every recipe whose accuracy is measured"),
            ("sensitivity", "Sensitivity: every scan"),
            ("finetune", "Fine-tune: every run"),
            ("export", "Export: every file"),
        ):
            st.page_link(f"pages/{page}.py", label=label, icon=":material/arrow_forward:")
    shell.section("Compare methods")
    study.draw(session, ())
