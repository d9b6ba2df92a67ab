"""What is looked at on the Groups page: how the network is cut, which group, and its facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import streamlit as st

from pruning import Group
from pruning.groups.choices import Choices, Heads, Norms
from ui import cache, shell, state, ways
from ui.figures.words import percent
from ui.groups import words
from ui.state import Session

if TYPE_CHECKING:
    import pandas as pd

Option = TypeVar("Option", Heads, Norms)
_HELD = " normalises over it"  # in the reason why a dimension stays whole
COLUMNS = {
    "group": "Named after the first layer that makes its units.",
    "units": "What one ratio takes a share of.",
    "parameters": "Share of the network's parameters that the whole group carries: all rows, columns and "
    "entries of its units. Groups overlap: a weight between two of them counts for both. Exact.",
    "MACs": "The same share of the multiply-accumulates for one image. Exact.",
    "layers": "Layers whose outputs are these units and which therefore lose the same ones.",
    "parameters each": "Parameters that go with one unit, all else whole. Exact.",
    "MACs each": "Multiply-accumulates that go with one unit, all else whole. Exact.",
    "grade": " ".join(f"{grade}: {meaning}." for grade, meaning in words.GRADES.items()),
}


def choose(session: Session) -> Choices:
    """How the groups are found, where there are several ways: a look that starts as the Prune page has it."""
    own, model = session.draft, session.model_id
    current = Choices(own.heads, own.norms)
    heads, norms = current.heads, current.norms
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        if ways.heads_matter(model, current):
            heads = _choice("Heads", "heads", ways.HEADS, current.heads, ways.HEADS_HELP)
        if ways.norms_matter(model, replace(current, heads=heads)):
            norms = _choice("What norms average over", "norms", ways.NORMS, current.norms, ways.NORMS_HELP)
        choices = Choices(heads, norms)
        if choices != current:
            st.button(
                "Prune this way",
                on_click=lambda: _take(session, choices),
                help=f"Makes it the Prune page's choice. {ways.ANEW}",
            )
    held = sum(_HELD in one.reason for one in cache.structure(model, choices).fixed)
    if choices != current:
        st.caption(
            "A look only, on this page: the Prune page cuts heads "
            f"“{ways.HEADS[current.heads].lower()}”, and what norms average over "
            f"“{ways.NORMS[current.norms].lower()}”."
        )
    elif held:
        st.caption(
            f"{held} dimensions stay whole because norms average over them; turn to "
            f"“{ways.NORMS['statistics']}” to see what they couple."
        )
    return choices


def _choice(label: str, key: str, options: Mapping[Option, str], default: Option, tip: str) -> Option:
    """One of the ways; the address keeps it by its label."""
    chosen: Option = st.segmented_control(
        label,
        list(options),
        default=default,
        required=True,
        format_func=options.__getitem__,
        key=key,
        bind="query-params",
        help=tip,
    )
    return chosen


def _take(session: Session, choices: Choices) -> None:
    criterion = cache.criterion_for("channel", session.criterion)
    session.set(granularity="channel", criterion=criterion, heads=choices.heads, norms=choices.norms)


def choose_group(session: Session, choices: Choices) -> Group | None:
    """The list of groups, the largest first; the chosen one, or None if there are no groups."""
    groups = cache.structure(session.model_id, choices).by_id
    if not groups:
        st.info("No unit of this network can be removed; single weights can be masked.")
        return None
    data = group_table(session.model_id, choices)
    names = list(data["group"])
    asked = state.asked("group")
    chosen = st.selectbox(
        "Group",
        names,
        index=names.index(first(groups, names)),
        key="group",
        bind="query-params",
        help="Type to search. Or select a row of the list.",
    )
    if asked and asked not in groups:
        st.info(
            "This network has no group of the name in the address; another one is shown.",
            icon=":material/info:",
        )
    _list(data, names.index(chosen))
    return groups[chosen]


def first(groups: dict[str, Group], names: list[str]) -> str:
    """What to show first: of those that tie several layers together the largest, else the largest."""
    tying = (name for name in names if len(groups[name].producers) > 1)
    return next(tying, names[0])


def _list(data: pd.DataFrame, chosen: int) -> None:
    """Draw the table with the chosen row selected; a click on another one chooses that."""

    def choose_row() -> None:
        rows = state.value("group-list").selection.rows
        if rows:
            state.put("group", str(data["group"].iloc[rows[0]]))

    tied = state.tie("group-list", {"selection": {"rows": [chosen], "columns": [], "cells": []}}, choose_row)
    share: dict[str, Any] = {"min_value": 0.0, "max_value": 100.0, "format": "%.1f %%", "width": 84}
    number = st.column_config.NumberColumn
    st.dataframe(
        data,
        hide_index=True,
        height=min(560, 38 + 35 * len(data)),
        selection_mode="single-row-required",
        key=tied["key"],
        on_select=tied["on_change"],
        alt="The groups of this network; one row each",
        column_config={
            "group": st.column_config.TextColumn(help=COLUMNS["group"], width=165),
            "units": st.column_config.TextColumn(help=COLUMNS["units"], width=90),
            "layers": number(help=COLUMNS["layers"], width=52),
            "parameters": st.column_config.ProgressColumn(help=COLUMNS["parameters"], **share),
            "MACs": st.column_config.ProgressColumn(help=COLUMNS["MACs"], **share),
            "parameters each": number(help=COLUMNS["parameters each"], format="localized"),
            "MACs each": number(help=COLUMNS["MACs each"], format="localized"),
            "grade": st.column_config.TextColumn(help=COLUMNS["grade"]),
        },
    )


def group_table(model_id: str, choices: Choices) -> pd.DataFrame:
    """One row a group, the one that carries most parameters first."""
    import pandas as pd

    costs = cache.cost_model(model_id, choices)
    rows = [
        {
            "group": group.id,
            "units": words.units(group),
            "layers": len(group.producers),
            "parameters": 100 * shares[0],
            "MACs": 100 * shares[1],
            "parameters each": costs.parameters_per_unit[group.id],
            "MACs each": costs.macs_per_unit[group.id],
            "grade": group.grade,
        }
        for group in cache.structure(model_id, choices).groups
        for shares in [carried(model_id, choices, group.id)]
    ]
    return pd.DataFrame(rows).sort_values("parameters", ascending=False, kind="stable", ignore_index=True)


def carried(model_id: str, choices: Choices, group: str) -> tuple[float, float]:
    """Shares of the network's parameters and MACs that go if the whole group does."""
    costs = cache.cost_model(model_id, choices)
    without, dense = costs.cost({group: 0}), costs.dense
    macs = 1 - without.macs / dense.macs if dense.macs else 0.0
    return 1 - without.parameters / dense.parameters, macs


