"""Prune: drag a ratio, and watch size, accuracy and latency follow."""

import streamlit as st

from ui import cache, shell, state

shell.guard()
session = state.session()
loaded = cache.model(session.model_id)

shell.header("Prune", "Drag a ratio, and watch size, accuracy and latency follow.")
st.write(loaded.name)
