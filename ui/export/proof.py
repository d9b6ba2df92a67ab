"""Where the measurement of an export stands, and what it found: the self-check and the latency."""

from __future__ import annotations

from functools import partial

import streamlit as st

from pruning import Timing
from pruning.checkpoint import SelfCheck
from ui import shell
from ui.export import work
from ui.export.work import Choice, Found
from ui.jobs import Job
from ui.sensitivity import status
from ui.state import Session

POLL_S = 0.5  # how often the page looks at work under way


def draw(session: Session, choice: Choice, found: Found) -> None:
    """Progress, then the figures; about as high, so that what is below stays where it is."""
    every = POLL_S if any(found.state) else None
    st.fragment(_follow, key="export-proof", run_every=every)(session, choice, found.state)


def _follow(session: Session, choice: Choice, drawn: tuple[bool, ...]) -> None:
    found = work.find(choice)
    if found.state != drawn:
        st.rerun()  # the page shows what was found, and polls on only for what is left
    if found.busy and found.job is not None:
        with st.container(border=True):
            st.markdown(_stages(found.job))
            status.progress(found.job, "export", _said)
        st.caption("It goes on while you look at other pages.")
    elif found.done:
        timing, check = found.measured.timing, found.measured.check
        if timing is not None:
            _latency(timing)
        _checked(check)
        with st.container(horizontal=True, vertical_alignment="center"):
            if check is not None and not check.fresh_process:
                _offer_fresh(session, choice, found)
            if timing is not None and timing.warning:
                _offer_again(session, choice, timing.warning)
    else:
        _offer(session, choice, found)


def _offer(session: Session, choice: Choice, found: Found) -> None:
    """Why there are no figures, and the button that fetches them."""
    failed = found.job is not None and found.job.state == "failed"
    if failed and found.job is not None:
        st.error(shell.literal(found.job.error), icon=":material/error:")
    else:
        unchecked = "" if found.measured.check else ", but nobody has checked it"
        st.markdown(f"The measurement was stopped. The file is written and can be taken{unchecked}.")
        if found.measured.check:
            _checked(found.measured.check)
    start = partial(work.start, session, choice)
    status.offer("Try again" if failed else "Measure", "start-export", lambda _: start())


def _stages(job: Job) -> str:
    """All stages in a row: done, under way, to come."""
    now = job.parts[-1] if job.parts else work.Step("load", tuple(work.STAGES))
    place = now.stages.index(now.stage)
    marks = [
        f":green[:material/check_circle:] {work.STAGES[stage]}"
        if number < place
        else f":material/pending: **{work.STAGES[stage]}**"
        if number == place and job.state == "running"
        else f":gray[:material/circle: {work.STAGES[stage]}]"
        for number, stage in enumerate(now.stages)
    ]
    return " &emsp; ".join(marks)


def _said(job: Job) -> str:
    """The stage under way, and how far it came."""
    if not job.parts:
        return "Loading the file again"
    now: work.Step = job.parts[-1]
    return f"{work.STAGES[now.stage].capitalize()}{f': {now.said}' if now.said else ''}"


def _latency(timing: Timing) -> None:
    base = timing.baseline
    threads = f"{timing.threads} thread{'s' if timing.threads != 1 else ''}, {timing.device}"
    forwards = f"{timing.n} forward{'s' if timing.n != 1 else ''}"
    if base is None or timing.ratio is None or timing.ratio_interval is None:
        text = (
            f"{1000 * timing.median:.2f} ms; batch {timing.batch_size}, {threads}, {forwards}. Half of them "
            f"took {1000 * timing.q1:.2f} to {1000 * timing.q3:.2f} ms."
        )
    else:
        low, high = timing.ratio_interval
        text = (
            f"{1000 * timing.median:.2f} ms against {1000 * base.median:.2f} ms dense: {timing.ratio:.2f} "
            f"times as fast (95 % interval {low:.2f} to {high:.2f}); batch {timing.batch_size}, {threads}, "
            f"{forwards} of each in turns."
        )
    st.markdown(f"**Latency, measured:** {text}")


def _checked(check: SelfCheck | None) -> None:
    """What the self-check found."""
    if check is None:
        st.info(
            "The file loads again, but was not checked: there are no images to run it on.",
            icon=":material/folder_off:",
        )
    elif check.passed:
        st.success(str(check), icon=":material/verified:")
    else:
        st.error(f"{check} Do not use this file; please report it with its recipe.", icon=":material/error:")


def _offer_again(session: Session, choice: Choice, warning: str) -> None:
    """Why the latency is doubtful, and the offer to repeat it when the machine is quieter."""
    asked = st.button(
        "Measure again",
        key="measure-again",
        icon=":material/replay:",
        type="tertiary",
        help="When the machine is quieter: the latency and the check of the file.",
    )
    st.caption(warning)
    if asked:
        work.start_again(session, choice)
        st.rerun()


def _offer_fresh(session: Session, choice: Choice, found: Found) -> None:
    """The offer to repeat the self-check in a process that knows nothing of this one."""
    if found.fresh is not None and found.fresh.state == "failed":
        st.error(shell.literal(found.fresh.error), icon=":material/error:")
    asked = st.button(
        "A fresh Python process is at work ..."
        if found.checking
        else "Check again in a fresh Python process",
        key="check-fresh",
        icon=":material/hourglass_top:" if found.checking else ":material/restart_alt:",
        type="tertiary",
        disabled=found.checking,
        help="Starts a new Python, which knows nothing of this one, lets it load the file and run the test "
        "images, and compares every output. It goes on in the background, as long as the first check.",
    )
    if asked:
        work.start_fresh(session, choice)
        st.rerun()
