"""Figures of coupled channels: the way of a group's units, and the network's graph with the group lit up."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from pruning.graph import Graph
from ui.figures.model import quoted
from ui.figures.theme import Palette, fade
from ui.figures.weights import text

LANES = 6  # units drawn at most
UNIT = 46  # pixels of the y axis; stops are one apart on the x axis
MAIN, THIN = 0.72, 0.34  # heights of the box of a layer, and of a norm
FOOT = -2.42  # lower edge of the boxes below
SYMBOLS = {"+": "circle-cross", "−": "circle-cross", "×": "circle-x", "÷": "circle-x"}
SIGNS = {"+": "added", "−": "subtracted", "×": "multiplied", "÷": "divided"}
ROLES = {"producer": "makes units", "norm": "scales or shifts", "consumer": "reads"}

Point = tuple[float | None, float | None]


@dataclass(frozen=True)
class Box:
    """Layers at a stop of the line.

    Args:
        layers: one after the other in the direction of the data; all but one are norms.
        role: "producer" (its norms follow) or "consumer" (its norms come first).
    """

    layers: tuple[str, ...]
    role: str


@dataclass(frozen=True)
class Halt:
    """A stop of the line as it is drawn.

    Args:
        sign: of the operation by which the boxes below join; "" for none.
        below: what comes in.
        on: what lies on the line.
        above: what reads.
        skipped: how many stops this one stands for; 0 for a real one.
    """

    sign: str = ""
    below: tuple[Box, ...] = ()
    on: tuple[Box, ...] = ()
    above: tuple[Box, ...] = ()
    skipped: int = 0


def role_colours(colours: Palette) -> dict[str, str]:
    """Role -> its colour in every picture of the page."""
    return {"producer": colours.dense, "norm": colours.series[3], "consumer": colours.series[2]}


def stream(
    title: str,
    halts: Sequence[Halt],
    size: int,
    names: tuple[str, str],
    tips: Mapping[str, str],
    colours: Palette,
) -> tuple[go.Figure, pd.DataFrame]:
    """The units of a group as lanes from left to right; layers join them from below and read them above.

    Args:
        title: of the figure.
        halts: the stops of the line.
        size: units in the group.
        names: the units in words ("24 filters"), and the one that is lit ("filter 7").
        tips: layer -> what the pointer shows.
    """
    drawing = _Drawing(min(size, LANES), tips, colours)
    end = len(halts) - 0.24
    drawing.lanes_across(-0.3, end)
    top = 0.15 + max(drawing.halt(place, halt) for place, halt in enumerate(halts))
    few = f"{drawing.n} of {size:,} drawn" if drawing.n < size else names[0]
    drawing.note(end, drawing.height(drawing.lit), f"<b>{text(names[1])}</b>", colours.pruned, "left")
    drawing.note(end, -0.95, text(few), colours.muted, "left")
    figure = go.Figure(drawing.traces())
    figure.update_layout(
        title=title,
        height=round(60 + UNIT * (top - FOOT + 0.1)),
        margin={"l": 4, "r": 96, "t": 62, "b": 4},
        xaxis={"visible": False, "range": [-0.6, max(end, 2.3)], "fixedrange": True},
        yaxis={"visible": False, "range": [FOOT - 0.1, top], "fixedrange": True},
        shapes=drawing.shapes,
        annotations=drawing.notes,
        hovermode="closest",
        hoverdistance=60,
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom"},
        legend_font_size=11,
    )
    rows = [
        (place, part, layer, box.role if layer == box.layers[_main(box)] else "norm")
        for place, halt in enumerate(halts)
        for part, boxes in (("joins", halt.below), ("on the line", halt.on), ("reads", halt.above))
        for box in boxes
        for layer in box.layers
    ]
    return figure, pd.DataFrame(rows, columns=["stop", "part", "layer", "role"])


def _main(box: Box) -> int:
    """Place of the layer that is no norm."""
    return -1 if box.role == "consumer" else 0


@dataclass
class _Drawing:
    """What has been drawn so far.

    Args:
        n: lanes.
        tips: layer -> what the pointer shows.
        colours: of the theme.
        lines: whether of the lit lane -> corners, with gaps.
        joins: sign -> (x, y, whether of the lit lane).
        points: (x, y, what the pointer shows).
    """

    n: int
    tips: Mapping[str, str]
    colours: Palette
    lines: dict[bool, list[Point]] = field(default_factory=lambda: {False: [], True: []})
    joins: dict[str, list[tuple[float, float, bool]]] = field(default_factory=dict)
    shapes: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    points: list[tuple[float, float, str]] = field(default_factory=list)

    @property
    def lit(self) -> int:
        return self.n // 2

    def height(self, lane: int) -> float:
        """Of a lane that runs across; one alone runs in the middle."""
        return 0.0 if self.n == 1 else 0.5 - lane / (self.n - 1)

    def aside(self, lane: int) -> float:
        """How far a lane of an upright bundle is from its middle."""
        return 0.0 if self.n == 1 else 0.32 * lane / (self.n - 1) - 0.16

    def lanes_across(self, start: float, end: float) -> None:
        for lane in range(self.n):
            y = self.height(lane)
            self.lines[lane == self.lit] += [(start + self.aside(lane), y), (end, y), (None, None)]

    def bundle(self, x: float, end: float, sign: str = "") -> None:
        """All lanes upright between the line and a height, each from its own."""
        for lane in range(self.n):
            at, y, strong = x + self.aside(lane), self.height(lane), lane == self.lit
            self.lines[strong] += [(at, end), (at, y), (None, None)]
            if sign:
                self.joins.setdefault(sign, []).append((at, y, strong))

    def halt(self, x: float, halt: Halt) -> float:
        """Draw one stop; how high it reaches."""
        if halt.skipped:
            self.note(x, -1.2, f"… {halt.skipped} more …", self.colours.muted, "center")
        for place, box in enumerate(halt.below):
            left = x - 0.14 + place * 0.1
            self.bundle(left, FOOT + MAIN, halt.sign)
            self.box(left, FOOT, box)
        for box in halt.on:
            self.box(x, -0.5 * (MAIN + THIN * (len(box.layers) - 1)), box)
        right, y = x + 0.36, 0.95
        for place, box in enumerate(halt.above):
            if not place:
                self.bundle(right, y)
            y = self.box(right - 0.04, y, box) + 0.06
        return max(y, 0.95)

    def box(self, x: float, y: float, box: Box) -> float:
        """Draw layers over each other, data flowing upwards; the upper edge."""
        hues = role_colours(self.colours)
        for place, layer in enumerate(box.layers):
            main = place == _main(box) % len(box.layers)
            height, hue = (MAIN, hues[box.role]) if main else (THIN, hues["norm"])
            self.shapes.append(
                {"type": "rect", "x0": x - 0.43, "x1": x + 0.43, "y0": y, "y1": y + height}
                | {"fillcolor": _mixed(hue, self.colours, 0.3), "line": {"width": 1.2, "color": hue}}
            )
            words = _two_lines(layer) if main else _leaf(layer)
            self.note(x, y + height / 2, words, self.colours.text, "center", 11)
            self.points.append(
                (x, y + height / 2, f"<b>{text(layer)}</b><br>{text(self.tips.get(layer, ''))}")
            )
            y += height + 0.04
        return y

    def note(self, x: float, y: float, words: str, hue: str, anchor: str, points: int = 12) -> None:
        font = {"size": points, "color": hue}
        looks = {"xanchor": anchor, "xshift": 6 * (anchor == "left"), "font": font, "showarrow": False}
        self.notes.append({"x": x, "y": y, "text": words, **looks})

    def traces(self) -> list[go.Scatter]:
        hues = {False: fade(self.colours.muted, 0.55), True: self.colours.pruned}
        lanes = [
            _scatter(self.lines[strong], "lines", line={"color": hues[strong], "width": 1.3 + 1.9 * strong})
            for strong in (False, True)
        ]
        joins = [
            _scatter(
                places,
                "markers",
                name=f"{SIGNS.get(sign, sign)} one by one",
                marker={
                    "symbol": SYMBOLS.get(sign, "circle"),
                    "size": [12 if strong else 8 for *_, strong in places],
                    "color": self.colours.background,
                    "line": {
                        "width": 1.4,
                        "color": [hues[True] if strong else self.colours.muted for *_, strong in places],
                    },
                },
            )
            for sign, places in self.joins.items()
        ]
        hover = _scatter(
            self.points,
            "markers",
            marker={"opacity": 0, "size": 30},
            text=[words for *_, words in self.points],
            hoverinfo=None,
            hovertemplate="%{text}<extra></extra>",
        )
        square = {"symbol": "square", "size": 11}
        keys = [
            _scatter([(None, None)], "markers", name=ROLES[role], marker={**square, "color": hue})
            for role, hue in role_colours(self.colours).items()
        ]
        return [*lanes, *keys, *joins, hover]


def _scatter(points: Sequence[tuple[Any, ...]], mode: str, **options: Any) -> go.Scatter:
    """A trace that the pointer does not see, in the legend if it has a name."""
    x, y = [point[0] for point in points], [point[1] for point in points]
    return go.Scatter(
        x=x, y=y, mode=mode, **{"hoverinfo": "skip", "showlegend": "name" in options, **options}
    )


def _mixed(colour: str, colours: Palette, share: float) -> str:
    """A colour laid thinly over the background, opaque, so that lanes end at the box."""
    ends = [[int(one[i : i + 2], 16) for i in (1, 3, 5)] for one in (colour, colours.background)]
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02X}" for a, b in zip(*ends, strict=True))


def _two_lines(layer: str) -> str:
    """The end of a path over the layer's own name, as far as a box has room."""
    parent, _, leaf = layer.rpartition(".")
    while parent.count(".") and len(parent) > 11:
        parent = parent.partition(".")[2]
    own = f"<b>{text(_cut(leaf))}</b>"
    return f"{text(_cut(parent))}<br>{own}" if parent else own


