"""Compress: few values for many weights, Huffman codes, and a file that is really small."""

import streamlit as st

from ui import shell, state
from ui.compress import (
    base,
    board,
    clips,
    controls,
    integers,
    layer,
    live,
    low_rank,
    pipeline,
    run,
    scan,
    which,
)

shell.guard()
session = state.session()

shell.header(
    "Compress",
    "Drag a layer to fewer bits: its weights share values, and the file is encoded anew. The whole pipeline, "
    "training included, runs below.",
)
with shell.errors_here():
    shown = which.draw(session)
    if shown is not None:
        run.draw(session, shown)
    else:
        low_rank.draw(session)
        controls.draw(session)
        now = base.of(session)
        clips.draw(session, now)
        live.figures()
        board.draw(session, now)
        shell.section(
            "One layer", "Its weights by cluster, the codes of its values, and what fewer bits cost."
        )
        chosen = layer.choose(now)
        layer.draw(session, now, chosen)
        scan.draw(session, now, chosen)
        layer.where_bytes_are(session, now)
        integers.draw(session, now)
        with st.container(key="compress-pipeline"):
            pipeline.draw(session, now)
