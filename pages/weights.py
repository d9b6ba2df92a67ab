"""Weights: how the weights of each layer are distributed, and what a threshold would cut."""

import streamlit as st

from ui import cache, shell, state

shell.guard()
session = state.session()
loaded = cache.model(session.model_id)

shell.header("Weights", "How the weights of each layer are distributed, and what a threshold would cut.")
st.write(loaded.name)
