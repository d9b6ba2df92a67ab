"""How latency is measured, as the visitor chose it: the same on every page."""

from __future__ import annotations

from typing import get_args

import streamlit as st

from pruning.device import named
from pruning.latency import WAYS, Way
from ui import latencies, state
from ui.latencies import Setting

BATCH, THREADS, WAY = "latency-batch", "latency-threads", "latency-way"


def current() -> Setting:
    """What is chosen, also where the controls are not drawn."""
    batch, threads, way = (state.value(key) for key in (BATCH, THREADS, WAY))
    usual = latencies.USUAL
    return Setting(
        batch if batch in latencies.BATCHES else usual.batch_size,
        threads if threads in latencies.thread_choices() else usual.threads,
        way if way in WAYS else usual.way,
        _place(),
    )


def choose() -> Setting:
    """Batch size, threads and way of running."""
    batch = st.selectbox(
        "Batch size",
        latencies.BATCHES,
        key=BATCH,
        persist_state="session",
        filter_mode=None,
        help="Images in one forward pass. The time shown is that of the whole pass.",
    )
    threads = st.selectbox(
        "Threads",
        latencies.thread_choices(),
        key=THREADS,
        persist_state="session",
        filter_mode=None,
        help="Threads that PyTorch may use in one operation. One is steadiest; more make large networks "
        "faster, but on a busy machine they wait for each other.",
    )
    ways: tuple[Way, ...] = get_args(Way)
    way = st.selectbox(
        "Way of running",
        ways,
        key=WAY,
        persist_state="session",
        filter_mode=None,
        format_func=lambda way: WAYS[way].label,
        help="\n\n".join(f"**{spec.label}**: {spec.description}" for spec in WAYS.values())
        + "\n\nFolded and compiled networks are private copies, checked to answer as the eager ones do.",
    )
    return Setting(int(batch), int(threads), way, _place())


def _place() -> str:
    """The session's device, for reading."""
    return named(state.session().device).short
