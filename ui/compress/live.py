"""The figures that follow a drag: the file as it is really encoded, and accuracy batch by batch.

Every `st` call is a point at which the next drag takes over, as on the Prune page.
"""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pruning import MissingData, Report
from pruning.checkpoint import dense_size
from pruning.compress.settings import Sharing
from pruning.evaluate import paired_difference
from ui import cache, shell, state
from ui.compress import base as bases
from ui.compress import network
from ui.compress.base import Base
from ui.compress.board import LIVE
from ui.figures.words import percent
from ui.state import Session


@st.fragment(key=LIVE)
def figures() -> None:
    """Accuracy, file, mean bits and codebooks of what is decided now."""
    session = state.session()
    with shell.errors_here():
        base = bases.of(session)
        sharing = session.decided.sharing_of(base.layers)
        columns = st.columns(4, gap="small")
        slots = [column.empty() for column in columns]
        words = st.empty()
        _bits(slots[2], slots[3], base, sharing)
        _file(slots[1], session, base, sharing)
        _accuracy(slots[0], words, session, base, sharing)


def _bits(mean: DeltaGenerator, values: DeltaGenerator, base: Base, sharing: Sharing) -> None:
    sizes = {name: network.weight_of(base, name).numel() for name in base.layers}
    total = sum(sizes.values())
    bits = sum(size * sharing.bits.get(name, 32) for name, size in sizes.items()) / max(1, total)
    mean.metric(
        "Bits a weight",
        f"{bits:.2f}",
        f"{len(sharing.bits)} of {len(base.layers)} layers share values",
        delta_color="off",
        delta_arrow="off",
        border=True,
        help="Mean over all weights of these layers before coding, exact; 32 where a layer stays as it is. "
        "Biases and norms always stay as they are.",
    )
    different = sum(
        len(network.shared_weight(base, name, asked, sharing).unique())
        for name, asked in sharing.bits.items()
    )
    values.metric(
        "Different weights",
        f"{different:,}",
        f"of {total:,} weights",
        delta_color="off",
        delta_arrow="off",
        border=True,
        help="Values in all codebooks together, zero among them; counted.",
    )


def _file(slot: DeltaGenerator, session: Session, base: Base, sharing: Sharing) -> None:
    whole = dense_size(cache.model(session.model_id).module)
    size = network.file(base, sharing, session.decided.packing).size.total
    slot.metric(
        "File .prz",
        shell.size(size),
        f"{whole / size:.1f}× smaller than {shell.size(whole)}",
        delta_color="off",
        delta_arrow="off",
        border=True,
        help="Bytes of the file, really encoded in memory just now, header and checksums included; compared "
        "with the dense network's .safetensors.",
    )


def _accuracy(
    slot: DeltaGenerator, words: DeltaGenerator, session: Session, base: Base, sharing: Sharing
) -> None:
    """Refined after every batch, beside the dense network on the same images."""
    try:
        task = cache.task(session.model_id)
        dense = cache.live(session.model_id, session.choices).dense_reports()
    except MissingData as error:
        _metric(slot, "–", "not measured")
        words.caption(shell.literal(str(error)))
        return
    if network.known(base, sharing) is None:
        _metric(slot, "…", "measuring")
    whole = next(dense)
    for report in network.reports(base, sharing, task):
        while whole.n < report.n:
            whole = next(dense)
        _show(slot, words, report, whole, base)


def _show(slot: DeltaGenerator, words: DeltaGenerator, report: Report, dense: Report, base: Base) -> None:
    found = paired_difference(dense, report)
    _metric(slot, percent(report.accuracy), f"{100 * found.value:+.1f} points against dense")
    low, high = report.interval
    near, far = found.interval
    words.caption(
        f"Accuracy of {base.label}, without training after sharing: measured on {report.n:,} of "
        f"{report.total:,} validation images, 95 % interval {percent(low)} to {percent(high)}; difference "
        f"{100 * near:+.1f} to {100 * far:+.1f} points."
    )


def _metric(slot: DeltaGenerator, value: str, said: str) -> None:
    slot.metric(
        "Accuracy",
        value,
        said,
        delta_color="off",
        delta_arrow="off",
        border=True,
        help="Share of validation images that are classified right (95 % Wilson interval, Wilson 1927; the "
        "difference for pairs, Newcombe 1998). Test images are kept for the result of a run.",
    )
