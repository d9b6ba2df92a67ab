"""Where a group is: the way of its units as one line, and the network's graph with its layers lit up."""

from __future__ import annotations

import streamlit as st

from pruning import Group
from pruning.graph import fold
from pruning.groups.choices import Choices
from pruning.stream import Stop, carried, find_stream
from ui import cache, charts, shell
from ui.figures import groups as figures
from ui.figures.groups import Box, Halt
from ui.groups import removal, words
from ui.state import Session

MOST = 6  # stops drawn; of more, some in the middle are left out
HEIGHT = 620


def stream(session: Session, choices: Choices, group: Group) -> None:
    """The picture that explains the coupling: the units as lanes, and all that joins or reads them."""
    stops = find_stream(cache.layer_graph(session.model_id), group)
    if not stops:
        st.caption("The layers of this group are not in the graph, so their way cannot be drawn.")
        return
    lit = removal.weakest(session, choices, group)
    one = f"{words.unit(group)} {lit}"
    figure, data = figures.stream(
        f"The way of the {words.units(group)} through the network",
        halts(stops, group),
        group.size,
        (words.units(group), one),
        tips(session, group),
        charts.colours(),
    )
    charts.show(figure, data, key="stream", name=f"{session.model} {group.id} coupling")
    st.caption(
        explained(stops, group, one),
        help=f"Lit is the {words.unit(group)} that the criterion below ranks lowest. Layers below bring "
        "units in, layers above read them. Activations and pooling are left out.",
    )


def explained(stops: list[Stop], group: Group, one: str) -> str:
    """What the picture shows, in words."""
    signs = {stop.sign for stop in stops} - {""}
    if signs & {"+", "−"}:
        return (
            f"**{one}** is one sum along the whole line: taken from one layer only, the others would still "
            "add to it. So it goes from every layer below as a row, and from every layer above as a column."
        )
    if signs or len(group.producers) > 1:
        return (
            f"**{one}** of each layer on the line is computed with {one} of the others, so it goes from all "
            "of them, and as a column from the layers above."
        )
    several = max(member.index.shape[1] for member in group.members) > 1
    goes = "its rows go there, and its columns" if several else "its row goes there, and its column"
    return f"**{one}** is made by one layer alone: {goes} where it is read."


def halts(stops: list[Stop], group: Group) -> list[Halt]:
    """The stops as they are drawn; of many, those in the middle are left out, and their number said."""
    drawn = [
        Halt(
            stop.sign,
            tuple(Box(chain, "producer") for chain in stop.joining if chain),
            tuple(
                Box(tuple(stop.through), "producer" if first in group.producers else "norm")
                for first in stop.through[:1]
            ),
            tuple(Box(chain, "consumer") for chain in stop.readers),
        )
        for stop in stops
    ]
    if len(drawn) <= MOST:
        return drawn
    head, tail = MOST // 2, MOST // 2 - 1
    return [*drawn[:head], Halt(skipped=len(drawn) - head - tail), *drawn[-tail:]]


def graph(session: Session, group: Group) -> None:
    """The network's graph: the group's layers lit up, everything else dimmed."""
    shell.section("Where it is in the network")
    whole = cache.layer_graph(session.model_id)
    lit, through = roles(group), carried(whole, group)
    everything = st.toggle(
        "Every layer",
        key="group-graph-whole",
        persist_state="session",
        help="Off: stretches that the group has no part in are drawn as one.",
    )
    st.html(_legend())
    shown = {place for place, node in enumerate(whole.nodes) if node.label in lit or place in through}
    drawn, where = (whole, None) if everything else fold(whole, shown)
    places = through if where is None else {where[place] for place in through}
    text = figures.dot(drawn, lit, places, tips(session, group), charts.colours())
    with st.container(
        height=min(HEIGHT, 60 + 42 * len(drawn.nodes)), key="group-graph", horizontal_alignment="center"
    ):
        st.graphviz_chart(text, alt=f"Graph of {session.model}; the table beside it lists the layers lit up")


def roles(group: Group) -> dict[str, str]:
    """Layer -> what it does with the units: making them goes before all else, reading before scaling."""
    found: dict[str, str] = {}
    for role in ("norm", "consumer", "producer"):
        found |= {member.layer: role for member in group.members if member.role == role}
    return found


def tips(session: Session, group: Group) -> dict[str, str]:
    """Layer -> what it loses, in words, for the pointer."""
    known = {layer.name: layer for layer in cache.layers(session.model_id)}
    said = {name: f"{layer.kind} {words.sizes(layer.weight_shape)}" for name, layer in known.items()}
    found = roles(group).items()
    return {layer: f"{said.get(layer, 'parameter')}: {words.ROLES[role]}" for layer, role in found}


def _legend() -> str:
    """Colours of the graph in words; nothing in it comes from a file."""
    colours = charts.colours()
    hues = figures.role_colours(colours)
    part = '<span style="white-space:nowrap;margin-right:1em"><span style="color:{}">{}</span> {}</span>'
    parts = [part.format(hues[role], "■", words.ROLES[role]) for role in hues]
    parts.append(part.format(colours.pruned, "◯", "couples"))
    return f'<p style="margin:0;font-size:.85rem">{"".join(parts)}</p>'
