"""Compare methods: start a study, watch it, hold or end it, and see what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import pandas as pd
import streamlit as st

from pruning.compare import Spread
from pruning.compare.words import SPACE, criterion_label, with_sd
from pruning.runs.study import summary
from ui import charts, runs, shell, state
from ui.compare import study_form
from ui.compare.trade import settings as settings_of
from ui.figures import compare as figures
from ui.granularity import label
from ui.sensitivity.status import duration
from ui.state import Session

if TYPE_CHECKING:
    from pruning.history import Run
    from pruning.runs import Progress
    from pruning.runs.study import Line

NEW = ""
MOST = 50  # studies to choose from
MEAN = (
    "Mean ± one standard deviation (n − 1) over seeds. A criterion that draws nothing gives the same network "
    "for every seed: it is measured once, and its deviation is 0."
)


def draw(session: Session, chosen: Sequence[Run]) -> None:
    """The study that is selected, or the form for a new one."""
    known = {run.id: run for run in chosen if run.kind == "study"}
    known |= {run.id: run for run in runs.history().runs(kind="study", limit=MOST)}
    shown = next((run.id for run in chosen if run.kind == "study"), NEW)
    if known:
        _choose(session, known, shown)
    if not shown:
        study_form.draw(session)
        return
    run = known[shown]
    st.fragment(_status, key="study-status", run_every=runs.POLL_S if run.busy else None)(
        session, run.id, run.state, _points(run)
    )
    _result(run)


def _choose(session: Session, known: dict[str, Run], shown: str) -> None:
    def take() -> None:
        wanted = state.value("study-shown") or NEW
        if wanted == NEW or wanted in known:  # Streamlit hands on a label that has changed since it was drawn
            session.pick([wanted] if wanted else ())

    def named(run_id: str) -> str:
        if not run_id:
            return "New study"
        run = known[run_id]
        return f"{run.called} · {run.model} · {run.created:%Y-%m-%d %H:%M} UTC"

    st.selectbox(
        "Study",
        [NEW, *known],
        format_func=named,
        filter_mode=None,
        width=720,
        label_visibility="collapsed",
        **state.tie("study-shown", shown, take),
    )


def _points(run: Run) -> int:
    return run.figures.points or 0


def _status(session: Session, run_id: str, drawn: str, points: int) -> None:
    """Where it stands and what can be done; the page is drawn anew when there are new results."""
    run = runs.find(run_id)
    if run is None or run.state != drawn or _points(run) != points:
        st.rerun()
        return
    if run.busy:
        progress = runs.dispatcher().progress(run.id)
        st.progress(progress.fraction if progress else 0.0, text=_said(run, progress))
    elif run.state == "interrupted":
        st.warning(shell.literal(run.error), icon=":material/power_off:")
    elif run.state == "failed":
        st.error(shell.literal(run.error), icon=":material/error:")
    elif run.state == "cancelled":
        st.info("This study was cancelled; what it had measured stays.", icon=":material/info:")
    if runs.is_mine(session, run):
        _buttons(session, run)
    elif run.busy:
        st.caption("Started by another visitor, who alone can pause or stop it.")


def _said(run: Run, progress: Progress | None) -> str:
    """How far it is, in a sentence; it may quote names of criteria, which are ours."""
    if run.state == "queued" and (progress is None or progress.phase == "waiting"):
        ahead = runs.dispatcher().waiting_before(run.id)
        return f"Waiting for {ahead} other run{'s' * (ahead != 1)}" if ahead else "It begins in a moment"
    if progress is None:
        return "Starting"
    left = f", about {duration(progress.left)} left" if progress.left is not None else ""
    return shell.literal(f"{progress.phase[:1].upper()}{progress.phase[1:]}{left}")


def _buttons(session: Session, run: Run) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="study-buttons"):
        if run.state == "running":
            st.button(
                "Pause",
                key="study-pause",
                icon=":material/pause:",
                on_click=_tell,
                args=(session, run.id, "pause"),
            )
        if run.state == "paused":
            st.button(
                "Go on",
                key="study-go",
                icon=":material/play_arrow:",
                type="primary",
                on_click=_tell,
                args=(session, run.id, "go"),
            )
        if run.state in ("running", "paused"):
            st.button(
                "Stop after this run",
                key="study-finish",
                icon=":material/stop:",
                on_click=_tell,
                args=(session, run.id, "finish"),
                help="What is measured stays, and the study counts as done.",
            )
        if run.state in ("interrupted", "failed"):
            resume = st.button("Resume", key="study-resume", icon=":material/play_arrow:", type="primary")
            if resume:
                with shell.errors_here():
                    runs.dispatcher().resume(run.id)
                    st.rerun()
        if run.busy or run.state == "interrupted":
            with st.popover("Cancel", icon=":material/close:", width="content", key="study-cancel"):
                st.markdown("Stop this study? What it has measured stays in the history.")
                st.button(
                    "Yes, cancel it",
                    key="study-cancel-sure",
                    type="primary",
                    on_click=_tell,
                    args=(session, run.id, "cancel"),
                )


def _tell(session: Session, run_id: str, command: Literal["pause", "go", "finish", "cancel"]) -> None:
    """Give a command; only whoever started the study sees the buttons."""
    dispatcher = runs.dispatcher()
    tell = {
        "pause": dispatcher.pause,
        "go": dispatcher.go,
        "finish": dispatcher.finish,
        "cancel": dispatcher.cancel,
    }
    if not tell[command](run_id):
        session.note = "The study could not be told: it has just ended, or has not begun."


def _result(run: Run) -> None:
    """Mean and standard deviation of each method at each ratio, as a chart and a table."""
    lines = summary(runs.history(), run.id)
    if not lines:
        if not run.busy:
            st.caption("Nothing was measured.")
        return
    split = st.segmented_control(
        "Accuracy on",
        ["test", "validation"],
        default="test",
        required=True,
        format_func=str.capitalize,
        key="study-split",
        help="Nothing was chosen on test images. Validation images chose the epoch of each fine-tuning.",
    )
    done = [
        (line, found) for line in lines if (found := line.validation if split == "validation" else line.test)
    ]
    names = methods(lines)
    dense = run.figures.dense if split == "validation" else run.figures.dense_test
    images = f", {dense.n:,} {split} images" if dense else ""
    figure, data = figures.methods(
        [(names[_key(line)], line.ratio, found) for line, found in done],
        f"{str(split).capitalize()} accuracy against ratio, {run.model}{images}",
        f"{split} accuracy",
        dense.accuracy if dense else None,
        charts.colours(),
    )
    charts.show(figure, data, key="study-methods", name=f"study {run.id} {split}", highlight=True)
    st.dataframe(
        table([(names[_key(line)], line.ratio, found) for line, found in done]),
        hide_index=True,
        key="study-table",
        column_config={"Method": st.column_config.TextColumn(pinned=True)},
    )
    st.caption(f"{MEAN} {_unmeasured(lines)}")
    with st.expander("Cost of each"):
        st.dataframe(costs(lines, names), hide_index=True, key="study-costs")
    with st.expander("Settings"):
        st.code(settings_of(run.id), "json", height=300)


def _key(line: Line) -> tuple[str, str, bool]:
    return line.criterion, line.granularity, line.tuned


def methods(lines: Sequence[Line]) -> dict[tuple[str, str, bool], str]:
    """Criterion, granularity, whether fine-tuned -> a name that says what differs within the study."""
    several = len({line.granularity for line in lines}) > 1
    tuned = any(line.tuned for line in lines)
    names = {}
    for line in lines:
        parts = [criterion_label(line.criterion)]
        parts += [label(line.granularity)] if several else []
        parts += ["fine-tuned" if line.tuned else "only pruned"] if tuned else []
        names[_key(line)] = ", ".join(parts)
    return names


def table(cells: Sequence[tuple[str, float, Spread]]) -> pd.DataFrame:
    """A row a method, a column a ratio: mean ± sd in percent."""
    ratios = sorted({ratio for _, ratio, _ in cells})
    found = {(name, ratio): with_sd(spread, 100, 2) for name, ratio, spread in cells}
    rows = [
        {"Method": name} | {f"{100 * ratio:g}{SPACE}%": found.get((name, ratio), "") for ratio in ratios}
        for name in dict.fromkeys(name for name, _, _ in cells)
    ]
    return pd.DataFrame(rows)


def costs(lines: Sequence[Line], names: dict[tuple[str, str, bool], str]) -> pd.DataFrame:
    """What the networks cost, a row a method and ratio."""
    rows = [
        {
            "Method": names[_key(line)],
            "Ratio, %": 100 * line.ratio,
            "Seeds": line.n,
            "Parameters, not zero": with_sd(line.nonzero, 1, 0),
            "MACs": with_sd(line.macs, 1, 0),
            "File, kB": with_sd(line.file_bytes, 1e-3, 1),
            "Times as fast as dense": with_sd(line.ratio_of_times, 1, 2),
        }
        for line in lines
    ]
    return pd.DataFrame(rows)


def _unmeasured(lines: Sequence[Line]) -> str:
    failed = sum(line.failed for line in lines)
    if not failed:
        return ""
    why = next(line.problem for line in lines if line.failed)
    return f"{failed:,} could not be measured: {shell.literal(why)}"
