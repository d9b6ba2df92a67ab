"""Groups: which layers must lose the same units, why, and what goes from all of them."""

import streamlit as st

from ui import shell, state
from ui.groups import choice, members, picture, removal

shell.guard()
session = state.session()

shell.header(
    "Groups",
    "Where outputs are added, unit by unit, none can go from one layer alone: choose a group to see which "
    "layers it ties together, and what one ratio takes from all of them.",
)
with shell.errors_here():
    left, right = st.columns([6, 7], gap="medium")
    with left:
        listed = st.container()
        choices = choice.choose(session)
        with listed:
            group = choice.choose_group(session, choices)
    if group is not None:
        with right:
            picture.stream(session, choices, group)
            choice.facts(session, choices, group)
        removal.section(session, choices, group)
        left, right = st.columns([6, 7], gap="medium")
        with left:
            picture.graph(session, group)
        with right:
            members.table(session, choices, group)
    members.fixed(session, choices)
