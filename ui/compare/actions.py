"""What can be done with the selected runs: name, note, use the recipe, open, delete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from pruning import MODELS
from pruning.compare import name_of, recipe_of
from ui import cache, record, runs, shell, state
from ui.compare.trade import settings
from ui.state import Session

if TYPE_CHECKING:
    from pruning.history import Run

NAME, NOTE = "compare-name", "compare-note"
_OPENED = {"fine-tuning": "finetune", "compression": "compress"}


def picked(session: Session) -> list[Run]:
    """The selected runs that are still there, in the order of their selection."""
    found = [runs.history().get(run_id) for run_id in session.picked]
    return [run for run in found if run is not None]


def draw(session: Session, chosen: Sequence[Run]) -> None:
    """One row of buttons; nothing as long as nothing is selected."""
    if not chosen:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="compare-actions"):
        if len(chosen) == 1:
            _one(session, chosen[0])
        else:
            st.markdown(f"**{len(chosen)} runs selected**", width="content")
        _delete(session, chosen)
        st.button(
            "Clear the selection", key="compare-clear", type="tertiary", on_click=session.pick, args=((),)
        )


def _one(session: Session, run: Run) -> None:
    st.markdown(f"**{shell.literal(run.called)}**", width="content")
    with st.popover("Name and note", icon=":material/edit:", width="content"):
        st.text_input("Name", run.name, key=f"{NAME}-{run.id}", max_chars=200, placeholder=run.title)
        st.text_area("Note", run.note, key=f"{NOTE}-{run.id}", max_chars=4000, height=120)
        st.button("Save", key="compare-save", type="primary", on_click=_save, args=(run.id,))
    if recipe_of(settings(run.id)) is not None and st.button(
        "Use this recipe",
        icon=":material/tune:",
        key="compare-use",
        help="Opens it on the Prune page, as a step that Undo takes back.",
    ):
        _use(session, run)
    if run.kind in _OPENED and st.button("Open the run", icon=":material/open_in_new:", key="compare-open"):
        session.look_at(run.id)
        shell.turn_to(_OPENED[run.kind])


def _save(run_id: str) -> None:
    history = runs.history()
    history.rename(run_id, str(state.value(f"{NAME}-{run_id}", "")))
    history.annotate(run_id, str(state.value(f"{NOTE}-{run_id}", "")))


def _use(session: Session, run: Run) -> None:
    """Take over the recipe and turn to the Prune page; what does not fit is said here."""
    recipe = recipe_of(settings(run.id))
    if recipe is None or run.model not in MODELS:
        st.error("The network of this run is not one of this program's.")
        return
    with shell.errors_here():
        weights = session.weights if session.model == run.model else None
        session.choose_model(run.model, weights)
        session.load_recipe(recipe)
        if run.weights and run.weights != cache.weights_digest(session.model_id):
            session.note = "This recipe was made for other weights of this network; its figures will differ."
        shell.turn_to("prune")


def _delete(session: Session, chosen: Sequence[Run]) -> None:
    """Behind a question; what is under way, or somebody else's, cannot be deleted."""
    free = [run for run in chosen if not run.busy and runs.is_mine(session, run)]
    many = f"{len(free)} runs" if len(free) != 1 else "1 run"
    with st.popover("Delete", icon=":material/delete:", width="content", disabled=not free):
        cells = sum(runs.history().count(study=run.id) for run in free if run.kind == "study")
        with_cells = f" and the {cells:,} runs of studies among them" if cells else ""
        named = ", ".join(name_of(run) for run in free[:3]) + (" …" if len(free) > 3 else "")
        st.markdown(f"Delete {many}{with_cells} for ever, with figures and files? {shell.literal(named)}")
        if len(free) < len(chosen):
            st.caption("Runs that are under way, or that another visitor started, stay.")
        st.button(
            f"Delete {many}", key="compare-delete", type="primary", on_click=_forget, args=(session, free)
        )


def _forget(session: Session, gone: Sequence[Run]) -> None:
    try:
        for run in gone:
            runs.history().delete(run.id)
    except ValueError as error:
        session.note = str(error)
    record.forget()
    ids = {run.id for run in gone}
    session.pick(run_id for run_id in session.picked if run_id not in ids)
