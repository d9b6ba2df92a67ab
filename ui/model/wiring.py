"""How the layers are wired and what must be cut together: the graph, and the groups in a table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import streamlit as st

import pruning
from pruning.graph import is_node
from pruning.layers import Layer
from ui import cache, charts
from ui.figures import model as figures
from ui.figures.theme import Palette
from ui.state import Session

HEIGHT = 620
UNITS = {
    "filter": "filters",
    "neuron": "neurons",
    "head": "heads",
    "inside-head": "dimensions of a head",
    "embedding": "embedding dimensions",
    "recurrent unit": "recurrent units",
}
COLUMNS = {  # name -> what it says
    "colour": "Colour in the graph; grey where only one layer makes the units.",
    "group": "Named after the first layer that makes its units.",
    "units": "What one ratio takes a share of.",
    "layers": "Layers whose outputs are these units; all of them lose the same ones.",
    "parameters each": "Parameters that go with one unit (the first), in all layers. Exact.",
}


@dataclass(frozen=True)
class Coupling:
    """Which layers' outputs go with which group, and the colours that say so.

    Args:
        group_of: drawn layer -> the group that its outputs belong to; missing if they must stay.
        hues: group id -> colour if several drawn layers share it, else None.
    """

    group_of: dict[str, str]
    hues: dict[str, str | None]

    def layers(self, group: str) -> list[str]:
        return [layer for layer, own in self.group_of.items() if own == group]


def coupling(layers: Sequence[Layer], groups: Sequence[pruning.Group], colours: Palette) -> Coupling:
    """Find the layers whose outputs are units of a group; one colour for each group of several layers."""
    weights = {layer.weight: layer.name for layer in layers if is_node(layer)}
    found = {
        weights[member.parameter]: group.id
        for group in groups
        for member in group.members
        if member.parameter in weights and member.dim == 0 and member.role != "consumer"
    }
    group_of = {layer.name: found[layer.name] for layer in layers if layer.name in found}
    counts = {group.id: list(group_of.values()).count(group.id) for group in groups}
    several = [name for name, count in counts.items() if count > 1]
    hues = {name: colours.series[place % len(colours.series)] for place, name in enumerate(several)}
    return Coupling(group_of, {group.id: hues.get(group.id) for group in groups})


def lead(session: Session) -> None:
    """What the groups amount to, in a sentence."""
    structure = cache.structure(session.model_id)
    several = sum(hue is not None for hue in _coupling(session).hues.values())
    n = len(structure.groups)
    tied = (
        f"{several} of them tie several layers together" if several else "none of them ties layers together"
    )
    st.markdown(
        f"{n} groups of units can be cut, each with one ratio; {tied}. Layers of one colour lose the same "
        "units. Dashed layers keep all their outputs.",
        help="Found by following every channel through one recorded forward pass. Normalisations and "
        "activations are left out of the drawing; a circle is a place where two branches meet.",
    )


def graph(session: Session) -> None:
    """The network's graph, coupled layers in one colour; drawn by the browser, it scrolls."""
    found, layers = _coupling(session), cache.layers(session.model_id)
    groups = cache.structure(session.model_id).by_id
    drawn = cache.graph(session.model_id)
    text = figures.dot(
        drawn,
        {layer.name: _detail(layer) for layer in layers},
        {layer: found.hues[group] for layer, group in found.group_of.items()},
        {layer: _tip(layer, groups[group], found) for layer, group in found.group_of.items()},
        charts.colours(),
    )
    with st.container(
        height=min(HEIGHT, 60 + 60 * len(drawn.nodes)), key="model-graph", horizontal_alignment="center"
    ):
        st.graphviz_chart(text, alt=f"Graph of the layers of {session.model}; the table beside it lists them")


def groups(session: Session) -> None:
    """Every group in a table, and the one selected in words."""
    structure = cache.structure(session.model_id)
    if not structure.groups:
        st.info("No channel of this network can be removed; single weights can be masked.")
        return
    chosen = _table(session, structure.groups)
    with st.container(border=True):
        st.html(_in_words(structure.groups[chosen].why))
    st.caption("Select a row to read what goes together in that group, and why.")


def _table(session: Session, shown: Sequence[pruning.Group]) -> int:
    """Draw the table; the selected row, the first if none is."""
    import pandas as pd

    found = _coupling(session)
    each = cache.cost_model(session.model_id).parameters_per_unit
    rows = [
        ("●", group.id, f"{group.size} {UNITS[group.kind]}", len(found.layers(group.id)), each[group.id])
        for group in shown
    ]
    data = pd.DataFrame(rows, columns=list(COLUMNS))
    hues = [found.hues[group.id] or charts.colours().grid for group in shown]
    event = st.dataframe(
        data.style.apply(lambda _: [f"color: {hue}" for hue in hues], subset=["colour"]),
        hide_index=True,
        height=min(HEIGHT - 170, 38 + 35 * len(rows)),
        key=f"groups-{session.model}",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "colour": st.column_config.TextColumn("", width=20, pinned=True, help=COLUMNS["colour"]),
            "group": st.column_config.TextColumn(help=COLUMNS["group"]),
            "units": st.column_config.TextColumn(help=COLUMNS["units"]),
            "layers": st.column_config.NumberColumn(width=70, help=COLUMNS["layers"]),
            "parameters each": st.column_config.NumberColumn(
                width=130, format="localized", help=COLUMNS["parameters each"]
            ),
        },
    )
    chosen = event.selection.rows
    return chosen[0] if chosen and chosen[0] < len(rows) else 0


def _in_words(why: str) -> str:
    """An explanation as HTML: names, which may be anything, are escaped and set as code."""
    marked = re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(why))
    return f"<p>{marked}</p>"


def _coupling(session: Session) -> Coupling:
    structure = cache.structure(session.model_id)
    return coupling(cache.layers(session.model_id), structure.groups, charts.colours())


def _detail(layer: Layer) -> str:
    """What a node says under its name."""
    if not layer.weight_shape:
        return layer.kind
    outputs, *rest = layer.weight_shape
    if len(rest) > 1:
        return f"{layer.kind}, {outputs} × {rest[0]} × {'×'.join(map(str, rest[1:]))}"
    return f"{layer.kind}, {' × '.join(map(str, layer.weight_shape))}"


def _tip(layer: str, group: pruning.Group, found: Coupling) -> str:
    others = [other for other in found.layers(group.id) if other != layer]
    together = f", together with {', '.join(others)}" if others else ""
    return f"{layer}: {group.size} {UNITS[group.kind]} can go{together}"
