"""Where a measurement stands: progress, time left, Cancel; or how to start it."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from ui import cache, state
from ui.jobs import Job

SURE = 0.03  # of the work is done before the time left is told; the first steps are warm-up
POLL_S = 1.0  # how often a page looks at work under way


def duration(seconds: float) -> str:
    """Seconds for reading: 8 s, 4 min, 1.5 h."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def points(job: Job) -> str:
    """How far a scan came, in words."""
    return (
        f"{job.done:,} of {job.total:,} points measured" if job.total else "Measuring the dense network first"
    )


def progress(job: Job, key: str, said: Callable[[Job], str] = points) -> None:
    """A bar, the time left, and Cancel.

    Args:
        said: how far the job came, in words.
    """
    owner = state.session().owner
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(job.fraction, text=_words(job, said))
        if owner in job.owners and not job.stop.is_set():
            if st.button("Cancel", key=f"cancel-{key}", icon=":material/close:"):
                cache.jobs().cancel(job, owner)
                st.rerun()
        else:
            st.caption("stopping" if job.stop.is_set() else "started by another visitor")


def offer(label: str, key: str, start: Callable[[str], Job], *, primary: bool = True) -> None:
    """A button that starts work."""
    if st.button(label, key=key, type="primary" if primary else "secondary", icon=":material/play_arrow:"):
        start(state.session().claim())
        st.rerun()


def _words(job: Job, said: Callable[[Job], str]) -> str:
    if job.state == "queued":
        ahead = cache.jobs().waiting_before(job)
        return f"Waiting for {ahead} other measurement{'s' * (ahead != 1)}, so that none disturbs another"
    left = "" if job.left is None or job.fraction < SURE else f", about {duration(job.left)} left"
    return f"{said(job)}{left}"
