"""Sensitivity: how much accuracy each layer or coupled group costs when only that one is pruned."""

import streamlit as st

from ui import cache, shell, state

shell.guard()
session = state.session()
loaded = cache.model(session.model_id)

shell.header(
    "Sensitivity", "How much accuracy each layer or coupled group costs when only that one is pruned."
)
st.write(loaded.name)
