"""Accuracy against cost: every run a point, runs over seeds one point with bars, the Pareto front drawn."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import streamlit as st

from pruning.compare import COSTS, SPLITS, Split, points, tasks_of, ways_timed
from ui import cache, charts, runs, state
from ui.figures import compare as figures
from ui.state import Session

if TYPE_CHECKING:
    from pruning.history import Run

CHART = "compare-pareto"
SHORT = {"parameters": "Parameters", "macs": "MACs", "file": "File size", "latency": "Latency"}
FRONT = (
    "A run is on the front if no other one is both cheaper and better; the others are faded. Bars are one "
    "standard deviation over runs that differ in nothing but their seed. The interval of a single run is in "
    "its tooltip. Click a point to select its runs."
)


def draw(session: Session, shown: Sequence[Run]) -> None:
    """The choice of axes, and the chart; a click on a point selects its runs."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="compare-axes"):
        split = _split(shown)
        cost = COSTS[
            st.segmented_control(
                "Against",
                list(COSTS),
                default="macs",
                required=True,
                format_func=SHORT.__getitem__,
                key="compare-cost",
                persist_state="session",
                help=" ".join(f"**{SHORT[name]}**: {cost.help}" for name, cost in COSTS.items()),
            )
        ]
        task = _one_of("Data", tasks_of(shown, split), "compare-task", _task_label)
        fitting = [run for run in shown if run.task == task]
        way = _one_of("Measured with", ways_timed(fitting), "compare-way") if cost.name == "latency" else None
    found = points(shown, split, cost, task or "", settings=settings, way=way) if task else []
    if not found:
        st.info(_nothing(shown, split, cost.name), icon=":material/info:")
        return
    name = _task_label(task or "")
    where = ", ".join(part for part in (name, way) if part)
    figure, data = figures.pareto(found, split, cost, where, session.picked, charts.colours())
    key = f"{CHART}-{session.picks}"
    charts.show(
        figure,
        data,
        key=key,
        name=f"{task} {split} accuracy against {cost.name}",
        on_select=lambda: _click(session, key),
        selection_mode="points",
    )
    st.caption(f"{FRONT} Accuracies are measured on {split} images, the cost is " + _sure(cost.name))


@lru_cache(maxsize=4096)
def settings(run_id: str) -> str:
    """The decisions of a run, which never change; read once."""
    return runs.history().settings(run_id)


def _split(shown: Sequence[Run]) -> Split:
    known = {split: bool(tasks_of(shown, split)) for split in SPLITS}
    chosen = st.segmented_control(
        "Accuracy on",
        list(SPLITS),
        default="validation" if known["validation"] or not known["test"] else "test",
        required=True,
        format_func=str.capitalize,
        key="compare-split",
        persist_state="session",
        help="**Validation** images may have chosen ratios and epochs, so their accuracies flatter. **Test** "
        "images have chosen nothing; exports and fine-tunings are measured on them. The two never share "
        "a chart.",
    )
    return "test" if chosen == "test" else "validation"


def _one_of(label: str, options: Sequence[str], key: str, show: Any = str) -> str | None:
    """A choice where there is one."""
    if len(options) < 2:
        return next(iter(options), None)
    return st.selectbox(label, options, format_func=show, key=key, filter_mode=None, width=220)


def _task_label(name: str) -> str:
    try:
        return cache.task_named(name).label
    except (ValueError, KeyError):
        return name


def _nothing(shown: Sequence[Run], split: Split, cost: str) -> str:
    """Why there is no chart, and what makes one."""
    other = next(name for name in SPLITS if name != split)
    if not tasks_of(shown, split):
        if tasks_of(shown, other):
            return f"None of these runs was measured on {split} images; choose {other} above."
        return "None of these runs has an accuracy: scans and runs under way have no point here."
    if cost == "latency":
        return "No latency of these runs was measured; the Prune page measures it when the drag rests."
    return "The cost of these runs is not known."


def _sure(cost: str) -> str:
    return "measured." if cost == "latency" else "counted exactly."


def _click(session: Session, key: str) -> None:
    """Select the runs of the points that were clicked, or take them out of the selection."""
    found = state.value(key)
    clicked = [str(point["customdata"][0]).split() for point in found["selection"]["points"]] if found else []
    ids = [run_id for group in clicked for run_id in group]
    if not ids:
        return
    if set(ids) <= set(session.picked):
        session.pick(run_id for run_id in session.picked if run_id not in ids)
    else:
        session.pick([*session.picked, *ids])
