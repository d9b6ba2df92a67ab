"""Export: the pruned network as files that load elsewhere, checked before they are offered."""

import streamlit as st

from ui import shell, state
from ui.export import view

shell.guard()
session = state.session()

shell.header("Export", "Take the pruned network home: files that load elsewhere, checked before the offer.")
with shell.errors_here():
    if not session.recipe.rules:
        st.info(
            "Nothing is pruned yet, so this would be the dense network: set ratios on the Prune page first.",
            icon=":material/info:",
        )
    form = view.choose_form(session)
    export = view.prepare(session, form)
    view.cards(export)
    view.proof(session, export)
    with st.spinner("Measuring the latency for the model card ..."):
        timing = view.latency(session)
    shell.section("Download")
    view.downloads(session, export, timing)
    view.previews(session, export, timing)
