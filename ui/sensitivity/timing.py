"""The latency side: how much time each group would save at each ratio, measured on this machine."""

from __future__ import annotations

from functools import partial

import streamlit as st

from pruning.device import named
from pruning.groups.choices import Choices
from pruning.latency import FEWEST
from pruning.recipe import Granularity
from pruning.sparsity import masks_weights
from ui import cache, charts, shell, uploads
from ui.figures import sensitivity as figures
from ui.model import measured
from ui.sensitivity import status, work
from ui.state import Session

BATCHES = (1, 8, 32, 128)
MASKED = "Zeros in place save no time: every tensor keeps its size."
LAYERS = "The Prune page measures the time without dropped layers."


def draw(session: Session, granularity: Granularity, choices: Choices, ratios: tuple[float, ...]) -> None:
    """Controls, then what was measured."""
    shell.section(
        "Time saved",
        help="Each group alone is really cut at each ratio, and the smaller network is timed in turns with "
        "the dense one, so that both meet the same machine. A group that saves no time is not worth cutting "
        "for speed.",
    )
    if granularity != "channel":
        st.caption(f"{MASKED if masks_weights(granularity) else LAYERS} Choose channels to measure here.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        batch = st.selectbox(
            "Images per forward",
            BATCHES,
            key="time-batch",
            persist_state="session",
            filter_mode=None,
            width=150,
            help="The batch size: one image shows latency, many show throughput.",
        )
        threads = st.selectbox(
            "Threads",
            measured.thread_choices(),
            measured.thread_choices().index(measured.default_threads()),
            key="time-threads",
            persist_state="session",
            filter_mode=None,
            width=110,
            help="Processor threads that torch may use. Small networks are often steadier with one.",
        )
        care = st.segmented_control(
            "Care",
            list(work.POINT_S),
            default="Quick",
            required=True,
            key="time-care",
            persist_state="session",
            help="Measuring time for each point: "
            + ", ".join(f"{name.lower()} {seconds:g} s" for name, seconds in work.POINT_S.items())
            + ". More time, narrower intervals.",
        )
        choice = work.TimeChoice(
            session.model_id, ratios, int(batch), int(threads), work.POINT_S[care or "Quick"], choices
        )
        points, whole, job = work.find_time(choice)
        busy = job is not None and job.busy
        if not busy and whole is None:
            label = f"Measure, about {status.duration(choice.points * choice.point_s)}"
            status.offer(label, "start-time", partial(work.start_time, choice), primary=not points)
    st.fragment(_results, key="time-results", run_every=status.POLL_S if busy else None)(choice, busy)


def _results(choice: work.TimeChoice, polling: bool) -> None:
    points, _, job = work.find_time(choice)
    busy = job is not None and job.busy
    if polling and not busy:
        st.rerun()
    if job is not None and busy:
        status.progress(job, "time")
    elif job is not None and job.state == "failed":
        st.error(job.error, icon=":material/error:")
    if not points:
        if not busy:
            st.caption("Not measured yet on this machine.")
        return
    groups = cache.structure(choice.model_id, choice.choices).groups
    keys = [group.id for group in groups if group.size > group.minimum]
    figure, data = figures.time_saved(keys, choice.ratios, points, charts.colours())
    charts.show(figure, data, key="time-heat-map", name=f"{choice.model_id} time saved")
    doubtful = sum(not point.certain for point in points)
    st.caption(
        f"Measured: {len(points):,} of {choice.points:,} points, {choice.batch_size} image"
        f"{'s' * (choice.batch_size > 1)} per forward, {choice.threads} thread{'s' * (choice.threads > 1)}, "
        f"{named(uploads.device_in(choice.model_id)).short}. "
        f"A question mark: no difference can be told "
        f"({doubtful:,} points: the 95 % interval contains 0, or under {FEWEST} turns fitted in).",
        help="The interval is that of a median by the sign test: W. R. Thompson 1936, Annals of Mathematical "
        "Statistics 7. Holds for this machine only.",
    )
