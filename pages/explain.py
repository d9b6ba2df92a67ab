"""Explain: does the smaller network still look at the same pixels?"""

import streamlit as st

from ui import shell, state
from ui.explain import view

shell.guard()
session = state.session()

shell.header("Explain", "Does the smaller network still look at the same pixels?")
with shell.errors_here():
    images = view.chosen_images(session)
    if not session.recipe.rules:
        view.offer_recipe(session)
    question = view.ask(session)
    found = view.compare(session, question, images)
    view.answer(session, question, images, found)
    left, right = st.columns(2, gap="large")
    with left:
        shell.section("Over all compared images")
        view.similarity(session, question, images, found)
    with right:
        shell.section(
            "Which units matter",
            "Conductance shares an answer's attribution among the units that it flows through.",
        )
        view.conductance(session)
