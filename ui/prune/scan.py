"""Where no sensitivity scan is stored: say what is missing, and offer to measure it right there."""

from __future__ import annotations

import streamlit as st

import pruning
from ui import cache, scans, shell, state
from ui.jobs import Job
from ui.prune.facts import Facts
from ui.state import Session

POLL_S = 0.5


def draw(session: Session, now: Facts) -> None:
    """One line under the board as long as there are no curves."""
    if now.scan is not None or not session.keys:
        return
    try:
        cache.task(session.model_id)
    except pruning.MissingData:  # the accuracy card says so
        return
    job = _job(session)
    busy = job is not None and job.busy
    st.fragment(_offer, run_every=POLL_S if busy else None)(busy)


def _offer(drawn_busy: bool) -> None:
    session = state.session()
    job = _job(session)
    busy = job is not None and job.busy
    if busy != drawn_busy:
        st.rerun()  # begun or ended: the page starts or stops to poll, and the board gets its curves
    with st.container(horizontal=True, vertical_alignment="center", key="prune-scan"):
        if job is not None and busy:
            left = f", about {job.left:.0f} s left" if job.left else ""
            far = f"{job.done} of {job.total} points{left}" if job.total else "waiting for its turn"
            st.progress(job.fraction, f"Scanning each row alone: {far}")
            if session.owner in job.owners:
                st.button("Cancel", key="scan-cancel", on_click=_cancel, args=(session, job))
            return
        st.button(
            "Measure curves", icon=":material/show_chart:", key="scan-start", on_click=_start, args=(session,)
        )
        failed = job is not None and job.state == "failed"
        why = f" The last scan failed: {shell.literal(job.error)}" if job is not None and failed else ""
        st.markdown(
            "No scan by this criterion is stored, so there are no curves and no prediction; "
            f"[Sensitivity](/sensitivity) measures in full.{why}",
            width="stretch",
        )


def _job(session: Session) -> Job | None:
    key = scans.job_key(session.model_id, *session.how)
    return cache.jobs().get(scans.KIND, key)


def _start(session: Session) -> None:
    try:
        scans.start(session.claim(), session.model_id, *session.how)
    except ValueError as error:
        session.note = str(error)


def _cancel(session: Session, job: Job) -> None:
    cache.jobs().cancel(job, session.owner)