def _leaf(layer: str) -> str:
    """The last step of a path; a number alone says nothing."""
    steps = layer.split(".")
    return text(_cut(".".join(steps[-2:] if steps[-1].isdigit() else steps[-1:])))


def _cut(name: str, letters: int = 13) -> str:
    return name if len(name) <= letters else f"{name[: letters - 1]}…"


def dot(
    graph: Graph,
    lit: Mapping[str, str],
    carried: Collection[int],
    tips: Mapping[str, str],
    colours: Palette,
) -> str:
    """The network in the DOT language, one group lit up and everything else dimmed.

    Args:
        lit: layer of the group -> its role.
        carried: places of the nodes whose outputs are units of the group; joins among them couple.
        tips: layer -> what the pointer shows.
    """
    hues, dim = role_colours(colours), f"{colours.muted}55"
    lines = [
        "digraph network {",
        'bgcolor="transparent"; rankdir=TB; ranksep=0.18; nodesep=0.2; pad=0.05;',
        'node [fontname="Helvetica", fontsize=11, shape=box, style="rounded,filled", height=0.26, '
        f'margin="0.12,0.04", penwidth=1.2, fontcolor="{colours.muted}99", fillcolor="transparent", '
        f'color="{dim}"];',
        f'edge [color="{dim}", arrowsize=0.5, penwidth=1];',
    ]
    for place, node in enumerate(graph.nodes):
        looks = f'label="{quoted(node.label)}"'
        if node.kind == "join":
            small = len(node.label) == 1
            looks += ", shape=circle, width=0.26, fixedsize=true, fontsize=14" if small else ""
            looks += ', tooltip="two branches meet"'
            if place in carried:
                looks += f', color="{colours.pruned}", fontcolor="{colours.text}", penwidth=2.4'
        elif node.kind == "layer":
            looks += f', tooltip="{quoted(tips.get(node.label, node.label))}"'
            if hue := hues.get(lit.get(node.label, "")):
                looks += f', fillcolor="{hue}55", color="{hue}", fontcolor="{colours.text}", penwidth=1.8'
        else:
            looks += ', shape=plaintext, style=""'
        lines.append(f"n{place} [{looks}];")
    strong = f' [color="{colours.pruned}", penwidth=2]'
    lines += [f"n{a} -> n{b}{strong if a in carried else ''};" for a, b in graph.edges]
    return "\n".join([*lines, "}"])
