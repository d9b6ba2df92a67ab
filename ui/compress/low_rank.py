"""Which layers become two or three smaller ones, and how far: the first stage, above the board."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from pruning import MissingData
from pruning.lowrank import METHODS, Candidate, LowRank
from pruning.lowrank.geometry import Ranks
from ui import cache, charts, latency_setting, shell, state
from ui.compress import factorised, rank_scan, timed
from ui.compress.deciding import decide
from ui.compress.factorised import Made
from ui.figures import low_rank as figures
from ui.finetune.fields import described
from ui.state import Session

ENERGY = {False: 0.9, True: 0.98}  # at first, without and with data; both lose about as much
_WHAT = (
    "Layers become two or three smaller ones before anything else is done; they are then pruned, trained, "
    "shared and coded like any."
)
_NOT_HERE = (
    "The network of the chosen run is pruned and trained already, so it cannot be factorised here; choose "
    "another network below."
)
_RANKS = ("rank", "rank of outputs")  # columns that can be edited


def draw(session: Session) -> None:
    """The switch, and below it what is factorised."""
    settings = session.decided.low_rank
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="compress-low-rank"):
        st.toggle(
            "Low rank",
            disabled=bool(session.decided.source),
            help=_NOT_HERE if session.decided.source else _WHAT,
            **state.tie(_key(session, "on"), settings is not None, lambda: switch(session)),
        )
        if settings is None or session.decided.source:
            return
        _controls(session, settings)
    with shell.errors_here():
        made = factorised.made(session.model_id, settings)
        _totals(made)
        with st.expander("Ranks, layer by layer"):
            _table(session, settings, made)
            _spectrum(session, settings, made)
            rank_scan.draw(session, settings)
        dense = cache.model(session.model_id).module
        timed.draw(
            session,
            f"low rank {session.model_id} {cache.weights_digest(session.model_id)} {settings.digest}",
            "Measure the factorised network against the dense one",
            "the dense network",
            lambda: (made.module, dense),
            latency_setting.current(),
        )


def switch(session: Session) -> None:
    """On with usual settings, or off."""
    _decide(session, None if session.decided.low_rank else usual(session))


def usual(session: Session) -> LowRank:
    """Tucker-2 is seldom faster, a network without convolutions needs no more than the SVD, and weighed by
    data they cut far more at the same accuracy."""
    kinds = {layer.kind for layer in cache.layers(session.model_id)}
    try:
        data = bool(cache.task(session.model_id))
    except MissingData:
        data = False
    method = "channel-svd" if any("convolution" in kind for kind in kinds) else "svd"
    return LowRank(method=method, energy=ENERGY[data], data=data)


def _decide(session: Session, settings: LowRank | None) -> None:
    """Layers that come to be take over bits (`Decided.sharing_of`); their locks were of other rows."""
    update: dict[str, Any] = {"low_rank": settings}
    if (settings is None) != (session.decided.low_rank is None):
        update["locked"] = frozenset()
    decide(session, session.decided.model_copy(update=update))


def _controls(session: Session, settings: LowRank) -> None:
    labels = {name: one.label for name, one in METHODS.items()}
    st.selectbox(
        "Method",
        list(labels),
        format_func=labels.__getitem__,
        filter_mode=None,
        width=160,
        help=described(METHODS),
        **state.tie(_key(session, "method"), settings.method, lambda: _take_method(session, settings)),
    )
    if settings.ranks is None:
        energy = 100 * (settings.energy or ENERGY[settings.data])
        st.slider(
            "Energy kept, %",
            50.0,
            100.0,
            step=0.5,
            format="%.1f",
            width=280,
            help="Share of each weight's sum of squares that the lower rank keeps at least; layers that "
            "would not get cheaper stay whole.",
            **state.tie(_key(session, "energy"), energy, lambda: _take_energy(session, settings)),
        )
    else:
        st.button(
            "Ranks by energy again",
            key="low-rank-energy-again",
            on_click=_decide,
            args=(
                session,
                LowRank(method=settings.method, energy=ENERGY[settings.data], data=settings.data),
            ),
        )
    if METHODS[settings.method].takes_data:
        st.toggle(
            "Weigh by data",
            help="Errors count by what calibration images make of the layer's inputs; the energy is then "
            "that of its outputs, of which a few directions hold most: 98 % of it lose about as much as 90 % "
            "without.",
            **state.tie(_key(session, "data"), settings.data, lambda: _take_data(session, settings)),
        )


def _take_method(session: Session, settings: LowRank) -> None:
    method = str(state.value(_key(session, "method")))
    data = settings.data and METHODS[method].takes_data
    _decide(session, LowRank(method=method, energy=_energy(settings, data), data=data))


def _take_energy(session: Session, settings: LowRank) -> None:
    energy = round(float(state.value(_key(session, "energy"))) / 100, 4)
    _decide(session, LowRank(method=settings.method, energy=energy, data=settings.data))


def _take_data(session: Session, settings: LowRank) -> None:
    data = not settings.data
    energy = _energy(settings, data) if settings.ranks is None else None
    _decide(session, settings.model_copy(update={"data": data, "energy": energy}))


def _energy(settings: LowRank, data: bool) -> float:
    """The energy goes on; where nobody has chosen it, that of the other way to weigh errors is meant."""
    before = ENERGY[settings.data]
    return ENERGY[data] if settings.energy in (None, before) else settings.energy or before


def _totals(made: Made) -> None:
    before, after, many = made.before, made.after, len(made.plan.ranks)
    parameters, macs = after.parameters / before.parameters, after.macs / max(1, before.macs)
    st.markdown(
        f"**{many} layer{'s' * (many != 1)} factorised**: parameters {before.parameters:,} → "
        f"{after.parameters:,} ({100 * parameters:.1f} %), MACs of one image {shell.count(before.macs)} → "
        f"{shell.count(after.macs)} ({100 * macs:.1f} %); counted exactly."
    )


def _table(session: Session, settings: LowRank, made: Made) -> None:
    able = [one for one in made.plan.candidates if not one.reason]
    key = f"low-rank-table-{session.version}"
    two = any(len(one.most) == 2 for one in able)
    column = st.column_config
    fixed = ["layer", "highest", "parameters", "→ parameters", "MACs", "→ MACs", "squared error, %"]
    st.data_editor(
        pd.DataFrame([_row(one, made, two=two) for one in able]),
        hide_index=True,
        key=key,
        disabled=fixed,
        placeholder="whole",
        on_change=lambda: _take_ranks(session, settings, made, able, key),
        column_config={
            "factorise": column.CheckboxColumn(width=70),
            _RANKS[0]: column.NumberColumn(
                "rank of inputs" if two else "rank", min_value=1, step=1, width=95, help="Type another one."
            ),
            _RANKS[1]: column.NumberColumn(min_value=1, step=1, width=110),
            "parameters": column.NumberColumn(format="localized"),
            "→ parameters": column.NumberColumn(format="localized"),
            "MACs": column.NumberColumn(format="compact"),
            "→ MACs": column.NumberColumn(format="compact"),
            "squared error, %": column.NumberColumn(format="%.2f", help="Of the weight's squares, exact."),
        },
    )
    for said in whole(settings, made):
        st.caption(shell.literal(said))


def whole(settings: LowRank, made: Made) -> list[str]:
    """Why layers stay whole, a sentence for each reason."""
    reasons: dict[str, list[str]] = {}
    for one in made.plan.candidates:
        if one.name not in made.plan.ranks:
            by_hand = "Left out by hand."
            cheap = f"The ranks that keep {100 * (settings.energy or 0):g} % would make it no cheaper."
            reason = one.reason or (by_hand if settings.ranks is not None else cheap)
            reasons.setdefault(reason, []).append(one.name)
    return [f"{', '.join(names)}: whole. {reason}" for reason, names in reasons.items()]


def _row(one: Candidate, made: Made, *, two: bool) -> dict[str, Any]:
    ranks = made.plan.ranks.get(one.name)
    return {
        "factorise": ranks is not None,
        "layer": one.name,
        _RANKS[0]: ranks[0] if ranks else None,
        **({_RANKS[1]: ranks[1] if ranks and len(ranks) == 2 else None} if two else {}),
        "highest": " × ".join(map(str, one.most)),
        "parameters": one.parameters,
        "→ parameters": one.parameters_at(ranks) if ranks else one.parameters,
        "MACs": one.macs,
        "→ MACs": one.macs_at(ranks) if ranks else one.macs,
        "squared error, %": 100 * made.errors[one.name] if ranks else 0.0,
    }


def _take_ranks(session: Session, settings: LowRank, made: Made, able: list[Candidate], key: str) -> None:
    """Ranks by hand; what is out of its range becomes the nearest that is in it."""
    ranks, said = dict(made.plan.ranks), ""
    for number, edit in (state.value(key) or {}).get("edited_rows", {}).items():
        one = able[int(number)]
        if edit.get("factorise") is False:
            ranks.pop(one.name, None)
            continue
        ranks[one.name] = edited(one, ranks.get(one.name), edit)
        said = said or beyond(one, ranks[one.name], edit)
    _decide(session, LowRank(method=settings.method, ranks=ranks, data=settings.data))
    session.note = said


def edited(one: Candidate, before: Ranks | None, edit: dict[str, Any]) -> Ranks:
    """The ranks of a layer after an edit of its row; half of the highest where it was whole."""
    now = list(before or (max(1, most // 2) for most in one.most))
    for place, column in enumerate(_RANKS[: len(now)]):
        if edit.get(column):
            now[place] = min(max(1, int(edit[column])), one.most[place])
    return one.fitted(tuple(now))


def beyond(one: Candidate, now: Ranks, edit: dict[str, Any]) -> str:
    """What became of a rank that the layer cannot have, in a sentence; "" if it has what was typed."""
    asked = [(edit[column], rank) for column, rank in zip(_RANKS, now, strict=False) if edit.get(column)]
    if all(wanted == rank for wanted, rank in asked):
        return ""
    highest = " × ".join(map(str, one.most))
    return (
        f"{one.name} cannot have that rank, since its ranks go from 1 to {highest}; the nearest is "
        f"{' × '.join(map(str, now))}."
    )


def _spectrum(session: Session, settings: LowRank, made: Made) -> None:
    able = {one.name: one for one in made.plan.candidates if not one.reason}
    if not able:
        return
    first = next((number for number, name in enumerate(able) if name in made.plan.ranks), 0)
    layer: str = st.selectbox(
        "Layer",
        list(able),
        index=first,
        format_func=shell.literal,
        key="low-rank-layer",
        filter_mode=None,
        width=300,
    )
    weight = cache.model(session.model_id).module.get_parameter(f"{layer}.weight").detach()
    spectra = METHODS[able[layer].method].spectra(weight, made.plan.roots.get(layer))
    figure, data = figures.spectrum(
        layer, [values.cpu().numpy() for values in spectra], made.plan.ranks.get(layer, ()), charts.colours()
    )
    charts.show(figure, data, key="spectrum", name=f"{session.model} {layer} spectrum")
    weighed = "weighed by calibration images" if layer in made.plan.roots else "of the weight alone"
    st.caption(f"Squares of the singular values, {weighed}; computed, not estimated.")


def _key(session: Session, name: str) -> str:
    return f"low-rank-{name}-{session.version}"
