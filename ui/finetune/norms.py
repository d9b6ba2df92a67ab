"""One click, seconds: BatchNorm's statistics measured anew for the pruned network, before and after."""

from __future__ import annotations

import time
from dataclasses import dataclass

import streamlit as st

from pruning import Recipe, Report, evaluate
from pruning.evaluate import paired_difference
from pruning.recover.recalibrate import recalibrate
from pruning.recover.settings import Pruning, Recovery
from ui import cache, runs, shell
from ui.figures.words import percent
from ui.finetune import choice
from ui.jobs import Job
from ui.runs import POLL_S
from ui.state import Session

KIND = "recalibrate"
SOURCE = (
    "After pruning, activations are not distributed as they were, and BatchNorm still divides by the old "
    "deviations. Their means and variances are measured anew; no weight changes. Source: Li et al. 2020, "
    "arXiv:2007.02491."
)


@dataclass(frozen=True)
class Found:
    """Accuracy on validation images before and after, and what it took.

    Args:
        before, after: of the pruned network.
        images: that the statistics were measured on.
        seconds: of that.
    """

    before: Report
    after: Report
    images: int
    seconds: float


def draw(session: Session, recipe: Recipe) -> None:
    """The offer, or what came of it; nothing for a network without BatchNorm."""
    if not recipe.rules or not choice.has_norm(session):
        return
    job = cache.jobs().get(KIND, _key(session, recipe))
    every = POLL_S if job is not None and job.busy else None
    with st.container(border=True, key="ft-norms"):
        st.fragment(_draw, key="ft-recalibrate", run_every=every)(session, recipe, job and job.state)


def _draw(session: Session, recipe: Recipe, drawn: str | None) -> None:
    job = cache.jobs().get(KIND, _key(session, recipe))
    if job is not None and job.state != drawn:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        clicked = st.button(
            "Recalibrate BatchNorm",
            key="ft-recalibrate-now",
            icon=":material/tune:",
            disabled=job is not None and job.state in ("queued", "running", "done"),
        )
        if job is None or job.state == "cancelled":
            st.markdown(
                "No training, one click, seconds: often most of the loss comes back.",
                width="content",
                help=SOURCE,
            )
        elif job.busy:
            st.markdown("Measuring before and after ...", width="content")
        elif job.state == "failed":
            st.markdown(f":orange[{shell.literal(job.error)}]", width="content")
        else:
            _result(job.result)
            _offer_run(session, recipe)
    if clicked:
        with shell.errors_here():
            _begin(session, recipe)
            st.rerun()


def _result(found: Found) -> None:
    change = paired_difference(found.before, found.after)
    low, high = change.interval
    st.markdown(
        f"**{percent(found.before.accuracy)} → {percent(found.after.accuracy)}** of {found.after.n:,} "
        f"validation images ({100 * low:+.1f} to {100 * high:+.1f} points), measured; "
        f"{found.seconds:.1f} s".replace("-", "−"),
        width="content",
        help=f"Accuracy of the pruned network, and of its copy with statistics of {found.images:,} "
        f"calibration images: {100 * change.value:+.1f} points. In brackets its 95 % interval, Newcombe's "
        "for paired proportions (1998, Statistics in Medicine 17).",
    )


def _offer_run(session: Session, recipe: Recipe) -> None:
    if st.button(
        "Keep it as a run",
        key="ft-keep-norms",
        icon=":material/bookmark_add:",
        help="A run without epochs: the same network with files to take home, kept among the runs.",
    ):
        with shell.errors_here():
            runs.start(session, untrained(recipe))
            st.rerun(scope="app")


def untrained(recipe: Recipe) -> Recovery:
    """Settings that prune at once and measure BatchNorm anew, and no more."""
    return Recovery(recipe=recipe, pruning=Pruning(schedule="one-shot", stabilise=0, prune=0, recover=0))


def _key(session: Session, recipe: Recipe) -> str:
    return f"{session.model_id} {recipe.digest}"


def _begin(session: Session, recipe: Recipe) -> None:
    """Ask for the measurement; raises `MissingData` without data."""
    task = cache.task(session.model_id)
    small = cache.pruned(session.model_id, recipe)

    def work(_: Job) -> Found:
        before = evaluate(small, task)
        start = time.perf_counter()
        anew = recalibrate(small, task.calibration.batches())
        seconds = time.perf_counter() - start
        return Found(before, evaluate(anew, task), len(task.calibration), seconds)

    cache.jobs().submit(session.claim(), KIND, _key(session, recipe), work)