def facts(session: Session, choices: Choices, group: Group) -> None:
    """The chosen group in words and in figures."""
    operations = words.operations(group) or "nothing, each unit can go by itself"
    st.html(
        f"<p style='margin:0 0 .4rem'>{words.in_html(group.why)}</p>"
        f"<p style='margin:0;opacity:.75'>Coupled by: {words.in_html(operations)}.</p>"
    )
    st.caption(f"Grade: **{group.grade}**.", help=COLUMNS["grade"])
    costs = cache.cost_model(session.model_id, choices)
    parameters, macs = carried(session.model_id, choices, group.id)
    _, several = words.UNITS[group.kind]
    each = shell.count(costs.parameters_per_unit[group.id]), shell.count(costs.macs_per_unit[group.id])
    blocks = f", {group.multiple} rows each" if group.multiple > 1 else ""
    bounds = f"at least {group.minimum} stays{blocks}"
    cards = (
        (several.capitalize(), f"{group.size:,}", bounds, COLUMNS["units"]),
        ("Layers tied", f"{len(group.producers)}", f"read by {len(group.consumers)}", COLUMNS["layers"]),
        ("Parameters", percent(parameters), f"{each[0]} per unit", COLUMNS["parameters"]),
        ("MACs", percent(macs), f"{each[1]} per unit", COLUMNS["MACs"]),
    )
    with st.grid(4, min_column_width=118):
        for label, value, under, tip in cards:
            st.metric(label, value, under, delta_color="off", delta_arrow="off", help=tip, border=True)
