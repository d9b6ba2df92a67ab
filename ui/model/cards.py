"""The figures at the top of the Model page: how good, how large, how fast."""

from __future__ import annotations

from contextlib import suppress

import streamlit as st

import pruning
from pruning.checkpoint.size import dense_size
from ui import cache, latency_setting, shell
from ui.figures.words import SPACE, percent
from ui.model import measured
from ui.model.measured import Setting
from ui.state import Session

TERMS = {
    "Accuracy": "Share of validation images that are classified right, measured. The interval is Wilson's "
    "95 % score interval (E. B. Wilson 1927, JASA 22). Test images are kept for the final result on Export.",
    "Parameters": "Trainable values, each shared tensor counted once. Exact.",
    "MACs": "Multiply-accumulates of convolutions, linear layers and attention products for one image: one "
    "MAC is one multiplication and one addition. Exact.",
    "File size": "Bytes of the weights as a .safetensors file, header included. Exact.",
    "Latency": "Measured time of one forward pass on this processor: the median, and the middle half "
    "of the times (quartiles). Batch size, threads, way of running and measuring again: Latency settings.",
    "Can be cut": "Units (filters, neurons, heads) that can really be removed, in groups that must go "
    "together: one ratio for each group. Single weights can be masked besides.",
}


def cards(session: Session, setting: Setting) -> None:
    """All cards; those that take long fill themselves in."""
    waiting = _waiting(session, setting)
    st.fragment(_grid, run_every=measured.POLL_S if waiting else None)(session, setting, waiting)


def _grid(session: Session, setting: Setting, waiting: bool) -> None:
    structure, costs = cache.structure(session.model_id), cache.cost_model(session.model_id).dense
    file = dense_size(cache.model(session.model_id).module)
    units = sum(group.size for group in structure.groups)
    with st.grid(3, min_column_width=200):
        _accuracy(session)
        _card("Parameters", shell.count(costs.parameters), f"{costs.parameters:,}")
        _card("MACs", shell.count(costs.macs), f"{costs.macs:,} for one image")
        _card("File size", shell.size(file), f"{file:,} bytes")
        _latency(session, setting)
        _card("Can be cut", f"{units:,} units", f"in {len(structure.groups)} groups")
    _warning(session, setting)
    if waiting and not _waiting(session, setting):
        st.rerun()  # the rest of the page learns of it, and the polling ends


def choose_setting(session: Session) -> Setting:
    """How latency is measured, behind a button."""
    with st.popover("Latency settings", icon=":material/speed:", type="tertiary"):
        setting = latency_setting.choose()
        st.button(
            "Measure again",
            on_click=measured.forget,
            args=(session.model_id, setting),
            help="If the machine was busy with something else.",
        )
    return setting


def _waiting(session: Session, setting: Setting) -> bool:
    """Whether a figure is still to come."""
    try:
        report = measured.accuracy(session.model_id)
        missing = report is None or not report.complete
    except ValueError:
        missing = False
    try:
        return missing or measured.latency(session.model_id, setting) is None
    except ValueError:
        return missing


def _accuracy(session: Session) -> None:
    try:
        report = measured.accuracy(session.model_id)
    except pruning.MissingData:
        _card("Accuracy", "no data", "the line above says what to do")
        return
    except ValueError as error:
        _card("Accuracy", "unknown", str(error))
        return
    if report is None:
        _card("Accuracy", "…", "measuring")
        return
    low, high = report.interval
    images = f"{report.n:,}" if report.complete else f"{report.n:,} of {report.total:,}"
    under = f"{percent(low)} to {percent(high)} (95{SPACE}%), {images} validation images"
    if report.invalid:
        under += f"; {report.invalid:,} gave NaN and count as wrong"
    _card("Accuracy", percent(report.accuracy), under)


def _latency(session: Session, setting: Setting) -> None:
    how = setting.words
    try:
        timing = measured.latency(session.model_id, setting)
    except ValueError as error:
        _card("Latency", "unknown", str(error))
        return
    if timing is None:
        _card("Latency", "…", f"measuring, {how}")
        return
    spread = f"{_ms(timing.q1)} to {_ms(timing.q3)} ms"
    _card(
        "Latency",
        f"{_ms(timing.median)} ms",
        f"{spread}, {how}",
        f"Median of {timing.n} forward{'s' * (timing.n > 1)}.{_prepared(timing)}",
    )


def _prepared(timing: pruning.Timing) -> str:
    return "" if timing.way == "eager" else f" Preparing took {timing.preparation:.1f} s."


def _ms(seconds: float) -> str:
    """Milliseconds with three digits: 0.0312, 1.63, 968, 1,204."""
    return f"{1000 * seconds:.3g}" if seconds < 0.9995 else f"{1000 * seconds:,.0f}"


def _warning(session: Session, setting: Setting) -> None:
    """Why the latency should not be trusted, if something speaks against it."""
    with suppress(ValueError):
        timing = measured.latency(session.model_id, setting)
        if timing is not None and timing.warning:
            st.caption(f":material/warning: Latency: {timing.warning}")


def _card(label: str, value: str, under: str, more: str = "") -> None:
    st.metric(
        label,
        value,
        under,
        delta_color="off",
        delta_arrow="off",
        help=f"{TERMS[label]} {more}".strip(),
        border=True,
        height="stretch",
    )
