"""Prune: drag a ratio, and watch size, accuracy and latency follow."""

import streamlit as st

from ui import shell, state
from ui.prune import board, changes, controls, facts, live, outcome, scan

shell.guard()
session = state.session()

shell.header(
    "Prune",
    "Drag a bar or flip a switch: size follows at once, accuracy batch by batch, latency as soon as your "
    "hand rests.",
)
live.style()
with st.container(key="prune-page"):
    controls.draw(session)
    with st.container(key="prune-figures"):
        figures, latency = st.columns([40, 12])
    answers = result = None
    with shell.errors_here():
        now = facts.of(session)
        board.draw(session, now)
        result = st.container(key=live.RESULT)
        scan.draw(session, now)
        answers = changes.draw(session, now)
    # What takes longest comes last, wherever it stands: the rest need not wait for it.
    with figures:
        live.figures()
    if result:
        with result, shell.errors_here():
            live.result(session, now)
    if answers:
        with answers, shell.errors_here():
            outcome.draw(session, now)
    with latency, st.container(key=live.LATENCY):
        live.latency()
