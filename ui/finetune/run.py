"""A run as the page shows it: how far it is, what can be done with it, how it goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import streamlit as st

from ui import charts, runs, shell, state
from ui.figures import recover as figures
from ui.figures import recover_weights as layer_figures
from ui.finetune import cards, result
from ui.runs import POLL_S
from ui.sensitivity.status import duration
from ui.state import Session

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from pruning.history import Run
    from pruning.recover.record import Epoch
    from pruning.runs import Progress

CHARTS_S = 1.0  # between two looks for new epochs
DETAILS = ("Layers", "Weights", "Near zero", "Losses")
PHASES = {
    "loading": "Loading the network and its data",
    "training": "Training",
    "measuring": "Measuring what came out",
    "paused": "Paused",
    "waiting": "Waiting for another run on this machine",
}


def draw(session: Session, run: Run) -> None:
    """Everything about one run; what changes while it works polls by itself."""
    every = POLL_S if run.busy else None
    st.fragment(_status, key="ft-status", run_every=every)(session, run.id, run.state)
    later = CHARTS_S if run.busy else None
    st.fragment(_course, key="ft-course", run_every=later)(run.id)
    if run.state == "done":
        result.draw(run)


def _status(session: Session, run_id: str, drawn: str) -> None:
    """Where it stands and what can be done; begins the page anew when that is something else."""
    run = runs.find(run_id)
    if run is None or run.state != drawn:
        st.rerun()
        return
    mine = runs.is_mine(session, run)
    with st.container(border=run.busy, key="ft-state"):
        if run.busy:
            _working(run)
        elif run.state == "interrupted":
            st.warning(shell.literal(run.error), icon=":material/power_off:")
        elif run.state == "failed":
            st.error(shell.literal(run.error), icon=":material/error:")
        elif run.state == "cancelled":
            st.info("This run was cancelled and its files are gone.", icon=":material/info:")
        if mine:
            _buttons(session, run)
        elif run.busy:
            st.caption("Started by another visitor, who alone can pause or stop it.")


def _working(run: Run) -> None:
    progress = runs.dispatcher().progress(run.id)
    done = len(runs.epochs(run)) - 1
    fraction = progress.fraction if progress else 0.0
    st.progress(1.0 if _measuring(progress) else fraction, text=_said(run, progress, done))


def _measuring(progress: Progress | None) -> bool:
    """Whether the training is over."""
    return progress is not None and progress.phase == "measuring"


def _said(run: Run, progress: Progress | None, done: int) -> str:
    """How far it is, in a sentence."""
    if run.state == "queued" and (progress is None or progress.phase == "waiting"):
        ahead = runs.dispatcher().waiting_before(run.id)
        if not ahead:
            return "Next in the queue: it begins in a moment"
        return f"Number {ahead + 1} in the queue: it begins when {_others(ahead)}"
    if progress is None:
        return "Starting"
    epochs = runs.settings(run).epochs
    said = PHASES.get(progress.phase, progress.phase.capitalize())
    if progress.phase in ("training", "paused"):
        said += f", {max(0, done)} of {epochs} epochs done"
    if progress.left is not None:
        said += f", about {duration(progress.left)} left"
    if progress.images_per_s:
        said += f" · {shell.count(progress.images_per_s)} images/s"
    return said


def _others(ahead: int) -> str:
    return "the run before it has ended" if ahead == 1 else f"the {ahead} runs before it have ended"


def _buttons(session: Session, run: Run) -> None:
    """What can be done with a run as it stands; callbacks, which no rerun of the page can swallow."""
    dispatcher, owner = runs.dispatcher(), session.owner if run.owner else None
    progress = dispatcher.progress(run.id)
    training = progress is not None and progress.phase in ("training", "paused")

    answer = f"ft-told-{run.id}-{run.state}"

    def told(command: Callable[[str, str | None], bool], said: str) -> Callable[[], None]:
        def tell() -> None:
            try:
                state.put(answer, said if command(run.id, owner) else "It has just ended.")
            except ValueError as error:
                state.put(answer, str(error))

        return tell

    with st.container(horizontal=True, vertical_alignment="center", key="ft-buttons"):
        if run.state == "running" and training:
            click = told(dispatcher.pause, "Pausing at the next step")
            st.button("Pause", key="ft-pause", icon=":material/pause:", on_click=click)
        if run.state == "paused":
            click = told(dispatcher.go, "Going on")
            st.button("Go on", key="ft-go", icon=":material/play_arrow:", type="primary", on_click=click)
        if run.state in ("running", "paused") and training:
            st.button(
                "Stop and keep the best",
                key="ft-finish",
                icon=":material/stop:",
                on_click=told(dispatcher.finish, "Stopping at the next step"),
                help="Ends the training at its next step; the best epoch with the full ratios is measured "
                "and kept. If they are not reached yet, the network is pruned to them as it is.",
            )
        if run.state in ("interrupted", "failed"):
            st.button(
                "Resume",
                key="ft-resume",
                icon=":material/play_arrow:",
                type="primary",
                on_click=told(dispatcher.resume, "Waiting for its turn"),
                help="Goes on after the last whole epoch, with the same numbers as if nothing had happened.",
            )
        if run.busy or run.state == "interrupted":
            with st.popover("Cancel", icon=":material/close:", width="content", key="ft-cancel"):
                st.markdown("Stop this run and throw its files away?")
                click = told(dispatcher.cancel, "Stopping")
                st.button("Yes, cancel it", key="ft-cancel-sure", type="primary", on_click=click)
        usual = "It goes on while you look elsewhere or close the tab; this page's address finds it."
        if words := state.value(answer, usual if run.busy else ""):
            st.caption(shell.literal(words))


def _course(run_id: str) -> None:
    """The cards and the charts, as far as it has come."""
    run = runs.find(run_id)
    if run is None:
        return
    with shell.errors_here():
        epochs, settings = runs.epochs(run), runs.settings(run)
        cards.draw(run, settings, epochs)
        if words := cards.conditions(run, settings):
            st.caption(shell.literal(words))
        if not settings.epochs:
            st.caption("No epoch was trained: the network was pruned, and BatchNorm measured anew.")
            return
        if not epochs:
            if run.busy:
                st.skeleton(height=470)
            return
        left, right = st.columns([11, 9], gap="medium")
        with left:
            dense = run.figures.dense.accuracy if run.figures.dense else None
            if dense is None and settings.pruning.start == "trained":
                dense = epochs[0].accuracy
            figure, data = figures.course(
                epochs, settings.pruning, charts.colours(), dense=dense, best=cards.best(run, epochs)
            )
            _show(run, figure, data, "course", (len(epochs), run.state))
        with right:
            _details(run, epochs)


def _details(run: Run, epochs: list[Epoch]) -> None:
    """One of the other charts, as chosen."""
    shown = st.segmented_control(
        "Details",
        DETAILS,
        default=DETAILS[0],
        required=True,
        key="ft-details",
        persist_state="session",
        label_visibility="collapsed",
        help=None,
    )
    colours, pruning = charts.colours(), runs.settings(run).pruning
    if shown == "Weights":
        layers = list(epochs[0].histograms)
        if not layers:
            st.caption("No histograms were kept of this run.")
            return
        layer = st.selectbox(
            "Layer", layers, key=f"ft-layer-{run.id}", filter_mode=None, label_visibility="collapsed"
        )
        figure, data = layer_figures.weights(epochs, layer, colours)
    elif shown == "Near zero":
        figure, data = layer_figures.near_zero(epochs, colours)
    elif shown == "Losses":
        figure, data = figures.training(epochs, pruning, colours)
    else:
        figure, data = layer_figures.heat_map(epochs, colours)
    version = len(epochs), shown, figure.layout.title.text
    _show(run, figure, data, "detail", version, highlight=shown == "Near zero")


def _show(
    run: Run, figure: go.Figure, data: pd.DataFrame, what: str, version: tuple[Any, ...], **options: Any
) -> None:
    """A chart of a run: as long as it works, without a blink where new epochs come in."""
    name = f"{run.model} run {run.id} {what}"
    if run.busy:
        version = (run.id, charts.dark(), *version)
        charts.show_live(figure, data, key=what, version=version, name=name, **options)
    else:
        charts.show(figure, data, key=what, name=name, **options)
