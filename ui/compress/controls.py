"""How weights share values and how the file is coded: one line above the board."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from pruning.clustering import INITS
from pruning.compress.settings import Sharing
from pruning.quantise import RANGES
from ui import shell, state
from ui.compress import base
from ui.compress.decided import USUAL_BITS, with_bits
from ui.compress.deciding import decide
from ui.finetune.fields import described
from ui.ratio_board.bits import WHOLE
from ui.state import Session

METHODS = {"cluster": "k-means clusters", "uniform": "Evenly spaced", "clip-q": "CLIP-Q"}
METHOD_HELP = (
    "**k-means clusters.** Each weight becomes the centroid of its cluster; the file holds a codebook and "
    "indices. *Source: Han et al. 2015, arXiv:1510.00149.*\n\n"
    "**Evenly spaced.** Uniform quantisation. *Source: Krishnamoorthi 2018, arXiv:1806.08342.*\n\n"
    "**CLIP-Q.** The smallest weights are clipped to zero, the others partitioned, anew in each step of "
    "training. *Source: Tung and Mori 2018, CLIP-Q, CVPR.*\n\n"
    "Exact zeros, what was pruned, stay zero by clusters and evenly spaced values alike."
)
BEST = 0


def draw(session: Session) -> None:
    """Which network, how values are shared, how the file is coded."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="compress-controls"):
        _source(session)
        _pick(session, "method", "Values", METHODS, METHOD_HELP, 180)
        sharing = session.decided.sharing
        if sharing.method == "cluster":
            labels = {name: one.label for name, one in INITS.items()}
            _pick(session, "init", "Clusters begin", labels, described(INITS), 150)
            if INITS[sharing.init].random:
                _number(session, "seed", "Seed", 0, 2**31 - 1)
        elif sharing.method == "uniform":
            _uniform(session)
        else:
            _clip(session)
        _all(session)
        _packing(session)


def _uniform(session: Session) -> None:
    _pick(
        session,
        "symmetric",
        "Grid",
        {True: "Symmetric", False: "Affine"},
        "Symmetric around zero, or from the smallest to the largest weight.",
        130,
    )
    _pick(
        session,
        "per_channel",
        "Scale",
        {False: "Per tensor", True: "Per channel"},
        "One scale for the layer, or one for each output channel: more exact, but then a layer has up to "
        "2^bits values in each channel, and its codebook grows.",
        140,
    )
    labels = {name: one.label for name, one in RANGES.items()}
    _pick(session, "range", "Range", labels, described(RANGES), 180)


def _clip(session: Session) -> None:
    if isinstance(session.decided.sharing.clip, float):
        _number(session, "clip", "Share clipped", 0.0, 0.99)
        return

    def take() -> None:
        wanted = session.decided.sharing.model_copy(update={"clip": Sharing().clip})
        decide(session, session.decided.model_copy(update={"sharing": wanted}))

    st.button("One share for all layers", key="clip-one", on_click=take, help="Now each layer has its own.")


def _source(session: Session) -> None:
    """The network that is compressed."""
    found = {run.id: run for run in base.sources(session)}
    now = session.decided.source or ("pruned" if session.decided.prune else "dense")
    labels = {"pruned": "As on the Prune page", "dense": "Dense network"}
    labels |= {run_id: f"Run: {run.called}" for run_id, run in found.items()}
    if now not in labels:
        labels[now] = "A run that is gone"

    def take(chosen: Any) -> None:
        source = chosen if chosen in found else ""
        decide(session, session.decided.model_copy(update={"source": source, "prune": chosen != "dense"}))

    _select(
        session,
        "source",
        "Network",
        labels,
        now,
        take,
        "Compressed is the network as pruned on the Prune page (dense if nothing is pruned there), or "
        "the one that a finished fine-tuning of this network has left.",
        230,
    )


def _all(session: Session) -> None:
    """The same bits for every layer."""
    layers = base.of(session).layers
    bits = session.decided.sharing_of(layers).bits
    values = {bits.get(layer, WHOLE) for layer in layers}
    now = values.pop() if len(values) == 1 else None
    labels: dict[Any, str] = {WHOLE: "32 (as it is)"} | {n: str(n) for n in range(8, 0, -1)}
    if now is None:
        labels = {None: "mixed"} | labels

    def take(chosen: Any) -> None:
        if chosen is not None:
            free = [layer for layer in layers if layer not in session.decided.locked]
            decide(session, with_bits(session.decided, layers, dict.fromkeys(free, chosen)))

    _select(
        session,
        "all",
        "Bits of all layers",
        labels,
        now,
        take,
        f"Sets every row of the board; at first it is {USUAL_BITS}. n bits are 2^n values besides zero.",
        140,
    )


def _packing(session: Session) -> None:
    packing = session.decided.packing

    def gap(chosen: Any) -> None:
        wanted = packing.model_copy(update={"gap_bits": chosen or None})
        decide(session, session.decided.model_copy(update={"packing": wanted}))

    labels = {BEST: "best"} | {n: str(n) for n in range(1, 11)}
    _select(
        session,
        "gap",
        "Gap bits",
        labels,
        packing.gap_bits or BEST,
        gap,
        "Where a weight stands is coded as the gap to the one before; a gap that does not fit its bits takes "
        "a filler zero. Only pruned layers have gaps. *Source: Han et al. 2015, arXiv:1510.00149.*",
        100,
    )
    key = _key(session, "huffman")

    def huffman() -> None:
        wanted = packing.model_copy(update={"huffman": bool(state.value(key))})
        decide(session, session.decided.model_copy(update={"packing": wanted}))

    st.toggle(
        "Huffman",
        help="Frequent values get short codes (Huffman 1952); nothing is lost by it.",
        **state.tie(key, packing.huffman, huffman),
    )


def _pick(session: Session, name: str, label: str, labels: dict[Any, str], help: str, width: int) -> None:
    """One of several ways to share values."""
    sharing = session.decided.sharing

    def take(chosen: Any) -> None:
        wanted = sharing.model_copy(update={name: chosen})
        decide(session, session.decided.model_copy(update={"sharing": wanted}))

    _select(session, name, label, labels, getattr(sharing, name), take, help, width)


def _select(
    session: Session,
    name: str,
    label: str,
    labels: dict[Any, str],
    now: Any,
    take: Callable[[Any], None],
    help: str,
    width: int,
) -> None:
    key = _key(session, name)
    st.selectbox(
        label,
        list(labels),
        format_func=lambda one: shell.literal(labels[one]),
        filter_mode=None,
        help=help,
        width=width,
        **state.tie(key, now, lambda: take(state.value(key))),
    )


def _number(session: Session, name: str, label: str, low: Any, high: Any) -> None:
    sharing, key = session.decided.sharing, _key(session, name)

    def take() -> None:
        held = state.value(key)
        if held is not None:
            wanted = sharing.model_copy(update={name: held})
            decide(session, session.decided.model_copy(update={"sharing": wanted}))

    shown = getattr(sharing, name)
    st.number_input(label, low, high, width=130, **state.tie(key, shown, take))


def _key(session: Session, name: str) -> str:
    """Another widget after each decision: one that polls would take it back."""
    return f"compress-{name}-{session.version}"
