"""Below the board: exact entry, what was asked and what came of it, changed answers, the recipe."""

from __future__ import annotations

import re

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import pruning
from ui import shell, state
from ui.prune import facts, table, times
from ui.prune.facts import Facts
from ui.state import Session

RECIPE_FILE = "prune-recipe"


def draw(session: Session, now: Facts) -> DeltaGenerator | None:
    """Five tabs, of which only the open one is computed.

    Returns:
        The place for the changed answers if they are asked for: they wait for the measurement.
    """
    said = facts.asked_and_got(session.model_id, now)
    if said is not None and said.differs:
        preset = facts.of_preset(session.target, now, session.ratios)
        st.caption(_plain(f"{preset} {said.sentence}"))
    entry, got, answers, time, recipe = st.tabs(
        ["Table", "Asked and got", "Changed answers", "Time", "Recipe"], key="prune-tabs", on_change="rerun"
    )
    fills = {entry: table.draw, got: _asked_and_got, time: times.draw, recipe: _recipe}
    for tab, fill in fills.items():
        if tab.open:
            with tab:
                fill(session, now)
    return answers.container() if answers.open else None


def _asked_and_got(session: Session, now: Facts) -> None:
    if not now.plan.entries:
        st.caption("Nothing is asked yet: drag a bar, type a ratio into the table, or take a preset.")
        return
    said = facts.asked_and_got(session.model_id, now)
    if said is not None:
        st.markdown(_plain(f"{facts.of_preset(session.target, now, session.ratios)} {said.sentence}"))
    st.dataframe(
        [
            {
                "Row": entry.key,
                "Asked, %": 100 * entry.asked,
                "Got, %": 100 * (1 - entry.kept / entry.size),
                "Kept": entry.kept,
                "Of": entry.size,
                "Because": entry.note or _rounding(entry),
            }
            for entry in now.plan.entries
        ],
        hide_index=True,
        column_config={
            "Asked, %": st.column_config.NumberColumn(format="%.1f"),
            "Got, %": st.column_config.NumberColumn(format="%.1f"),
            "Kept": st.column_config.NumberColumn(format="localized"),
            "Of": st.column_config.NumberColumn(format="localized"),
        },
        key="asked-and-got",
    )


def _plain(sentence: str) -> str:
    """A sentence of the engine for a place that takes Markdown, names in quotation marks."""
    return shell.literal(re.sub("`([^`]*)`", r"“\1”", sentence.strip()))


def _rounding(entry: pruning.PlanEntry) -> str:
    exact = entry.size * (1 - entry.asked)
    return "" if abs(exact - entry.kept) < 1e-9 else f"{exact:.1f} is no whole number"


def _recipe(session: Session, now: Facts) -> None:
    """The decisions as a file, out and in."""
    text = now.recipe.to_json()
    take, give = st.columns(2, gap="large")
    with give:
        st.download_button(
            "Download recipe.json",
            text,
            f"{session.model}-{now.recipe.digest}.recipe.json",
            "application/json",
            icon=":material/download:",
            on_click="ignore",
            key="recipe-download",
        )
        st.code(text, language="json", height=220)
    with take:
        st.file_uploader(
            "Take over a recipe",
            ["json"],
            key=RECIPE_FILE,
            on_change=_take_over,
            args=(session,),
            max_upload_size=4,
            help="Of this network: its keys are the rows of the board. Undo takes it back.",
        )
        if session.recipe_problem:
            st.error(shell.literal(session.recipe_problem), icon=":material/error:")


def _take_over(session: Session) -> None:
    file = state.value(RECIPE_FILE)
    session.recipe_problem = ""
    if file is not None:
        try:
            session.load_recipe(pruning.Recipe.from_json(file.getvalue().decode("utf-8", "replace")))
        except ValueError as error:
            session.recipe_problem = str(error)
