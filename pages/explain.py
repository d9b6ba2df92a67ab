"""Explain: does the smaller network still look at the same pixels?"""

import streamlit as st

from ui import cache, shell, state

shell.guard()
session = state.session()
loaded = cache.model(session.model_id)

shell.header("Explain", "Does the smaller network still look at the same pixels?")
st.write(loaded.name)
