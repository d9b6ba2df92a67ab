"""Before a run begins: what it would do, drawn; how long it would take; and Start."""

from __future__ import annotations

import streamlit as st
import torch

from pruning import CRITERIA, MissingData
from pruning.recover.begin import check_settings
from pruning.recover.schedules import depth_first, preview
from pruning.recover.settings import Recovery
from ui import cache, charts, runs, shell, state
from ui.figures import recover as figures
from ui.figures.words import percent
from ui.finetune import choice, controls, fields, norms, pace, presets
from ui.prune import facts
from ui.state import Session

OWN = "own"  # settings that are no preset's


def draw(session: Session) -> None:
    """Preset and Start on top, settings on the left, what they come to on the right."""
    wanted = choice.whole(session)
    _recipe(session, wanted)
    _begin(session, wanted)
    norms.draw(session, wanted.recipe)
    left, right = st.columns([10, 11], gap="large")
    with left:
        controls.draw(session)
    with right, shell.errors_here():
        rules = depth_first(wanted.recipe.rules, session.keys)
        curves, rates = preview(wanted, list(rules))
        figure, data = figures.schedule(curves, rates, wanted.pruning, charts.colours())
        charts.show(figure, data, key="plan", name=f"{session.model} plan")


def _recipe(session: Session, wanted: Recovery) -> None:
    """What is pruned in the end."""
    sentence = _told(session, wanted)
    if session.recipe.rules:
        st.markdown(f":material/content_cut: **Recipe of the Prune page:** {sentence}")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f":material/lightbulb: **The recipe is empty; suggested:** {sentence}"
            if wanted.recipe.rules
            else ":material/lightbulb: **The recipe is empty**, so the network would only train on.",
            width="content",
        )
        if wanted.recipe.rules:
            st.button(
                "Make it the recipe",
                key="ft-suggestion",
                icon=":material/content_cut:",
                help="Sets these ratios on the Prune page, where Undo takes them back.",
                on_click=lambda: session.set_ratios(choice.suggestion(session)),
            )


def _told(session: Session, wanted: Recovery) -> str:
    """What the recipe comes to, exactly, in a sentence."""
    found = facts.count(session.model_id, wanted.recipe)
    told = facts.asked_and_got(session.model_id, found)
    if told is None:
        return "nothing is pruned, so the network only trains on."
    criterion = CRITERIA[session.criterion].label
    rows = f"{told.rows} row{'s' * (told.rows != 1)}"
    return (
        f"{percent(told.asked, 0)} of {told.size:,} {told.unit} in {rows} by {criterion} takes "
        f"{percent(told.parameters)} of the parameters, {percent(told.macs)} of the MACs."
    )


def _begin(session: Session, wanted: Recovery) -> None:
    """Which preset, how long, and Start."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="ft-begin"):
        _preset(session)
        why = refused(session, wanted)
        started = st.button(
            "Start",
            key="ft-start",
            type="primary",
            icon=":material/play_arrow:",
            disabled=bool(why),
            help="Runs in a process of its own at low priority: leave, come back, pause or stop it.",
        )
        pace.draw(session, wanted)
    if why:
        st.caption(shell.literal(why))
    if started:
        with shell.errors_here():
            runs.start(session, wanted)
            st.rerun()


def _preset(session: Session) -> None:
    settings = choice.settings(session)
    now = presets.named(settings, session.model) or OWN
    names = [*presets.PRESETS, *([OWN] if now == OWN else [])]

    key = fields.key_of(session, f"preset-{now}")

    def take() -> None:
        name = state.value(key)
        if name in presets.PRESETS and choice.settings(session) == settings:
            made = presets.make(name, session.model)
            seeded = made.fit.model_copy(update={"seed": settings.fit.seed})
            session.choose_recovery(made.model_copy(update={"fit": seeded}), anew=True)

    st.selectbox(
        "Way to recover",
        names,
        format_func=lambda name: (
            presets.PRESETS[name].label if name in presets.PRESETS else "Your own settings"
        ),
        filter_mode=None,
        width=290,
        help="\n\n".join(
            f"**{preset.label}.** {preset.description} *Source: {preset.source}.*"
            for preset in presets.PRESETS.values()
        )
        + "\n\nEpochs and rates follow the network's own training.",
        **state.tie(key, now, take),
    )


def refused(session: Session, wanted: Recovery) -> str:
    """Why these settings cannot be run here, in a sentence; "" if they can."""
    try:
        cache.task(session.model_id)
    except MissingData as error:
        return str(error)
    try:
        device = torch.device(session.device)
        check_settings(wanted, device, lambda: cache.plan(session.model_id, wanted.recipe).grade)
    except ValueError as error:
        return str(error)
    name = presets.named(wanted, session.model)
    preset = presets.PRESETS[name] if name else None
    return presets.misfit(preset, choice.has_norm(session)) if preset else ""
