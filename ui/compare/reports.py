"""A report of the selected runs, or of all that are shown: one HTML file, or Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from pruning.compare import Entry, as_html, as_markdown
from pruning.compare.report import MOST
from ui import runs
from ui.compare.trade import settings

if TYPE_CHECKING:
    from pruning.history import Run


def draw(shown: Sequence[Run], chosen: Sequence[Run]) -> None:
    """Two downloads, made when they are asked for."""
    about = list(chosen) or list(shown)[:MOST]
    what = f"the {len(chosen)} selected" if chosen else f"all {len(about)} shown"
    what = what if len(about) > 1 else "the one selected" if chosen else "the one shown"
    st.markdown(
        f"A report of **{what}**: table, Pareto charts, mean and standard deviation over seeds, what is "
        "removed of each part, curves, how the recipes differ, and all settings."
    )
    names = [run for run in about if run.kind == "study"]
    if names:
        st.caption("A study in it brings the runs that it consists of.")
    stem = "pruning-report"

    def made() -> list[Entry]:
        return entries(about)

    with st.container(horizontal=True, key="compare-report"):
        st.download_button(
            "Report .html",
            lambda: as_html(made()),
            f"{stem}.html",
            "text/html",
            icon=":material/download:",
            type="primary",
            key="compare-report-html",
            on_click="ignore",
            help="One file with its pictures inside. It opens without this app, and makes no request.",
        )
        st.download_button(
            "Report .md",
            lambda: as_markdown(made()),
            f"{stem}.md",
            "text/markdown",
            icon=":material/download:",
            key="compare-report-md",
            on_click="ignore",
            help="The same text and tables as Markdown; without pictures.",
        )
    with st.expander("Preview", key="compare-preview", on_change="rerun") as preview:
        if preview.open:
            st.code(as_markdown(made()), "markdown", wrap_lines=True, height=420)


def entries(about: Sequence[Run]) -> list[Entry]:
    """Runs with their settings and epochs; the cells of a study beside it, up to what a report holds."""
    found: dict[str, Run] = {}
    for run in about:
        found[run.id] = run
        if run.kind == "study":
            found |= {cell.id: cell for cell in runs.history().runs(study=run.id, oldest_first=True)}
    return [
        Entry(run, settings(run.id), runs.history().epochs(run.id) if run.kind == "fine-tuning" else ())
        for run in list(found.values())[:MOST]
    ]
