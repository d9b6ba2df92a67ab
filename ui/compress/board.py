"""The board with bits: rows from the network, edits to the session."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import streamlit as st
from streamlit.errors import StreamlitAPIException

from ui import cache
from ui.compress import network, scan
from ui.compress.base import Base
from ui.compress.decided import USUAL_BITS, with_bits
from ui.compress.deciding import decide, step_back
from ui.compress.layer import turn_to
from ui.ratio_board import Edit, Row, ratio_board
from ui.ratio_board.bits import WHOLE, bits_of, ratio_of, stops
from ui.state import Session

LIVE = "compress-live"  # the fragment that follows a drag
BINS = 28
LONGEST = 22  # letters of a name that fit


def draw(session: Session, base: Base) -> None:
    """The board; its edits go to the session."""
    seen: list[Edit] = []

    def take(edit: Edit) -> None:
        seen.append(edit)
        merge(session, base.layers, edit)
        moved = [name for name in edit.ratios if name in base.layers]
        if len(moved) == 1:
            turn_to(moved[0])

    def then() -> None:
        final = any(edit.action != "edit" or edit.final for edit in seen)
        seen.clear()
        if not final:
            _follow()

    found = scan.found(base, session.decided.sharing)
    ratio_board(
        rows(session, base),
        key="bits-board",
        version=session.version,
        on_edit=take,
        then=then,
        dense_accuracy=found.dense.accuracy if found else None,
        can_undo=bool(session.packing.past),
        can_redo=bool(session.packing.future),
        label="Bits of the weights of each layer",
        measure="bits",
    )


def rows(session: Session, base: Base) -> list[Row]:
    """One row for each layer whose weights can share values."""
    bits = session.decided.sharing_of(base.layers).bits
    layers = base.about
    sizes = {name: network.weight_of(base, name).numel() for name in base.layers}
    parameters = sum(parameter.numel() for parameter in base.module.parameters())
    macs = sum(layer.macs for layer in layers.values())
    found = scan.found(base, session.decided.sharing)
    return [
        Row(
            key=name,
            label=_ending(name),
            kind=layers[name].kind,
            size=max(2, sizes[name]),
            ratio=ratio_of(bits.get(name, WHOLE)),
            minimum=0,
            locked=name in session.decided.locked,
            parameter_share=sizes[name] / parameters,
            macs_share=layers[name].macs / macs if macs else math.nan,
            bins=_bins(base.key, name, base),
            curve=found.curve(name) if found else (),
            note=" × ".join(map(str, network.weight_of(base, name).shape)),
            multiple_of=1,
            stops=stops(max(2, sizes[name])),
        )
        for name in base.layers
    ]


def _ending(name: str) -> str:
    """Layers inside of one block differ in how their names end."""
    return name if len(name) <= LONGEST else f"…{name[1 - LONGEST :].lstrip('.')}"


def merge(session: Session, layers: Sequence[str], edit: Edit) -> None:
    """Let the session follow one edit; bits of an earlier version of the board are dropped."""
    if edit.action in ("undo", "redo"):
        step_back(session, redo=edit.action == "redo")
    elif edit.action == "reset":
        free = [name for name in layers if name not in session.decided.locked]
        decide(session, with_bits(session.decided, layers, dict.fromkeys(free, USUAL_BITS)))
    elif edit.action == "lock" and edit.version == session.version:
        opened = {name for name, locked in edit.locks.items() if not locked}
        locked = (session.decided.locked | edit.locks.keys()) - opened
        decide(session, session.decided.model_copy(update={"locked": locked}), dragged=True)
    elif edit.action == "edit" and edit.version == session.version:
        changes = {name: bits_of(ratio) for name, ratio in edit.ratios.items() if name in layers}
        decide(session, with_bits(session.decided, layers, changes), final=edit.final, dragged=True)


@cache.kept(256)
def _bins(key: str, layer: str, _base: Base) -> tuple[int, ...]:
    """Counts of the weights that are not zero, for a small drawing."""
    weight = network.weight_of(_base, layer).cpu().numpy().reshape(-1)
    return tuple(np.histogram(weight[weight != 0], BINS)[0].tolist())


def _follow() -> None:
    """Run only the figures; from a callback this also drops what they are still measuring."""
    try:
        st.rerun(LIVE)
    except StreamlitAPIException:  # not registered yet: the page is still on its first run
        return
