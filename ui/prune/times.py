"""Measured time in detail: against the channels of one group, and where the time of a forward goes."""

from __future__ import annotations

import streamlit as st

import pruning
from pruning.latency import LayerProfile
from ui import cache, channels, charts, latency_setting, shell
from ui.figures import latency as figures
from ui.jobs import Job
from ui.latencies import Setting
from ui.prune.facts import Facts
from ui.sensitivity import status
from ui.state import Session

POLL_S = 0.5
ALL = "All groups"
ROW, CARE, SHOWN = "channels-row", "channels-care", "channels-shown"
LAYERS = "layers-in-turns"  # kind of the jobs
LAYERS_S = 1.5  # budget of each network


def draw(session: Session, now: Facts) -> None:
    """Two measurements side by side, each behind its button."""
    left, right = st.columns(2, gap="large")
    setting = latency_setting.current()
    with left, shell.errors_here():
        if session.granularity == "channel":
            _poll(_channels, channels.job(session.model_id, setting, session.choices), session, now, setting)
        else:
            st.caption("Time against channels: choose channels under “What is pruned”.")
    with right, shell.errors_here():
        _poll(_layers, cache.jobs().get(LAYERS, _layers_key(session, now, setting)), session, now, setting)


def _poll(part, job: Job | None, *given) -> None:  # type: ignore[no-untyped-def]
    busy = job is not None and job.busy
    st.fragment(part, run_every=POLL_S if busy else None)(*given, busy)


# Time against channels


def _channels(session: Session, now: Facts, setting: Setting, drawn_busy: bool) -> None:
    job = channels.job(session.model_id, setting, session.choices)
    busy = job is not None and job.busy
    if busy != drawn_busy:
        st.rerun()  # begun or ended: the page starts or stops to poll, and the sliders get their marks
    keys = [
        group.id
        for group in cache.structure(session.model_id, session.choices).groups
        if group.size > group.minimum
    ]
    shell.section(
        "Time against channels",
        help="The network is cut in this one group to many counts (multiples of 8 and 16, odd ones beside "
        "them), and all are timed in turns in random order. A good count is the last of a plateau: one "
        "channel more, and every larger count measured, takes at least 2 % longer, beyond the 95 % interval "
        "of the ratio (sign test). They are marked on the sliders. Time need not follow MACs.",
    )
    if job is not None and busy:
        status.progress(job, "channels", lambda job: f"{len(job.parts)} groups measured")
    else:
        _offer(session, keys, setting)
        if job is not None and job.state == "failed":
            st.error(shell.literal(job.error), icon=":material/error:")
    known = {key: channels.find(session.model_id, key, setting, session.choices) for key in keys}
    measured = [key for key, table in known.items() if table is not None]
    if not measured:
        if not busy:
            st.caption(f"Not measured yet on this machine ({setting.words}).")
        return
    shown = st.selectbox("Show", measured, key=SHOWN, filter_mode=None, label_visibility="collapsed")
    table = known[shown]
    assert table is not None
    kept = {entry.key: entry.kept for entry in now.plan.entries}
    figure, data = figures.channels(table, kept.get(shown), charts.colours())
    charts.show(figure, data, key="time-channels", name=f"{session.model} time against channels")
    st.caption(
        f"{table.said} Measured: {_words(table, setting)}, {table.points[-1].turns} turns; "
        "holds for this machine."
    )


def _words(table: pruning.ChannelTable, setting: Setting) -> str:
    """How a table was measured."""
    return Setting(table.batch_size, table.threads, table.way, setting.place).words


