"""A page with nothing but a ratio board, for the browser tests: `?n=` rows, its truth and log as JSON."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import streamlit as st

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from ui.ratio_board import Edit, Row, ratio_board

KINDS = ("filter", "filter", "filter", "neuron", "head", "weight")


def make_row(i: int, ratio: float, locked: bool) -> Row:
    """A deterministic row with a plausible histogram and accuracy curve."""
    kind = KINDS[i % len(KINDS)]
    size = {"filter": 16 * 2 ** (i % 5), "neuron": 300, "head": 4, "weight": 73_728 + 9216 * i}[kind]
    label = f"stage{i // 4}.{i % 4}.conv{1 + i % 2}" if i else "<b onclick=alert(1)>hostile</b>"
    centre, width = 8 + i % 7, 3 + (i * 3) % 5
    bins = tuple(int(900 * math.exp(-(((b - centre) / width) ** 2))) + (b % 3) for b in range(28))
    fall = 0.45 + 0.5 * ((i * 37) % 11) / 10
    curve = tuple((r / 10, 0.1 + 0.88 / (1 + math.exp((r / 10 - fall) * 14))) for r in range(10))
    share = 1 / (2 + (i * 7) % 23)
    return Row(
        key=f"{label}#{i}",
        label=label,
        kind=kind,
        size=size,
        ratio=ratio,
        locked=locked,
        parameter_share=share,
        macs_share=share * (0.3 + 0.1 * (i % 8)),
        bins=() if i == 5 else bins,
        curve=() if i == 4 else curve,
        note="coupled with stage0.0.conv2, stage0.1.conv2" if i % 5 == 2 else "",
        multiple_of=1 if kind in ("weight", "head") else None,
        good=(16, 48) if i == 2 else (),
    )


n = int(st.query_params.get("n", "12"))
multiple = int(st.query_params.get("multiple", "1"))
st.set_page_config(layout="wide")

if "truth" not in st.session_state:
    names = [make_row(i, 0, False).key for i in range(n)]
    st.session_state.truth = {
        "ratios": {name: round(((i * 29) % 70) / 100, 2) for i, name in enumerate(names)},
        "locked": [names[3]] if n > 3 else [],
        "version": 1,
        "log": [],
        "runs": 0,
        "undo": [],
        "redo": [],
        "open": False,
    }
truth = st.session_state.truth


def take(target: list, source: list) -> None:
    if source:
        target.append(dict(truth["ratios"]))
        truth["ratios"] = source.pop()
        truth["version"] += 1


def on_edit(edit: Edit) -> None:
    truth["log"].append(
        {"action": edit.action, "ratios": dict(edit.ratios), "locks": dict(edit.locks), "final": edit.final}
    )
    if edit.action == "undo":
        return take(truth["redo"], truth["undo"])
    if edit.action == "redo":
        return take(truth["undo"], truth["redo"])
    if edit.action == "edit" and not truth["open"]:
        truth["undo"].append(dict(truth["ratios"]))
        truth["redo"].clear()
    if edit.action == "edit":
        truth["open"] = not edit.final
    truth["ratios"].update(edit.ratios)
    for name, on in edit.locks.items():
        truth["locked"] = [x for x in truth["locked"] if x != name] + [name] * on
    return None


@st.fragment(run_every=0.2 if "ticking" in st.query_params else None)
def board() -> None:
    truth["runs"] += 1
    rows = [make_row(i, r, k in truth["locked"]) for i, (k, r) in enumerate(truth["ratios"].items())]
    ratio_board(
        rows,
        key="board",
        version=truth["version"],
        on_edit=on_edit,
        multiple_of=multiple,
        dense_accuracy=0.98,
        ticks_every=8,
        can_undo=bool(truth["undo"]),
        can_redo=bool(truth["redo"]),
        busy="ticking" in st.query_params and truth["runs"] % 2 == 0,
        height=int(st.query_params.get("height", "620")),
    )
    with st.container(key="truth"):
        st.text(json.dumps({k: v for k, v in truth.items() if k not in ("undo", "redo")}))


def preset() -> None:
    truth["ratios"] = dict.fromkeys(truth["ratios"], 0.5)
    truth["version"] += 1


board()
st.button("Preset", on_click=preset)
