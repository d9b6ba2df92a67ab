"""Weights: every layer's distribution on one scale, and one layer in detail."""

import streamlit as st

from ui import shell, state
from ui.weights import choice, detail, overview

shell.guard()
session = state.session()

shell.header(
    "Weights",
    "Layers with many small weights are the first candidates; look at one in detail before you cut.",
)
with shell.errors_here():
    networks, layers, layer = choice.choose(session)
    left, right = st.columns([5, 6], gap="large")
    with left:
        overview.ridgeline(networks, layers, layer.name, session.model)
        overview.scales(networks, layer, session)
        overview.picture(networks, layer, session.model)
    with right:
        detail.numbers(networks.first, layer)
        ratio, log = choice.detail_controls(layer, session)
        detail.distribution(networks, layer, session, ratio, log)
        with shell.errors_here():
            detail.scores(layer, session, ratio)
            detail.channel_norms(layer, session, ratio)
