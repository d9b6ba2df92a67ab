"""Weights: every layer's distribution on one scale, and one layer in detail."""

import streamlit as st

from ui import shell, state
from ui.weights import view

shell.guard()
session = state.session()

shell.header(
    "Weights",
    "Layers with many small weights are the first candidates; look at one in detail before you cut.",
)
with shell.errors_here():
    networks, layers, layer = view.choose(session)
    left, right = st.columns([5, 6], gap="large")
    with left:
        view.overview(networks, layers, layer.name, session.model)
        view.scales(networks, layer, session)
        view.picture(networks, layer, session.model)
    with right:
        view.figures_of_layer(view.weight_of(networks, layer))
        ratio, log = view.detail_controls(layer, session)
        view.distribution(networks, layer, session, ratio, log)
        with shell.errors_here():
            view.scores(layer, session, ratio)
            view.channel_norms(layer, session, ratio)
