"""Model: what this network is made of, how good it is, what it costs, and what can be cut."""

import streamlit as st

from pruning import MODELS
from ui import shell, state
from ui.model import answers, cards, measured, parts, wiring

shell.guard()
session = state.session()
spec = MODELS[session.model]

shell.header("Model", f"**{spec.label}.** {spec.description} *{spec.source}*")
with shell.errors_here():
    top = st.container()
    with st.container(horizontal=True, vertical_alignment="center", key="model-next"):
        st.markdown("**Next:**", width="content")
        for page, label in (
            ("groups", "see what is coupled"),
            ("weights", "look at its weights"),
            ("sensitivity", "measure what each layer tolerates"),
            ("prune", "prune it"),
        ):
            st.page_link(f"pages/{page}.py", label=label, icon=":material/arrow_forward:")
        st.space("stretch")
        setting = cards.choose_setting(session)
    with top:
        cards.cards(session, setting)

    shell.section("Where its parameters, its MACs and its time are")
    way = parts.choose_way()
    parts.treemap(session, spec.label, way, setting)

    shell.section("What can be cut together")
    wiring.lead(session)
    left, right = st.columns([5, 7], gap="medium")
    with left:
        wiring.graph(session)
    with right:
        wiring.groups(session)

    shell.section("Layers")
    parts.table(session)

    shell.section("What it says of sample images")
    with shell.errors_here():
        answers.show(session)
    measured.start(session.model_id, setting)
