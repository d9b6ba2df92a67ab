"""Each layer alone at lower and lower ranks, measured in the background, kept on disk."""

from __future__ import annotations

import streamlit as st
from pydantic import BaseModel

from pruning import CostModel, MissingData, evaluate, store
from pruning.checkpoint.write import write_atomically
from pruning.documents import FROZEN, Count
from pruning.lowrank import METHODS, LowRank, RankPoint, find_factorable, scan
from pruning.lowrank.scan import SHARES
from pruning.sensitivity.point import Measured
from ui import cache, charts, shell, state
from ui.bounded import remember
from ui.figures import low_rank_scan as figures
from ui.jobs import Job
from ui.sensitivity import status
from ui.state import Session

KIND = "rank-scan"
POLL_S = 1.0
MOST_IMAGES = 1000  # each point runs the whole network
_MOST = 16
_known: dict[str, Found] = {}


class Found(BaseModel):
    """A scan so far.

    Args:
        dense: the network as it is, on the same images.
        parameters: of that network.
        layers: layer -> its parameters.
        points: those that are measured.
        n: images of each.
        of: images of the validation split.
    """

    model_config = FROZEN

    dense: Measured
    parameters: Count
    layers: dict[str, Count]
    points: tuple[RankPoint, ...] = ()
    n: Count
    of: Count

    def left(self, point: RankPoint) -> float:
        """Share of the layer's parameters that are left at a point, exact."""
        whole = self.layers[point.key]
        return (whole - self.parameters + point.parameters) / whole


def key_of(session: Session, settings: LowRank) -> str:
    """Names a scan: the network, and how layers are factorised; how far does not matter."""
    where = f"{session.model_id} {cache.weights_digest(session.model_id)}"
    return store.digest("ranks", where, settings.method, settings.data, MOST_IMAGES)


def found(session: Session, settings: LowRank) -> Found | None:
    """The complete scan, from memory or from disk; else None."""
    key = key_of(session, settings)
    kept = _known.get(key) or _read(key)
    if kept is not None:
        remember(_known, key, kept, _MOST)
    return kept


def draw(session: Session, settings: LowRank) -> None:
    """The chart, or the offer to measure it; polls only while a scan is under way."""
    job = cache.jobs().get(KIND, key_of(session, settings))
    busy = job is not None and job.busy
    st.fragment(_draw, key="rank-scan", run_every=POLL_S if busy else None)(settings, busy)


def _draw(settings: LowRank, drawn_busy: bool) -> None:
    session = state.session()
    job = cache.jobs().get(KIND, key_of(session, settings))
    if (job is not None and job.busy) != drawn_busy:
        st.rerun()
    whole = found(session, settings)
    shown = whole or (job.parts[-1] if job is not None and job.parts else None)
    if job is not None and job.busy:
        status.progress(job, "ranks")
    elif whole is None:
        _offer(session, settings, job)
    if shown is None or not shown.points:
        return
    places = [(point, shown.left(point)) for point in shown.points]
    figure, data = figures.scan(places, shown.dense.accuracy, shown.n, charts.colours())
    charts.show(figure, data, key="rank-curves", name=f"{session.model} ranks per layer", highlight=True)
    st.caption(said(shown, settings))


def said(found: Found, settings: LowRank) -> str:
    """What the points are, and how they are known."""
    low, high = (100 * end for end in found.dense.interval)
    images = f"{found.n:,}" if found.n == found.of else f"the first {found.n:,} of {found.of:,}"
    weighed = ", errors weighed by calibration images" if settings.data else ""
    return (
        f"Measured: {len(found.points)} networks on {images} validation images each, without training"
        f"{weighed}; as it is, the network has {100 * found.dense.accuracy:.1f} % there (95 % interval "
        f"{low:.1f} to {high:.1f} %). Shares of parameters are counted."
    )


def _offer(session: Session, settings: LowRank, job: Job | None) -> None:
    try:
        cache.task(session.model_id)
    except MissingData as error:
        st.info(shell.literal(str(error)), icon=":material/folder_off:")
        return
    if job is not None and job.state == "failed":
        st.error(shell.literal(job.error), icon=":material/error:")
    status.offer(
        f"Measure every layer at lower ranks ({METHODS[settings.method].label})",
        "ranks-start",
        lambda owner: start(owner, session, settings),
        primary=False,
    )


def start(owner: str, session: Session, settings: LowRank) -> Job:
    """Scan in the background."""
    loaded, task = cache.model(session.model_id), cache.task(session.model_id)
    key, of = key_of(session, settings), len(task.validation)

    def work(job: Job) -> Found:
        inputs, n = loaded.example_inputs, min(of, MOST_IMAGES)
        able = [one for one in find_factorable(loaded.module, inputs, settings.method) if not one.reason]
        job.advance(0, len(able) * len(SHARES))
        report = evaluate(loaded.module, task, "validation", limit=n)
        so_far = Found(
            dense=Measured(accuracy=report.accuracy, interval=report.interval, loss=None),
            parameters=CostModel(loaded.module, inputs).dense.parameters,
            layers={one.name: one.parameters for one in able},
            n=n,
            of=of,
        )
        places = {one.name: number for number, one in enumerate(able)}
        walk = scan(
            loaded.module,
            task,
            method=settings.method,
            example_inputs=inputs,
            limit=n,
            data=settings.data,
            stop=job.stop,
        )
        for point in walk:
            so_far = so_far.model_copy(update={"points": (*so_far.points, point)})
            job.add(so_far)
            # Shares that come to ranks measured already have no point, so those passed by are counted.
            place = places[point.key] * len(SHARES)
            job.advance(place + sorted(SHARES, reverse=True).index(point.share) + 1)
        if not job.stop.is_set():
            _write(key, so_far)
            remember(_known, key, so_far, _MOST)
        return so_far

    return cache.jobs().submit(owner, KIND, key, work, label="Ranks of each layer")


def _write(key: str, whole: Found) -> None:
    """For the next visit; a folder that cannot be written only costs measuring again."""
    folder = store.cache_dir() / "ranks"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"{key}.json", whole.model_dump_json().encode())
    except (OSError, ValueError):  # it is measured again next time
        return


def _read(key: str) -> Found | None:
    try:
        text = (store.cache_dir() / "ranks" / f"{key}.json").read_text(encoding="utf-8")
        return Found.model_validate_json(text)
    except (OSError, ValueError):
        return None
