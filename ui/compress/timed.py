"""What a network really does on this machine: its accuracy, and its time in turns with another one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st
from torch import nn

from pruning import MissingData, Report, Timing, evaluate
from pruning.evaluate import paired_difference
from pruning.latency import refine_latency
from ui import cache, latencies, shell
from ui.figures.words import percent
from ui.jobs import Job
from ui.latencies import Setting
from ui.sensitivity import status
from ui.state import Session

KIND = "compress-measure"
POLL_S = 0.5
Pair = tuple[nn.Module, nn.Module]


@dataclass(frozen=True)
class Found:
    """What was measured.

    Args:
        report: of the network, on validation images.
        beside: of the one that it is compared with.
        timing: of the network, in turns with that one.
    """

    report: Report
    beside: Report
    timing: Timing


def draw(
    session: Session, name: str, label: str, beside: str, make: Callable[[], Pair], setting: Setting
) -> None:
    """A button that measures, and what was measured.

    Args:
        name: of the network and all that it depends on; what was measured by it is kept.
        label: of the button.
        beside: what it is compared with, in words.
        make: makes the network and the one beside it, in the background.
        setting: of the time.
    """
    key = repr((name, setting))
    job = cache.jobs().get(KIND, key)
    busy = job is not None and job.busy
    st.fragment(_draw, run_every=POLL_S if busy else None)(session, key, label, beside, make, setting, busy)


def _draw(
    session: Session,
    key: str,
    label: str,
    beside: str,
    make: Callable[[], Pair],
    setting: Setting,
    drawn_busy: bool,
) -> None:
    job = cache.jobs().get(KIND, key)
    if (job is not None and job.busy) != drawn_busy:
        st.rerun()
    if job is not None and job.busy:
        status.progress(job, key, lambda _: "Measuring accuracy, then time in turns")
        return
    if job is not None and job.state == "done" and job.result is not None:
        with shell.errors_here():
            _said(job.result, beside)
        return
    if job is not None and job.state == "failed":
        st.error(shell.literal(job.error), icon=":material/error:")
    try:
        task = cache.task(session.model_id)
    except MissingData as error:
        st.info(shell.literal(str(error)), icon=":material/folder_off:")
        return
    inputs = cache.model(session.model_id).example_inputs

    def work(job: Job) -> Found | None:
        network, other = make()
        reports = []
        for module in (network, other):
            if job.stop.is_set():
                return None
            reports.append(evaluate(module, task))
            job.advance()
        timing = _timed(network, other, inputs, setting, job)
        return None if timing is None else Found(reports[0], reports[1], timing)

    status.offer(
        f"{label} ({setting.words})",
        f"measure-{key}",
        lambda owner: cache.jobs().submit(owner, KIND, key, work, total=3, label=label, anew=True),
        primary=False,
    )


def _timed(network: nn.Module, other: nn.Module, inputs: tuple, setting: Setting, job: Job) -> Timing | None:
    latest = None
    for timing in refine_latency(
        network,
        inputs,
        baseline=other,
        batch_size=setting.batch_size,
        threads=setting.threads,
        way=setting.way,
        budget_s=latencies.BUDGET_S,
        slice_s=latencies.SLICE_S,
    ):
        latest = timing
        if job.stop.is_set():
            return None
    return latest


def _said(found: Found, beside: str) -> None:
    """Two sentences, each with its uncertainty and what it was measured on."""
    report, timing = found.report, found.timing
    low, high = report.interval
    difference = paired_difference(found.beside, report)
    near, far = difference.interval
    st.markdown(
        f"**{percent(report.accuracy)}** of {report.n:,} validation images right (measured; 95 % interval "
        f"{percent(low)} to {percent(high)}), {100 * difference.value:+.1f} points ({100 * near:+.1f} to "
        f"{100 * far:+.1f}) against {beside}."
    )
    ratio, interval = timing.ratio, timing.ratio_interval
    if ratio is None or interval is None or timing.baseline is None:
        return
    if interval[0] > 1:
        word = f"**{ratio:.2f} times as fast** as {beside}"
    elif interval[1] < 1:
        word = f"**Slower** than {beside}: {ratio:.2f} times as fast"
    else:
        word = f"No faster and no slower than {beside} as far as can be told: {ratio:.2f} times as fast"
    threads = f"{timing.threads} thread{'s' * (timing.threads != 1)}"
    st.markdown(
        f"{word} (measured in {timing.n:,} turns; 95 % interval {interval[0]:.2f} to {interval[1]:.2f}): "
        f"{1e3 * timing.median:.3g} ms and {1e3 * timing.baseline.median:.3g} ms, batch {timing.batch_size}, "
        f"{threads}, {timing.way}, {timing.device}. {shell.literal(timing.warning)}"
    )
