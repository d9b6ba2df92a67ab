"""The accuracy side: curves as they are measured, the heat map, and the table that becomes a recipe."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

import pandas as pd
import streamlit as st

import pruning
from pruning import Scan
from ui import cache, charts, dropping, shell, state
from ui import granularity as kinds
from ui.figures import sensitivity as figures
from ui.figures.words import percent
from ui.sensitivity import status, words, work
from ui.sensitivity.choice import Choice, Wanted
from ui.state import Session

LI = "One at a time, all others whole: Li et al. 2016, arXiv:1608.08710, section 3.2."
BARS = (
    "The bars of the chart and ± tell what measuring the rest of these {n:,} images could still change "
    "(95 %, a stratified sample without replacement). "
)
WILSON = (
    "How far the accuracy on other images of their kind may be is a wider interval: Wilson 1927, Journal of "
    "the American Statistical Association 22."
)


def draw(session: Session, wanted: Wanted) -> None:
    """Start the scan by itself if it is cheap; show what there is, again and again while it grows.

    Raises:
        MissingData: if there are no data to measure on.
    """
    granularity, criterion, images = wanted.granularity, wanted.criterion, wanted.images
    if granularity == "layer" and dropping.none_here(session.model_id):
        return
    if images is None:
        images = len(cache.task(session.model_id).validation)  # says what is missing
    seed = session.seed if criterion == "random" else 0
    choice = Choice(
        session.model_id,
        granularity,
        criterion,
        seed,
        wanted.ratios,
        images,
        wanted.choices,
        wanted.precise,
    )
    found = work.find(choice)
    if work.starts_by_itself(choice, found):
        work.start(choice, state.session().claim())
        found = work.find(choice)
    every = status.POLL_S if found.busy else None
    st.fragment(_results, key="scan-results", run_every=every)(choice, found.busy)


def _results(choice: Choice, polling: bool) -> None:
    found = work.find(choice)
    if polling and not found.busy:
        st.rerun()  # the last time: without polling
    with shell.errors_here():
        _status(choice, found)
        if found.scan is None or not found.scan.points:
            if found.busy:
                st.skeleton(height=430)
            return
        left, right = st.columns([8, 7], gap="medium")
        with right:
            allowed = _allowed(found.scan)
            ranked = _table(choice, found.scan, allowed)
        with left:
            _curves(choice, found.scan, allowed)
        if choice.granularity != "layer":  # one ratio only: the figure above says it all
            _heat_map(choice, found.scan, ranked)
        with right:
            _recipe(choice, found, ranked)


def _status(choice: Choice, found: work.Found) -> None:
    """Progress while it runs; else what is shown, and what can be started."""
    begin = partial(work.start, choice)
    job, scan = found.job, found.scan
    if found.busy and job is not None:
        status.progress(job, "scan", partial(words.far, scan))
        return
    if job is not None and job.state == "failed":
        st.error(job.error, icon=":material/error:")
        status.offer("Try again", "start-scan", begin)
        return
    expected = f"about {status.duration(choice.guess_s())}"
    with st.container(horizontal=True, vertical_alignment="center"):
        if scan is None:
            how = words.mode(choice.precise)
            st.markdown(f"This scan ({how}) has not been measured yet.", width="content")
            status.offer(f"Scan, {expected}", "start-scan", begin)
        elif found.other:
            st.markdown(
                f"Shown: an earlier scan at {words.ratios(scan)}, on {scan.n:,} images.", width="content"
            )
            status.offer(f"Scan the chosen ratios, {expected} or less", "start-scan", begin)
        elif not scan.complete:
            total = len(scan.keys) * len(scan.ratios)
            settled = sum(point.settled for point in scan.points)
            st.markdown(f"Stopped after {settled:,} of {total:,} points.", width="content")
            status.offer("Go on", "start-scan", begin)
        else:
            _about(choice, scan)


def _about(choice: Choice, scan: Scan) -> None:
    criterion = pruning.CRITERIA[choice.criterion]
    low, high = (100 * bound for bound in scan.dense.interval)
    bars = "" if scan.precise is None else BARS.format(n=scan.n)
    st.caption(
        f"{words.known(scan)}; the dense network has {100 * scan.dense.accuracy:.1f} % there (on other such "
        f"images 95 %: {low:.1f} to {high:.1f}). Kept in the cache directory."
        f"{words.invalid(scan)}{words.slower(scan)}",
        help=f"{LI}\n\n{criterion.label}: {criterion.description} Source: {criterion.source}.\n\n"
        f"{bars}{WILSON}",
    )
    keys = cache.keys(choice.model_id, choice.granularity, choice.choices)
    if left_out := [key for key in keys if key not in scan.keys]:
        st.text(f"Not scanned, because this criterion cannot rank them: {', '.join(left_out)}.")


def _allowed(scan: Scan) -> float:
    return st.slider(
        "Accuracy that one alone may lose, points",
        0.0,
        10.0,
        1.0,
        0.1,
        format="%.1f",
        key="loss-allowed",
        bind="query-params",
        help="Percentage points of accuracy on validation data, against the dense network. Losses of several "
        f"pruned together add up, or worse. One image of {scan.n:,} is {100 / scan.n:.2g} points.",
    )


def _curves(choice: Choice, scan: Scan, allowed: float) -> None:
    measure = st.segmented_control(
        "Curves of",
        ["accuracy", "close-up", *(["loss"] if scan.mode == "exact" else [])],
        default="accuracy",
        required=True,
        key="curves-of",
        persist_state="session",
        help="Close-up: accuracy near the dense network's. Bars: what the images not measured could change; "
        "hollow: inferred. Shaded: the dense network's 95 % interval for other such images. Loss, of exact "
        "scans only: mean cross-entropy in nats; it moves before answers flip.",
    )
    draw = figures.drops if choice.granularity == "layer" else figures.curves
    measure = measure if measure == "close-up" or scan.mode == "exact" else "accuracy"
    figure, data = draw(scan, measure or "accuracy", allowed, charts.colours())
    charts.show(figure, data, key="curves", name=f"{choice.label} sensitivity", highlight=True)


def _heat_map(choice: Choice, scan: Scan, ranked: pd.DataFrame) -> None:
    prunable = dict(zip(ranked["key"], ranked["ratio"], strict=True))
    figure, data = figures.heat_map(scan, prunable, charts.colours())
    charts.show(figure, data, key="heat-map", name=f"{choice.label} heat map")


def ranking(choice: Choice, scan: Scan, allowed: float) -> pd.DataFrame:
    """What each key alone can lose within a loss, most prunable first.

    Args:
        allowed: percentage points.
    Returns:
        One row a key: key, ratio, lost (points), kept, size, saved (parameters that are gone or zero, %).
    """
    costs, dense = cache.cost_model(choice.model_id, choice.choices), scan.dense.accuracy
    rows = []
    for key, ratio in scan.prunable(allowed).items():
        point = next((p for p in scan.curve(key) if p.ratio == ratio), None)
        if point is None:  # not even the smallest measured ratio
            size = scan.curve(key)[0].size if scan.curve(key) else 0
            rows.append((key, 0.0, 0.0, size, size, 0.0))
            continue
        kept = {key: point.kept}
        cost = kinds.cost(costs, choice.granularity, kept)
        saved = 100 * (1 - cost.nonzero / costs.dense.parameters)
        rows.append((key, ratio, 100 * (dense - point.accuracy), point.kept, point.size, saved))
    found = pd.DataFrame(rows, columns=["key", "ratio", "lost", "kept", "size", "saved"])
    return found.sort_values(["ratio", "saved"], ascending=False, kind="stable", ignore_index=True)


def _table(choice: Choice, scan: Scan, allowed: float) -> pd.DataFrame:
    """The ranked table; its rows."""
    ranked = ranking(choice, scan, allowed)
    counts = [f"{kept:,} of {size:,}" for kept, size in zip(ranked["kept"], ranked["size"], strict=True)]
    shown = ranked.assign(ratio=100 * ranked["ratio"], kept=counts).drop(columns="size")
    unit = "Group" if choice.granularity == "channel" else "Layer"
    number = st.column_config.NumberColumn
    st.dataframe(
        shown,
        hide_index=True,
        height="content" if len(shown) <= 12 else 420,
        key="ranking",
        column_order=["key", "ratio", "lost", "saved", "kept"],
        column_config={
            "key": st.column_config.TextColumn(unit),
            "ratio": st.column_config.ProgressColumn(
                "Prunable to",
                min_value=0,
                max_value=100,
                format="%.0f %%",
                help=f"The largest ratio up to which no point loses more than {allowed:g} points. Of an "
                "adaptive scan by its estimates, which its precision bounds.",
            ),
            "lost": number("Lost", format="%.1f pt", help="Points of accuracy lost there; negative: gained."),
            "saved": number(
                "Saved",
                format="%.1f %%",
                help="Share of the network's parameters, if only this one is pruned.",
            ),
            "kept": "Kept",
        },
        alt=f"How far each {unit.lower()} can be pruned within {allowed:g} points",
    )
    return ranked


def _recipe(choice: Choice, found: work.Found, ranked: pd.DataFrame) -> None:
    """What the whole table would come to, and the button that makes it the recipe."""
    scan, session = found.scan, state.session()
    assert scan is not None
    cut = ranked[ranked["kept"] < ranked["size"]]
    ratios = {key: float(ratio) for key, ratio in zip(cut["key"], cut["ratio"], strict=True)}
    kept = {key: int(count) for key, count in zip(cut["key"], cut["kept"], strict=True)}
    costs = cache.cost_model(choice.model_id, choice.choices)
    cost = kinds.cost(costs, choice.granularity, kept)
    predicted = scan.predict(ratios)
    with st.grid(3, min_column_width=110):
        less = 1 - cost.nonzero / costs.dense.parameters
        st.metric("Parameters", _minus(less), border=True, help="All rows together, counted exactly.")
        st.metric(
            "MACs",
            _minus(1 - cost.macs / costs.dense.macs),
            border=True,
            help="All rows together, counted exactly. Zeros in place save none.",
        )
        st.metric(
            "Predicted",
            "unknown" if predicted is None else f"{100 * predicted:.1f} %",
            border=True,
            help=f"Accuracy of all rows together, predicted for {scan.n:,} validation images as if the "
            "losses of each added up. The Prune page measures it; expect less where much is cut at once.",
        )
    if st.button(
        "Make this table the recipe",
        key="make-recipe",
        type="primary",
        icon=":material/arrow_forward:",
        disabled=found.busy or not ratios,
        help="Sets these ratios on the Prune page, by this criterion; locked rows there stay. Undo takes it "
        "back."
        if ratios
        else "Nothing can be pruned within this loss: allow more.",
    ):
        locked = {key: session.ratios.get(key, 0.0) for key in session.locked}
        same = (choice.granularity, choice.choices) == (session.granularity, session.choices)
        session.set(
            granularity=choice.granularity,
            criterion=choice.criterion,
            scope="layer",
            **(asdict(choice.choices) if choice.granularity == "channel" else {}),
            ratios={key: r for key, r in {**ratios, **(locked if same else {})}.items() if r},
        )
        shell.turn_to("prune")


def _minus(share: float) -> str:
    return f"−{percent(share, 0)}" if share >= 0.005 else percent(0, 0)
