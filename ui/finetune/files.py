"""Settings as a file: taken home, and read back."""

from __future__ import annotations

import streamlit as st

from pruning.recover.settings import Recovery
from ui import cache, state
from ui.finetune import choice
from ui.state import Session

MEGABYTES = 4


def settings(session: Session) -> None:
    """Download and upload of everything that is decided, recipe included."""
    whole = choice.whole(session)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "Settings .json",
            lambda: whole.to_json(),
            f"{session.model}-{whole.digest[:8]}-recovery.json",
            "application/json",
            icon=":material/download:",
            key="ft-settings-file",
            on_click="ignore",
            help="All decisions with the recipe; `python -m pruning finetune --settings FILE` does the same.",
        )
        with st.popover("Read settings", icon=":material/upload_file:", width="content"):
            st.file_uploader(
                "Settings file",
                ["json"],
                key="ft-upload",
                on_change=lambda: _take(session),
                max_upload_size=MEGABYTES,
                label_visibility="collapsed",
            )
            st.caption("The recipe in it replaces that of the Prune page, where Undo takes it back.")


def _take(session: Session) -> None:
    """Read an uploaded file; one that does not fit changes nothing and says why."""
    file = state.value("ft-upload")
    if file is None:
        return
    try:
        read(session, file.getvalue().decode("utf-8", "replace"))
    except ValueError as error:
        session.note = str(error)


def read(session: Session, text: str) -> None:
    """Take over settings with their recipe.

    Raises:
        ValueError: in one sentence, if they are damaged or of another network; nothing is changed then.
    """
    found = Recovery.from_json(text)
    names = {layer.name for layer in cache.layers(session.model_id)}
    modules = {name for name, _ in cache.model(session.model_id).module.named_modules()} | names
    unknown = (set(found.fit.layer_lr) | set(found.teach.layers if found.teach else ())) - modules
    if unknown:
        raise ValueError(f"The settings name {min(unknown)[:80]!r}, which this network does not have.")
    if found.recipe.rules:
        session.load_recipe(found.recipe)
    session.choose_recovery(found.model_copy(update={"recipe": Recovery().recipe}), anew=True)
