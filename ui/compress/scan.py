"""Each layer alone at 1 to 8 bits, measured in the background, kept on disk."""

from __future__ import annotations

import streamlit as st
from pydantic import BaseModel

from pruning import MissingData, store
from pruning.checkpoint.write import write_atomically
from pruning.compress.scan import ALL_BITS, BitsPoint, bits_scan
from pruning.compress.settings import Sharing
from pruning.documents import FROZEN
from pruning.sensitivity import Measured, usual_precision
from ui import cache, charts, shell, state
from ui.bounded import remember
from ui.compress.base import Base
from ui.compress.network import how
from ui.figures import compress_curves as curves
from ui.jobs import Job
from ui.ratio_board.bits import ratio_of
from ui.sensitivity import status
from ui.state import Session

KIND = "bits-scan"
POLL_S = 1.0
_MOST = 16
_known: dict[str, Found] = {}


class Found(BaseModel):
    """A scan so far.

    Args:
        dense: the network before any layer shares values.
        points: those that are measured.
        total: that there are in all.
        n: images of the scan.
    """

    model_config = FROZEN

    dense: Measured
    points: tuple[BitsPoint, ...]
    total: int
    n: int

    @property
    def settled(self) -> int:
        """Points that are known as precisely as asked for."""
        return sum(point.found.settled for point in self.points)

    def curve(self, layer: str) -> tuple[tuple[float, float], ...]:
        """(place on the board's track, accuracy) of a layer, from many bits to few."""
        own = sorted((p for p in self.points if p.layer == layer), key=lambda p: -p.bits)
        return tuple((ratio_of(p.bits), p.found.accuracy) for p in own)


def key_of(base: Base, sharing: Sharing) -> str:
    """Names a scan: the network, its data, and how values are shared."""
    return store.digest("bits", base.key, how(sharing), list(base.layers))


def found(base: Base, sharing: Sharing) -> Found | None:
    """The complete scan, from memory or from disk; else None."""
    key = key_of(base, sharing)
    kept = _known.get(key) or _read(key)
    if kept is not None:
        remember(_known, key, kept, _MOST)
    return kept


def draw(session: Session, base: Base, chosen: str) -> None:
    """The chart, or what is missing; polls only while a scan is under way."""
    job = cache.jobs().get(KIND, key_of(base, session.decided.sharing))
    busy = job is not None and job.busy
    st.fragment(_draw, key="bits-scan", run_every=POLL_S if busy else None)(base, chosen, busy)


def _draw(base: Base, chosen: str, drawn_busy: bool) -> None:
    session = state.session()
    sharing = session.decided.sharing
    key = key_of(base, sharing)
    job = cache.jobs().get(KIND, key)
    if (job is not None and job.busy) != drawn_busy:
        st.rerun()
    whole = found(base, sharing)
    shown = whole or (_so_far(job) if job else None)
    if job is not None and job.busy:
        status.progress(job, "bits")
    elif whole is None:
        _offer(session, base, job)
    if shown is None or not shown.points:
        return
    error = (
        st.segmented_control(
            "Shown",
            ["Accuracy", "Squared error"],
            default="Accuracy",
            required=True,
            key="bits-shown",
            persist_state="session",
            label_visibility="collapsed",
        )
        == "Squared error"
    )
    figure, data = curves.scan(
        shown.points, shown.dense.accuracy, shown.n, chosen, charts.colours(), error=error
    )
    charts.show(figure, data, key="bits-curves", name=f"{session.model} bits per layer", highlight=True)
    st.caption(said(shown))


def said(found: Found) -> str:
    """What the points are about, and how they are known."""
    low, high = (100 * end for end in found.dense.interval)
    if all(point.found.how == "measured" for point in found.points):
        how = f"Measured: {found.settled} of {found.total} points on {found.n:,} validation images each"
    else:
        measured = sum(point.found.how in ("measured", "partly") for point in found.points)
        how = (
            f"Known: {found.settled} of {found.total} points for {found.n:,} validation images, to ±1 point "
            f"or a tenth of the loss; {measured} measured on as many images as that takes, others inferred"
        )
    return (
        f"{how}, without training; before, the network has {100 * found.dense.accuracy:.1f} % there (95 % "
        f"interval {low:.1f} to {high:.1f} %). The squared error is exact."
    )


def _offer(session: Session, base: Base, job: Job | None) -> None:
    try:
        cache.task(session.model_id)
    except MissingData as error:
        st.info(shell.literal(str(error)), icon=":material/folder_off:")
        return
    if job is not None and job.state == "failed":
        st.error(shell.literal(job.error), icon=":material/error:")
    status.offer(
        "Measure every layer at 1 to 8 bits",
        "bits-start",
        lambda owner: start(owner, session, base),
        primary=False,
    )


def start(owner: str, session: Session, base: Base) -> Job:
    """Scan in the background."""
    task, sharing = cache.task(session.model_id), session.decided.sharing
    key = key_of(base, sharing)
    total = len(base.layers) * len(ALL_BITS)

    def work(job: Job) -> Found:
        n = len(task.validation)
        precise = usual_precision(n, "weight")
        walk = bits_scan(base.module, task, base.layers, sharing=sharing, precise=precise, stop=job.stop)

        def so_far() -> Found:
            return Found(dense=walk.dense, points=walk.points, total=walk.walk.total, n=n)

        for _ in walk:
            job.add(so_far())
            job.advance(walk.walk.settled, walk.walk.total)
        whole = so_far()
        if not job.stop.is_set():
            _write(key, whole)
            remember(_known, key, whole, _MOST)
        return whole

    return cache.jobs().submit(owner, KIND, key, work, total=total, label="Bits of each layer")


def _so_far(job: Job) -> Found | None:
    return job.parts[-1] if job.parts else None


def _write(key: str, whole: Found) -> None:
    """For the next visit; a folder that cannot be written only costs measuring again."""
    folder = store.cache_dir() / "bits"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"{key}.json", whole.model_dump_json().encode())
    except (OSError, ValueError):  # it is measured again next time
        return


def _read(key: str) -> Found | None:
    try:
        text = (store.cache_dir() / "bits" / f"{key}.json").read_text(encoding="utf-8")
        return Found.model_validate_json(text)
    except (OSError, ValueError):
        return None
