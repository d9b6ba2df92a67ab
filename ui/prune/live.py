"""The figures that follow a drag: exact ones at once, accuracy batch by batch, latency when the hand rests.

Every `st` call is a point at which the next drag takes over: the board's callback reruns the figures, and
whatever was still being measured is dropped.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import pruning
from pruning.live import LiveEvaluator
from ui import cache, charts, latencies, latency_setting, record, shell, state, ways
from ui.latencies import Setting
from ui.prune import cards, facts
from ui.prune.board import LIVE
from ui.prune.facts import Facts
from ui.state import Session

LATENCY = "prune-latency"
RESULT = "prune-result"
REST_S = 0.5  # the hand has rested this long before time is measured
MASKED = "Zeros in place save no time: every tensor keeps its size. Prune channels to gain time."


def style() -> None:
    """The look of the page's own figures."""
    st.html(Path(__file__).with_name("cards.css"))


@st.fragment(key=LIVE)
def figures() -> None:
    """Parameters, MACs, sparsity, file size and accuracy of what is decided now."""
    session = state.session()
    exact, accuracy = st.columns([22, 13])
    with shell.errors_here():
        now = facts.of(session)
        exact.html(cards.exact(now) + _only_for(now))
        with accuracy:
            _accuracy(session, now)


def _accuracy(session: Session, now: Facts) -> None:
    """The accuracy card, refined after every batch."""
    try:
        evaluator = cache.live(session.model_id, session.choices)
    except pruning.MissingData as error:
        st.html(cards.no_accuracy(now, str(error)))
        return
    waiting = f"measuring on {evaluator.total:,} validation images"
    slot = None
    if not now.untouched and evaluator.known(now.recipe) is None:
        slot = st.html(cards.accuracy(now, session.measured, evaluator.known_dense, waiting))
    for whole, report in _pairs(session, now, evaluator):
        session.measured = report
        kept = evaluator.kept_bytes, evaluator.budget
        card = cards.accuracy(now, report, whole, kept=kept)
        slot = st.html(card) if slot is None else slot.html(card)
    record.evaluation(session, now, evaluator)


def _pairs(
    session: Session, now: Facts, evaluator: LiveEvaluator
) -> Iterator[tuple[pruning.Report, pruning.Report]]:
    """Reports of the dense and the pruned network, side by side as long as the dense one is not complete."""
    dense = evaluator.dense_reports()
    if now.untouched:
        for whole in dense:
            yield whole, whole
        return
    whole = next(dense)
    scores = cache.scores(session.model_id, *session.how)
    for report in evaluator.reports(now.recipe, scores):
        yield whole, report
        while whole.n < report.n:
            whole = next(dense)
            yield whole, report


@st.fragment(key=LATENCY)
def latency() -> None:
    """The time of the really pruned network, measured in turns with the dense one."""
    session = state.session()
    with shell.errors_here():
        now = facts.of(session)
        mark = _for(now)
        slot = st.html(cards.latency(None, MASKED if now.masked else "") + mark)
        if now.masked:
            return
        setting = _setting()
        images = _images(cache.model(session.model_id))
        found = latencies.known(session.model_id, now.recipe, setting)
        if found is None:
            _rest(slot, cards.latency(None, "measured when the drag rests") + mark)
        peaks = latencies.peaks(session.model_id, now.recipe, setting.batch_size)
        try:
            for timing in [found] if found else _timings(session, now, setting, slot, mark):
                slot.html(cards.latency(timing, "", images, peaks) + mark)
            _record(session, now)
        except ValueError as error:
            slot.html(cards.latency(None, str(error)) + mark)


def _record(session: Session, now: Facts) -> None:
    """The history gets the latency, too."""
    with suppress(pruning.MissingData):
        record.evaluation(session, now, cache.live(session.model_id, session.choices))


def _setting() -> Setting:
    """How it is measured, in a popover at the foot of the card."""
    with (
        st.container(key="latency-how"),
        st.popover(latency_setting.current().words, type="tertiary", key="latency-setting"),
        st.container(width=260),
    ):
        return latency_setting.choose()


def _timings(
    session: Session, now: Facts, setting: Setting, slot: DeltaGenerator, mark: str
) -> Iterator[pruning.Timing]:
    """Timings as they come; compiling goes on in the background, since no drag could take over meanwhile."""
    if setting.way != "compiled":
        yield from latencies.measure(session.model_id, now.recipe, untouched=now.untouched, setting=setting)
        return
    owner = session.claim()
    job = latencies.start(owner, session.model_id, now.recipe, untouched=now.untouched, setting=setting)
    try:
        while job.busy:
            if job.parts:
                yield job.parts[-1]
            else:
                said = f"compiling, {job.elapsed:.0f} s" if job.started else "waiting for another measurement"
                slot.html(cards.latency(None, said) + mark)
            time.sleep(0.2)
    finally:
        cache.jobs().cancel(job, owner, forget=True)
    if job.state == "failed":
        raise ValueError(job.error)
    yield from job.parts[-1:]


def result(session: Session, now: Facts) -> None:
    """How the pruned network relates to the masked one, and what it is; nothing as long as it is whole."""
    if not now.untouched:
        ways.say_result(session.model_id, now.recipe)
        st.page_link(
            "pages/finetune.py",
            label="Get accuracy back: recalibrate BatchNorm in one click, or train",
            icon=":material/healing:",
            query_params={},
        )
    st.html(_for(now))


def _rest(slot: DeltaGenerator, shown: str) -> None:
    """Wait until the hand has rested, in steps at which the next drag takes over."""
    end = time.monotonic() + REST_S
    while time.monotonic() < end:
        slot.html(shown)
        time.sleep(0.05)


def _images(loaded: pruning.LoadedModel) -> str:
    channels, *sides = loaded.example_inputs[0].shape[1:]
    return f"of {' × '.join(map(str, sides))} × {channels}"


def _for(now: Facts) -> str:
    """A mark that says which recipe a slower figure belongs to."""
    return f'<i class="px-for-{now.recipe.digest}"></i>'


def _only_for(now: Facts) -> str:
    """A style that fades slower figures as long as they belong to another recipe; and the theme's colours."""
    other = f":not(:has(.px-for-{now.recipe.digest}))"
    colours = charts.colours()
    return (
        f"<style>.st-key-{LATENCY}{other}, .st-key-{RESULT}{other}, .st-key-prune-outcome{other}"
        " { opacity: .35; }"
        f":root {{ --px-dense: {colours.dense}; --px-pruned: {colours.pruned}; --px-text: {colours.text};"
        f"--px-surface: {colours.surface}; --px-page: {colours.background}; --px-neutral: {colours.grid}; }}"
        "</style>"
    )
