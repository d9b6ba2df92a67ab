"""CLIP-Q's parameters, searched: how much of each layer is clipped, and its bits."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pruning import MissingData, store
from pruning.quantise import Found, Tried, search
from pruning.quantise.search import BITS, SHARES
from ui import cache, shell
from ui.compress.base import Base
from ui.compress.decided import with_bits
from ui.compress.deciding import decide
from ui.jobs import Job
from ui.sensitivity import status
from ui.state import Session

KIND = "clip-search"
POLL_S = 1.0
RATIO = 12.0  # times smaller, at first


class _Stopped(Exception):
    """Somebody cancelled."""


def draw(session: Session, base: Base) -> None:
    """The size that is asked for, and what the search came to; nothing where values are shared otherwise."""
    if session.decided.sharing.method != "clip-q":
        return
    with st.container(horizontal=True, vertical_alignment="bottom", key="clip-search"):
        ratio = st.number_input(
            "Times smaller",
            1.5,
            200.0,
            RATIO,
            step=1.0,
            width=130,
            key="clip-ratio",
            persist_state="session",
            help="32 bits a weight over the bits that are left, zeros counted by their entropy: what the "
            "search is to reach. Each layer is tried alone at each share and number of bits, without "
            "training; one price of a bit for all of them then says which to take. *Source: Tung and Mori "
            "2018, CLIP-Q, section 3.2; Shoham and Gersho 1988.*",
        )
        key = store.digest("clips", base.key, ratio)
        job = cache.jobs().get(KIND, key)
        busy = job is not None and job.busy
        st.fragment(_draw, run_every=POLL_S if busy else None)(session, base, ratio, key, busy)


def _draw(session: Session, base: Base, ratio: float, key: str, drawn_busy: bool) -> None:
    job = cache.jobs().get(KIND, key)
    if (job is not None and job.busy) != drawn_busy:
        st.rerun()
    if job is not None and job.busy:
        status.progress(job, key, _far)
    elif job is not None and job.state == "done" and job.result is not None:
        _found(session, base, job.result)
    else:
        if job is not None and job.state == "failed":
            st.error(shell.literal(job.error), icon=":material/error:")
        _offer(session, base, ratio, key)


def _far(job: Job) -> str:
    return f"{job.done:,} of {job.total:,} settings of single layers tried"


def _offer(session: Session, base: Base, ratio: float, key: str) -> None:
    try:
        task = cache.task(session.model_id)
    except MissingData as error:
        st.info(shell.literal(str(error)), icon=":material/folder_off:")
        return

    def work(job: Job) -> Found | None:
        def tried(_: Tried) -> None:
            job.advance()
            if job.stop.is_set():
                raise _Stopped

        try:
            return search(base.module, task, base.layers, ratio=ratio, on_tried=tried)
        except _Stopped:
            return None

    total = len(base.layers) * len(SHARES) * len(BITS)
    status.offer(
        "Search shares and bits",
        "clip-search-start",
        lambda owner: cache.jobs().submit(
            owner, KIND, key, work, total=total, label="CLIP-Q's parameters", anew=True
        ),
        primary=False,
    )


def _found(session: Session, base: Base, found: Found) -> None:
    with st.container(horizontal=True):
        if st.button("Take over what was found", key="clip-take", type="primary", icon=":material/check:"):
            take(session, base, found)
            st.rerun()
        with st.popover("What was found"):
            rows = [
                {"layer": name, "share clipped, %": 100 * clip.share, "bits": clip.bits}
                for name, clip in found.clips.items()
            ]
            st.dataframe(pd.DataFrame(rows), hide_index=True)
    st.caption(
        f"{found.ratio:.1f} times smaller (predicted; the file is measured once it is taken over), from "
        f"{len(found.tried):,} measurements of single layers on validation images."
    )


def take(session: Session, base: Base, found: Found) -> None:
    """Shares and bits of all layers that are not locked, as one step that Undo takes back."""
    free = {name: clip for name, clip in found.clips.items() if name not in session.decided.locked}
    wanted = with_bits(session.decided, base.layers, {name: clip.bits for name, clip in free.items()})
    before = wanted.sharing.clip
    kept = before if isinstance(before, dict) else dict.fromkeys(base.layers, before)
    clip = {**kept, **{name: clip.share for name, clip in free.items()}}
    sharing = wanted.sharing.model_copy(update={"clip": clip})
    decide(session, wanted.model_copy(update={"sharing": sharing}))
