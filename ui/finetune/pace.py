"""How long a run would take: by an earlier run of the same kind, else by a few steps measured now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from pruning import MissingData
from pruning.recover.settings import Recovery
from ui import cache, runs
from ui.jobs import Job
from ui.sensitivity.status import duration
from ui.state import Session

if TYPE_CHECKING:
    from pruning.history import Run

KIND = "pace"  # of the job
POLL_S = 0.3
LOOKED_AT = 20  # earlier runs


@dataclass(frozen=True)
class Guess:
    """A predicted time.

    Args:
        seconds: of the whole run, without what is measured in the end.
        source: what it was predicted from, in words.
    """

    seconds: float
    source: str


def draw(session: Session, wanted: Recovery) -> None:
    """The predicted time, or that it is being measured."""
    if not wanted.epochs:
        st.caption("No epochs: nothing is trained.")
        return
    guess = earlier(session, wanted)
    job = None if guess else measure(session, wanted)
    if guess is None and job is None:
        st.caption(f"{_epochs(wanted)}.")
        return
    every = POLL_S if job is not None and job.busy else None
    st.fragment(_say, key="ft-pace", run_every=every)(session, wanted, guess, job)


def _say(session: Session, wanted: Recovery, guess: Guess | None, job: Job | None) -> None:
    if guess is None and job is not None:
        if job.state == "done":
            seconds = job.result.seconds(wanted.epochs, cache.task(session.model_id))
            guess = Guess(seconds, f"measured on {job.result.steps} steps at full size")
        elif not job.busy:
            st.caption(f"{_epochs(wanted)}; how long they take is not known.")
            return
    if guess is None:
        st.caption(f"{_epochs(wanted)}; measuring the speed of a few steps ...")
        return
    st.markdown(
        f"**{_epochs(wanted)}, about {duration(guess.seconds)}**  \npredicted: {guess.source}",
        width="content",
        help="Training and the evaluation after each epoch; measuring the result in the end takes some "
        "seconds more. A network that gets smaller on the way is faster than this.",
    )


def _epochs(wanted: Recovery) -> str:
    return f"{wanted.epochs:,} epoch{'s' * (wanted.epochs != 1)}"


def earlier(session: Session, wanted: Recovery) -> Guess | None:
    """By the latest finished run of this network on this device that was trained alike."""
    found = runs.history().runs(
        kind="fine-tuning", state="done", model=session.model, limit=LOOKED_AT, study=""
    )
    for run in found:
        figures = run.figures
        same = run.device == session.device and figures.seconds and figures.epochs
        if same and _alike(run, wanted):
            seconds = (figures.seconds or 0.0) / (figures.epochs or 1) * wanted.epochs
            return Guess(seconds, f"by the run “{run.called}”")
    return None


def _alike(run: Run, wanted: Recovery) -> bool:
    """Whether an epoch of both takes about the same time."""
    try:
        settings = runs.settings(run)
    except ValueError:
        return False
    return (settings.fit.batch_size, settings.fit.precision, settings.teach is None) == (
        wanted.fit.batch_size,
        wanted.fit.precision,
        wanted.teach is None,
    )


def measure(session: Session, wanted: Recovery) -> Job | None:
    """A few steps in the background; None without data."""
    from pruning.recover.pace import measure_pace
    from pruning.runs.worker import threads

    try:
        task = cache.task(session.model_id)
    except MissingData:
        return None
    loaded = cache.model(session.model_id)
    key = repr((session.model_id, wanted.fit.batch_size, wanted.fit.precision, wanted.teach is None))

    def work(_: Job) -> object:
        inputs, count = loaded.example_inputs, threads()
        return measure_pace(loaded.module, task, wanted, example_inputs=inputs, threads=count)

    return cache.jobs().submit(session.claim(), KIND, key, work)
