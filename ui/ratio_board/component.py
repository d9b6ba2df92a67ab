"""The Streamlit side of the ratio board: registered once, mounted by `ratio_board`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from ui.ratio_board.protocol import BoardState, Edit, Measure, Row, board_data, receive
from ui.state import value as widget_value

HERE = Path(__file__).parent
SCRIPTS = (
    "rule.js",
    "measures.js",
    "outbox.js",
    "dom.js",
    "tools.js",
    "switches.js",
    "row.js",
    "entry.js",
    "drag.js",
    "board.js",
)  # in this order, one module


def _read(*names: str) -> str:
    return "\n".join((HERE / name).read_text(encoding="utf-8") for name in names)


_mount = st.components.v2.component("ratio_board", css=_read("board.css"), js=_read(*SCRIPTS))


def ratio_board(
    rows: Sequence[Row],
    *,
    key: str,
    version: int,
    on_edit: Callable[[Edit], None],
    then: Callable[[], None] | None = None,
    multiple_of: int = 1,
    dense_accuracy: float | None = None,
    ticks_every: int = 0,
    can_undo: bool = True,
    can_redo: bool = True,
    busy: bool = False,
    height: int = 620,
    label: str = "Pruning ratio of each layer",
    measure: Measure = "ratio",
) -> None:
    """Draw the board and report what the user drags.

    The page's own dict is the only truth: the board draws `rows`, `on_edit` is called (as a Streamlit
    callback, before the script runs) with each valid edit, and the page merges it. The rows that are being
    dragged, the scroll position, the selection and the search survive any rerun.

    Args:
        rows: 1 to about 300, in network order.
        key: Streamlit key, unique on the page.
        version: to be raised whenever Python itself changes ratios or rows (a preset, undo, another model),
            not for the edits that came from the board; events of an older version are ignored.
        on_edit: receives one `Edit` after the other; about 12 a second while a drag goes on.
        then: called after all edits of one message were received; the place to rerun a fragment
            (`st.rerun` ends a callback at once, so `on_edit` would lose the edits that follow).
        multiple_of: kept counts are rounded up to this multiple.
        dense_accuracy: of the whole network, in [0, 1]; the level from which the curves fall.
        ticks_every: marks kept counts that are multiples of this on the tracks; 0 = none.
        can_undo, can_redo: whether those buttons can be pressed.
        busy: something is being measured; a thin line says so.
        height: of the scrolling part at most, in pixels.
        label: what a screen reader calls the board.
        measure: what is dragged: a pruning ratio, or bits (rows have the stops of `ui.ratio_board.bits`).
    """
    state = BoardState.of(rows, version, _answered(key))

    def answer() -> None:
        nonlocal state  # this callback may be called several times before the board is drawn again
        state, edits = receive(state, _sent(key))
        for edit in edits:
            on_edit(edit)
        if then is not None:
            then()

    _mount(
        key=key,
        on_edit_change=answer,
        data=board_data(
            rows,
            state,
            multiple=max(1, int(multiple_of)),
            dense=dense_accuracy,
            ticks=int(ticks_every),
            canUndo=can_undo,
            canRedo=can_redo,
            busy=busy,
            height=int(height),
            label=label,
            measure=measure,
        ),
    )


def _sent(key: str) -> Any:
    """What the browser sent last: Streamlit offers it nowhere but in the state of the component's own key."""
    value = widget_value(key)
    return value.get("edit") if isinstance(value, dict) else None


def _answered(key: str) -> tuple[str, int]:
    """Client and number of the last event that reached Python: callbacks run before the board is drawn."""
    state, _ = receive(BoardState("", {}), _sent(key))
    return state.client, state.answered
