"""Export: the pruned network as files that load elsewhere, checked while one looks at them."""

import streamlit as st

from ui import shell, state, ways
from ui.export import files, proof, view, work

shell.guard()
session = state.session()

shell.header(
    "Export", "Take the pruned network home: files that load elsewhere, written, loaded and checked."
)
with shell.errors_here():
    if not session.recipe.rules:
        st.info(
            "Nothing is pruned yet, so this would be the dense network: set ratios on the Prune page first.",
            icon=":material/info:",
        )
    choice = view.choose(session)
    export = files.write(session, choice)
    found = work.begin(session, choice)
    view.cards(export, choice, found)
    if not choice.untouched:
        ways.say_result(choice.model_id, choice.recipe)
    proof.draw(session, choice, found)
    shell.section("Download")
    texts = files.texts(session, export, choice, found)
    view.downloads(export, texts, found)
    view.previews(export, texts, found)
