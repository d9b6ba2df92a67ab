"""Model: what this network is made of, how good it is, and what it costs."""

import streamlit as st

from ui import cache, shell, state

shell.guard()
session = state.session()
loaded = cache.model(session.model_id)

shell.header("Model", "What this network is made of, how good it is, and what it costs.")
st.write(loaded.name)