def _offer(session: Session, keys: list[str], setting: Setting) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        row = st.selectbox("Row", [ALL, *keys], key=ROW, persist_state="session", filter_mode=None, width=200)
        care = st.segmented_control(
            "Care",
            list(channels.CARE),
            default="Quick",
            required=True,
            key=CARE,
            persist_state="session",
            help="Seconds of measuring for each group: "
            + ", ".join(f"{name.lower()} {seconds:g}" for name, seconds in channels.CARE.items())
            + ". Cutting the networks comes on top.",
        )
        chosen = keys if row == ALL else [row]
        seconds = channels.CARE[care or "Quick"]
        st.button(
            f"Measure good channel counts, about {status.duration(1.3 * seconds * len(chosen))}",
            icon=":material/straighten:",
            key="channels-start",
            on_click=_start,
            args=(session, chosen, setting, seconds),
        )


def _start(session: Session, keys: list[str], setting: Setting, seconds: float) -> None:
    channels.start(session.claim(), session.model_id, keys, setting, session.choices, seconds)


# Where the time goes


def _layers(session: Session, now: Facts, setting: Setting, drawn_busy: bool) -> None:
    key = _layers_key(session, now, setting)
    job = cache.jobs().get(LAYERS, key)
    busy = job is not None and job.busy
    if busy != drawn_busy:
        st.rerun()
    shell.section(
        "Where the time goes",
        help="Each module is timed by hooks on a private copy, without the modules inside it and without "
        "what the hooks themselves cost, which is measured in the same turns; the bars of a network sum to "
        "the time of its whole forward.",
    )
    if job is not None and busy:
        status.progress(job, "layers", lambda _: "Timing every module")
        return
    if job is not None and job.state == "failed":
        st.error(shell.literal(job.error), icon=":material/error:")
    profiles: tuple[LayerProfile, LayerProfile | None] | None = job.result if job is not None else None
    st.button(
        "Measure again" if profiles else "Measure each layer",
        icon=":material/timer:",
        key="layers-start",
        on_click=_start_layers,
        args=(session, now, setting),
    )
    if profiles is None:
        st.caption(
            "Times every module of the dense and the pruned network, about "
            f"{status.duration(LAYERS_S * (1 if now.untouched else 2))}."
        )
        return
    dense, pruned = profiles
    figure, data = figures.layers(dense.layers, pruned.layers if pruned else None, charts.colours())
    charts.show(figure, data, key="time-layers", name=f"{session.model} time by layer")
    sums = [f"{name} {each.corrected / each.whole:.0%}" for name, each in _named(dense, pruned)]
    st.caption(
        f"Measured: {Setting(dense.batch_size, dense.threads, place=setting.place).words}. Before they "
        f"were made to sum exactly, the bars summed to {', '.join(sums)} of the whole."
    )


def _named(dense: LayerProfile, pruned: LayerProfile | None) -> list[tuple[str, LayerProfile]]:
    return [("dense", dense)] + ([("pruned", pruned)] if pruned else [])


def _layers_key(session: Session, now: Facts, setting: Setting) -> str:
    return repr((session.model_id, now.recipe.digest, setting.batch_size, setting.threads))


def _start_layers(session: Session, now: Facts, setting: Setting) -> None:
    loaded, key = cache.model(session.model_id), _layers_key(session, now, setting)
    networks = [loaded.module]
    if not now.untouched:
        networks.append(cache.pruned(session.model_id, now.recipe))

    def work(job: Job) -> tuple[LayerProfile, LayerProfile | None]:
        found: list[LayerProfile] = []
        for network in networks:
            job.advance(len(found), len(networks))
            found.append(
                pruning.profile_layers(
                    network,
                    loaded.example_inputs,
                    batch_size=setting.batch_size,
                    threads=setting.threads,
                    repeats=200,
                    budget_s=LAYERS_S,
                )
            )
            if job.stop.is_set():
                break
        return found[0], found[1] if len(found) > 1 else None

    cache.jobs().submit(session.claim(), LAYERS, key, work, anew=True)


def good_counts(session: Session, key: str) -> tuple[int, ...]:
    """Counts of a group to mark on its slider, as far as measured with the chosen setting."""
    table = channels.find(session.model_id, key, latency_setting.current(), session.choices)
    return table.good if table else ()
