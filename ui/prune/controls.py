"""What is decided for all rows at once: granularity, criterion, scope, rounding, presets."""

from __future__ import annotations

import streamlit as st

import pruning
from ui import cache, granularity, state, ways
from ui.prune import layers, presets
from ui.state import Session, Target

MULTIPLES = (1, 2, 4, 8, 16, 32, 64)
SCOPE = {"layer": "Each row", "global": "All rows"}
PRESET, TARGET, OF = "preset-name", "preset-target", "preset-of"


def draw(session: Session) -> None:
    """One line of controls above the figures."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="xsmall", key="prune-controls"):
        _granularity(session)
        if session.granularity == "channel":
            _choices(session)
        _criterion(session)
        if session.granularity != "layer":  # layers are switches: nothing to rank together or to round
            _scope(session)
            _rounding(session)
        if session.criterion == "random":
            st.number_input("Seed", 0, 2**31 - 1, width=110, **state.bind("seed"))
        with (
            st.popover("Presets", icon=":material/tune:", width="content", key="presets"),
            st.container(width=400),
        ):
            layers.presets(session) if session.granularity == "layer" else _presets(session)


def _granularity(session: Session) -> None:
    def choose() -> None:
        chosen = state.value("granularity") or session.granularity
        session.set(granularity=chosen, criterion=cache.criterion_for(chosen, session.criterion))

    st.selectbox(
        "What is pruned",
        granularity.offered(session.model_id, session.granularity),
        format_func=granularity.label,
        filter_mode=None,
        width=170,
        help=granularity.help_text(session.granularity),
        **state.tie("granularity", session.granularity, choose),
    )


def _choices(session: Session) -> None:
    """How groups are found, where it makes a difference."""
    if ways.heads_matter(session.model_id, session.choices):
        st.selectbox(
            "Heads",
            list(ways.HEADS),
            format_func=ways.HEADS.__getitem__,
            filter_mode=None,
            width=130,
            help=f"{ways.HEADS_HELP} {ways.ANEW}",
            **state.bind("heads"),
        )
    if ways.norms_matter(session.model_id, session.choices):
        st.selectbox(
            "Residual stream",
            list(ways.NORMS),
            format_func=ways.NORMS.__getitem__,
            filter_mode=None,
            width=145,
            help=f"{ways.NORMS_HELP} {ways.ANEW}",
            **state.bind("norms"),
        )


def _criterion(session: Session) -> None:
    names = [name for name in pruning.CRITERIA if cache.criterion_fits(name, session.granularity)]
    entry = pruning.CRITERIA[session.criterion]
    st.selectbox(
        "Criterion",
        names,
        format_func=lambda name: pruning.CRITERIA[name].label,
        filter_mode=None,
        width=205,
        help=f"What goes first: the lowest scores. **{entry.label}**: {entry.description}\n\n"
        f"Source: {entry.source}",
        **state.bind("criterion"),
    )


def _scope(session: Session) -> None:
    def choose() -> None:
        session.set(scope=state.value("scope") or session.scope)

    st.segmented_control(
        "Ranked within",
        list(SCOPE),
        format_func=SCOPE.__getitem__,
        required=True,
        disabled=granularity.ranked_alone(session.granularity),
        help="Each row: every row loses exactly its own ratio. All rows: the scores of all rows are ranked "
        "together, and as many of the lowest go as the ratios ask for in total, wherever they are "
        "(Han et al. 2015, arXiv:1506.02626). N:M and kernel patterns are always ranked within each row.",
        **state.tie("scope", session.scope, choose),
    )


def _rounding(session: Session) -> None:
    choices = sorted({*MULTIPLES, session.multiple_of})
    st.selectbox(
        "Round kept to",
        choices,
        format_func=lambda number: "exact count" if number == 1 else f"multiples of {number}",
        filter_mode=None,
        width=150,
        disabled=session.granularity != "channel",
        help="Kept channel counts are rounded up to a multiple: many processors are slow at odd counts. "
        "Attention heads are not rounded; at least one unit always stays.",
        **state.bind("multiple_of"),
    )


def _presets(session: Session) -> None:
    offers = presets.offered(session)
    name = st.selectbox(
        "Share the target",
        list(offers),
        format_func=lambda key: pruning.ALLOCATIONS[key].label,
        key=PRESET,
        filter_mode=None,
        width=340,
    )
    entry = pruning.ALLOCATIONS[name]
    st.caption(f"{entry.description} Source: {entry.source}.")
    measures = (
        ["parameters", "units", "MACs"] if session.granularity == "channel" else ["parameters", "units"]
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.number_input("Remove, in %", 0.0, 100.0, 50.0, 5.0, format="%.1f", key=TARGET, width=130)
        st.selectbox(
            "of the",
            measures,
            format_func={
                "parameters": "network's parameters",
                "MACs": "network's MACs",
                "units": f"unlocked rows' {'units' if session.granularity == 'channel' else 'weights'}",
            }.__getitem__,
            key=OF,
            filter_mode=None,
            width=198,
            help="Half of all channels is about three quarters of the weights between them: say what you "
            "mean. For parameters or MACs the ratios are searched until the exact count reaches the share.",
        )
    if offers[name]:
        st.caption(offers[name])
    free = len(session.free)
    st.button(
        f"Apply to {free} row{'s' * (free != 1)}",
        type="primary",
        key="apply-preset",
        disabled=bool(offers[name]) or not free,
        help="Locked rows stay as they are; Undo takes it back.",
        on_click=_apply,
        args=(session,),
    )


def _apply(session: Session) -> None:
    try:
        found = presets.ratios(
            session, state.value(PRESET), state.value(TARGET, 50.0) / 100, state.value(OF, "parameters")
        )
    except ValueError as error:
        session.note = str(error)
    else:
        session.set_ratios(found)
        session.target = Target(
            state.value(TARGET, 50.0) / 100, state.value(OF, "parameters"), session.ratios
        )
