"""What a finished run leaves: files to take home, loaded again and checked."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from pruning.runs.leave import CODE, checkpoint_name, result_files
from ui import runs, shell

if TYPE_CHECKING:
    from pruning.history import Run


def draw(run: Run) -> None:
    """Downloads, the check of the file, and how to load it."""
    shell.section("Take it home", "The network that came out, with all that was decided and measured.")
    files = result_files(runs.history().folder(run.id), run.model)
    network = next((file for file in files if file.name == checkpoint_name(run.model)), None)
    if network is None:
        st.info(
            "The files of this run have been removed to make room; its figures stay.",
            icon=":material/folder_off:",
        )
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "All as .zip",
            lambda: archive(files),
            f"{run.model}-run-{run.id}.zip",
            "application/zip",
            icon=":material/folder_zip:",
            key="ft-zip",
            type="primary",
            on_click="ignore",
            help="Network, recipe, settings, model card and a few lines of Python that load it.",
        )
        st.download_button(
            f"Network .safetensors · {shell.size(network.stat().st_size)}",
            network.read_bytes,
            f"{run.model}-run-{run.id}.safetensors",
            icon=":material/download:",
            key="ft-network",
            on_click="ignore",
            help="Plain tensors, no pickle.",
        )
    if run.figures.check:
        st.caption(shell.literal(run.figures.check))
    code = next((file for file in files if file.name == CODE), None)
    if code is not None:
        with st.expander("How to load it"):
            st.code(code.read_text(encoding="utf-8"), "python")


def archive(files: list[Path]) -> bytes:
    """All files as a zip; the same files give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in files:
            packed.writestr(zipfile.ZipInfo(file.name, (2020, 1, 1, 0, 0, 0)), file.read_bytes())
    return buffer.getvalue()
