"""How the layers are wired and what must be cut together: the graph, and the groups in a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    text = figures.dot(
        cache.graph(session.model_id),
        {layer.name: _detail(layer) for layer in layers},
        {layer: found.hues[group] for layer, group in found.group_of.items()},
        {layer: _tip(layer, groups[group], found) for layer, group in found.group_of.items()},
        charts.colours(),
    )
    with st.container(height=HEIGHT, key="model-graph", horizontal_alignment="center"):
        st.graphviz_chart(text, alt=f"Graph of the layers of {session.model}; the table beside it lists them")


def groups(session: Session) -> None:
    """Every group in a table."""
    import pandas as pd

    found, structure = _coupling(session), cache.structure(session.model_id)
    each = cache.cost_model(session.model_id).parameters_per_unit
    if not structure.groups:
        st.info("No channel of this network can be removed; single weights can be masked.")
        return
    rows = [
        {
            "": "●" if found.hues[group.id] else "",
            "group": group.id,
            "units": f"{group.size} {UNITS[group.kind]}",
            "layers": len(found.layers(group.id)),
            "parameters a unit": each[group.id],
            "why": group.why.replace("`", ""),
        }
        for group in structure.groups
    ]
    hues = [found.hues[group.id] or "" for group in structure.groups]
    data = pd.DataFrame(rows)
    st.dataframe(
        data.style.apply(lambda _: [f"color: {hue}" for hue in hues], subset=[""]),
        hide_index=True,
        height=HEIGHT,
        key="group-table",
        column_config={
            "": st.column_config.TextColumn(width=20, pinned=True, help="Colour in the graph."),
            "group": st.column_config.TextColumn(
                width=170, help="Named after the first layer that makes its units."
            ),
            "units": st.column_config.TextColumn(width=90, help="What one ratio takes a share of."),
            "layers": st.column_config.NumberColumn(
                width=60, help="Layers whose outputs are these units; all of them lose the same ones."
            ),
            "parameters a unit": st.column_config.NumberColumn(
                width=110,
                format="localized",
                help="Parameters that go with the first unit, in all layers. Exact.",
            ),
            "why": st.column_config.TextColumn(width="large", help="Double-click a cell to read it all."),
        },
    )


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
