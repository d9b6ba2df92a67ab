"""What several pages say of whole layers: why none can be dropped, and what must stay."""

from __future__ import annotations

import streamlit as st

from ui import cache


def none_here(model_id: str) -> bool:
    """Say in one sentence why nothing can be dropped, and list what stays; whether that is so."""
    if cache.blocks(model_id).blocks:
        return False
    st.info(
        "No layer of this network adds to its input, as residual blocks and transformer layers do: without "
        "one, the next would get an input that it was not made for. Choose channels or weights instead.",
        icon=":material/info:",
    )
    fixed(model_id)
    return True


def fixed(model_id: str) -> None:
    """What cannot be dropped, each with its reason."""
    held = cache.blocks(model_id).fixed
    if held:
        with st.expander(f"What cannot be dropped, and why ({len(held)})"):
            st.dataframe(
                {"Part": [part.id for part in held], "It stays, because": [part.reason for part in held]},
                hide_index=True,
                column_config={"It stays, because": st.column_config.TextColumn(width="large")},
                key="fixed-blocks",
            )
