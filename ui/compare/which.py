"""Which runs: filters, and the table of those that fit, in which runs are selected."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from pruning import MODELS
from ui import runs, state
from ui.compare import rows
from ui.state import Session

if TYPE_CHECKING:
    from pruning.history import Run

MOST = 500  # runs in the table
POLL_S = 1.0
KINDS = {
    "evaluation": "Evaluations",
    "export": "Exports",
    "fine-tuning": "Fine-tunings",
    "scan": "Scans",
    "study": "Studies",
    "compression": "Compressions",
}
_STAR_CLICK = "compare-star"


@dataclass(frozen=True)
class Shown:
    """What fits the filters.

    Args:
        runs: the latest first, at most MOST.
        total: that fit.
        all: in the whole history, cells of studies left out.
    """

    runs: list[Run]
    total: int
    all: int


def draw(session: Session) -> Shown:
    """Filters and table. Returns what they show."""
    history = runs.history()
    runs.dispatcher()  # marks what an earlier server has left behind
    everything = history.count(study="")
    if not everything:
        return Shown([], 0, 0)
    filters = _filters(history.runs(limit=MOST))
    shown = Shown(history.runs(limit=MOST, **filters), history.count(**filters), everything)
    _table(session, shown)
    _watch(shown, filters)
    return shown


def _filters(known: Sequence[Run]) -> dict[str, Any]:
    """What is asked of runs, as `History.runs` takes it."""
    models = [name for name in MODELS if any(run.model == name for run in known)]
    with st.container(horizontal=True, vertical_alignment="center", key="compare-filters"):
        text = st.text_input(
            "Search",
            placeholder="Search names, notes, criteria",
            key="compare-text",
            persist_state="session",
            bind="query-params",
            label_visibility="collapsed",
            icon=":material/search:",
            width=175,
        )
        model = st.selectbox(
            "Network",
            ["", *models],
            format_func=lambda name: MODELS[name].label if name else "All networks",
            key="compare-network",
            persist_state="session",
            bind="query-params",
            label_visibility="collapsed",
            filter_mode=None,
            width=150,
        )
        kinds = st.pills(
            "Kind",
            list(KINDS),
            format_func=KINDS.__getitem__,
            selection_mode="multi",
            key="compare-kinds",
            persist_state="session",
            bind="query-params",
            label_visibility="collapsed",
            width="content",
        )
        starred = st.toggle("★ only", key="compare-starred", persist_state="session", bind="query-params")
        cells = st.toggle(
            "Cells",
            key="compare-cells",
            persist_state="session",
            bind="query-params",
            help="A study is one row; this shows each of the runs that it consists of, too.",
        )
    return {
        "text": text or "",
        "model": model or "",
        "kind": kinds or None,
        "starred": True if starred else None,
        "study": None if cells else "",
    }


def _table(session: Session, shown: Shown) -> None:
    ids = [run.id for run in shown.runs]
    if not ids:
        st.caption("No run fits these filters.")
        return
    place = {run_id: row for row, run_id in enumerate(ids)}
    chosen = [place[run_id] for run_id in session.picked if run_id in place]
    key = f"compare-runs-{hashlib.sha256(' '.join(ids).encode()).hexdigest()[:10]}-{session.picks}"

    def select() -> None:
        found = state.value(key)
        now = [ids[row] for row in found["selection"]["rows"]] if found else []
        kept = [run_id for run_id in session.picked if run_id in now or run_id not in place]
        session.pick([*kept, *now], in_table=True)

    def star() -> None:
        click = state.value(_STAR_CLICK)
        if click is not None and 0 <= click["row"] < len(ids):
            run = shown.runs[click["row"]]
            runs.history().star(run.id, not run.starred)

    st.dataframe(
        rows.table(shown.runs),
        hide_index=True,
        height=min(400, 38 + 35 * max(2, len(ids))),
        column_config=_columns(star),
        on_select=select,
        selection_mode="multi-row",
        selection_default={"selection": {"rows": chosen}},
        key=key,
        placeholder="",
        alt="The runs that fit the filters, the latest first",
    )
    more = f" The latest {MOST} of {shown.total:,} that fit." if shown.total > len(ids) else ""
    picked = len([run_id for run_id in session.picked if run_id in place])
    hidden = len(session.picked) - picked
    other = f", {hidden} more selected that the filters hide" if hidden else ""
    st.caption(f"{_many(shown)} shown, {picked} selected{other}.{more}")


def _many(shown: Shown) -> str:
    """How many there are, and of how many."""
    runs_there = f"{shown.all:,} run{'s' * (shown.all != 1)}"
    if shown.total == shown.all:
        return f"All {runs_there}" if shown.all > 1 else "The only run"
    return (
        f"{shown.total:,} of {runs_there}" if shown.total < shown.all else f"{shown.total:,} runs and cells"
    )


def _columns(star: Any) -> dict[str, Any]:
    column = st.column_config
    number = column.NumberColumn
    exact = "Counted exactly."
    return {
        "star": column.ButtonColumn(
            "★", width=36, type="tertiary", on_click=star, key=_STAR_CLICK, help="Click to star or unstar."
        ),
        "run": column.TextColumn("Run", width=205, help="Its name, or what was done."),
        "network": column.TextColumn("Network", width=100),
        "kind": column.TextColumn("Kind", width=105),
        "validation": number(
            "Validation, %",
            format="%.2f",
            width=90,
            help="Accuracy measured on all validation images, which tuning has seen.",
        ),
        "test": number(
            "Test, %",
            format="%.2f",
            width=65,
            help="Accuracy measured on all test images, which chose nothing.",
        ),
        "parameters": number("Parameters", format="localized", width=85, help=f"That are not zero. {exact}"),
        "macs": number("MACs", format="compact", width=65, help=f"For one image. {exact}"),
        "file": number("File, kB", format="%.1f", width=65, help="Size of the .safetensors file."),
        "latency": number(
            "Latency, ms", format="%.3f", width=85, help="Median time of one forward, measured."
        ),
        "when": column.DatetimeColumn("When (UTC)", format="D MMM, HH:mm", width=98),
        "note": column.TextColumn("Note", width="medium"),
    }


def _watch(shown: Shown, filters: dict[str, Any]) -> None:
    """While something is under way: look whether the table has changed."""
    busy = any(run.busy for run in shown.runs)
    if busy:
        st.fragment(_look, run_every=POLL_S)(rows.signature(shown.runs), filters)


def _look(drawn: int, filters: dict[str, Any]) -> None:
    if rows.signature(runs.history().runs(limit=MOST, **filters)) != drawn:
        st.rerun()
