"""Each layer alone at 1 to 8 bits, measured in the background, kept on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import streamlit as st
import torch

from pruning import MissingData, Report, evaluate, store
from pruning.checkpoint.write import write_atomically
from pruning.compress.scan import ALL_BITS, BitsPoint, bits_scan
from pruning.compress.settings import Sharing
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


@dataclass(frozen=True)
class Found:
    """A scan so far.

    Args:
        dense: the network before any layer shares values.
        points: those that are measured.
        total: that there are in all.
    """

    dense: Report
    points: tuple[BitsPoint, ...]
    total: int

    def curve(self, layer: str) -> tuple[tuple[float, float], ...]:
        """(place on the board's track, accuracy) of a layer."""
        return tuple((ratio_of(p.bits), p.report.accuracy) for p in self.points if p.layer == layer)


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
    points = shown.points
    figure, data = curves.scan(points, shown.dense.accuracy, chosen, charts.colours(), error=error)
    charts.show(figure, data, key="bits-curves", name=f"{session.model} bits per layer", highlight=True)
    low, high = shown.dense.interval
    st.caption(
        f"Measured: {len(points)} of {shown.total} points on {shown.dense.n:,} validation images each, "
        f"without training; before, the network has {100 * shown.dense.accuracy:.1f} % there (95 % interval "
        f"{100 * low:.1f} to {100 * high:.1f} %). The squared error is exact."
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
        dense = evaluate(base.module, task)
        job.add(dense)
        for point in bits_scan(base.module, task, base.layers, sharing=sharing, stop=job.stop):
            job.add(point)
            job.advance()
        whole = Found(dense, tuple(job.parts[1:]), total)
        if not job.stop.is_set():
            _write(key, whole)
            remember(_known, key, whole, _MOST)
        return whole

    return cache.jobs().submit(owner, KIND, key, work, total=total, label="Bits of each layer")


def _so_far(job: Job) -> Found | None:
    parts = job.parts
    return Found(parts[0], tuple(parts[1:]), job.total) if parts else None


def _write(key: str, whole: Found) -> None:
    """For the next visit; a folder that cannot be written only costs measuring again."""
    rows = [[p.layer, p.bits, p.error, _packed(p.report)] for p in whole.points]
    text = json.dumps({"dense": _packed(whole.dense), "points": rows, "total": whole.total})
    folder = store.cache_dir() / "bits"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"{key}.json", text.encode())
    except (OSError, ValueError):  # it is measured again next time
        return


def _read(key: str) -> Found | None:
    try:
        text = json.loads((store.cache_dir() / "bits" / f"{key}.json").read_text(encoding="utf-8"))
        points = [BitsPoint(layer, bits, _opened(kept), error) for layer, bits, error, kept in text["points"]]
        return Found(_opened(text["dense"]), tuple(points), text["total"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _packed(report: Report) -> dict[str, object]:
    """A report without its answers, which nothing here asks for."""
    names = ("accuracy", "interval", "loss", "n", "total", "split")
    return {name: getattr(report, name) for name in names}


def _opened(kept: dict[str, Any]) -> Report:
    none = torch.zeros(0, dtype=torch.long)
    return Report(**{**kept, "interval": tuple(kept["interval"])}, predictions=none, targets=none)
