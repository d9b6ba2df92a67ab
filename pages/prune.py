"""Prune: drag a ratio, and watch size, accuracy and latency follow."""

import streamlit as st

from ui import shell, state
from ui.prune import board, changes, controls, facts, live

shell.guard()
session = state.session()

shell.header(
    "Prune", "Drag a bar: size follows at once, accuracy batch by batch, latency as soon as your hand rests."
)
live.style()
with st.container(key="prune-page"):
    controls.draw(session)
    figures, latency = st.columns([34, 13])
    with shell.errors_here():
        board.draw(session, facts.of(session))
    # What takes longest comes last, wherever it stands: a drag need not wait for it.
    with figures:
        live.figures()
    changes.draw(session)
    with latency, st.container(key=live.LATENCY):
        live.latency()
