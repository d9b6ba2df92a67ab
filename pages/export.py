"""Export: take the pruned network home: weights, recipe, and the code that loads them."""

import streamlit as st

from ui import cache, shell, state

shell.guard()
session = state.session()
loaded = cache.model(session.model_id)

shell.header("Export", "Take the pruned network home: weights, recipe, and the code that loads them.")
st.write(loaded.name)
