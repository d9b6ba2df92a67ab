"""One layer looked at closely, and where the bytes of the whole file are."""

from __future__ import annotations

import streamlit as st

from ui import cache, charts, shell, state
from ui.compress import network
from ui.compress.base import Base
from ui.figures import compress as figures
from ui.figures import compress_curves as curves
from ui.state import Session

KEY = "compress-layer"


def choose(base: Base) -> str:
    """Which layer is looked at: the one whose bits were set last, at first the largest."""
    largest_first = sorted(base.layers, key=lambda name: -network.weight_of(base, name).numel())
    chosen: str = st.selectbox(
        "Layer",
        largest_first,
        format_func=shell.literal,
        help="The largest first. Dragging a row of the board turns to its layer.",
        key=KEY,
        persist_state="session",
        bind="query-params",
        filter_mode=None,
        width=300,
    )
    return chosen


def turn_to(layer: str) -> None:
    """Look at another layer, from a callback."""
    state.put(KEY, layer)


def draw(session: Session, base: Base, layer: str) -> None:
    """Its clusters, and the codes of its values."""
    sharing = session.decided.sharing_of(base.layers)
    bits = sharing.bits.get(layer)
    if bits is None:
        st.caption("This layer keeps its weights; give it fewer than 32 bits to see its clusters.")
        return
    before = network.weight_of(base, layer).cpu().numpy().reshape(-1)
    after = network.shared_weight(base, layer, bits, sharing).cpu().numpy().reshape(-1)
    left, right = st.columns(2, gap="medium")
    with left:
        figure, data = figures.clusters(layer, before, after, bits, charts.colours())
        charts.show(figure, data, key="clusters", name=f"{session.model} {layer} clusters")
        error = float(((before - after) ** 2).sum()) / max(float((before**2).sum()), 1e-30)
        st.caption(f"Every weight is drawn. Squared error {100 * error:.3g} % of the layer's squares, exact.")
    with right:
        _codes(session, base, layer)


def _codes(session: Session, base: Base, layer: str) -> None:
    sharing = session.decided.sharing_of(base.layers)
    found = network.file(base, sharing, session.decided.packing).found
    part = next((part for part in found.parts if part.name == f"{layer}.weight"), None) if found else None
    if part is None or not len(part.symbols.frequencies):
        st.caption(
            "The values of this layer have no code of their own: in the file they lie together with other "
            "small tensors, or as they are."
        )
        return
    figure, data = curves.codes(layer, part, charts.colours())
    charts.show(figure, data, key="codes", name=f"{session.model} {layer} codes")
    places = f"; a place {part.index_bits:.2f} → {part.index_bits_coded:.2f}" if part.indices else ""
    st.caption(
        f"Counted in the encoded file: {part.stored:,} stored weights at {part.weight_bits:.2f} → "
        f"{part.weight_bits_coded:.2f} bits{places}, {part.fillers:,} fillers; "
        f"{part.bytes:,} bytes in all."
    )


def where_bytes_are(session: Session, base: Base) -> None:
    """The stacked bar of files that were really encoded."""
    sharing = session.decided.sharing_of(base.layers)
    found = network.files(base, sharing, session.decided.packing, cache.model(session.model_id).module)
    figure, data = figures.where_bytes_are(
        [(one.label, one.size) for one in found], charts.colours(), title="Where the bytes are"
    )
    charts.show(figure, data, key="bytes", name=f"{session.model} bytes")
    st.caption(
        "Counted, not estimated: each file is encoded in memory. Weights are values or indices into "
        "codebooks; indices say where weights stand; overhead is header, metadata and checksums."
    )
