"""Figures of a network as a whole: where its cost sits, how its layers are wired, what it says of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from pruning.graph import Graph, Node
from ui.figures.pixels import picture, strip
from ui.figures.theme import Palette, fade
from ui.figures.weights import text
from ui.figures.words import percent

ACROSS = 8  # sample images in a row
GAP = 0.1  # between two of them, in widths of an image
TITLE, ROW, CAPTION = 44, 164, 36  # pixels: of the title, of a row of samples, and of the captions in it
ITSELF = "\0"  # suffix of a container's own part; no module path contains it


@dataclass(frozen=True)
class Part:
    """What one module costs by itself, without the modules inside it.

    Args:
        name: module path; "" is the network.
        kind: in words.
        value: in the figure's unit.
    """

    name: str
    kind: str
    value: float


@dataclass(frozen=True)
class Sample:
    """One image and what the network says of it.

    Args:
        index: position in its split.
        image: (C, H, W), 0..1.
        truth, said: class names.
        confidence: softmax probability of what was said, in [0, 1].
    """

    index: int
    image: np.ndarray
    truth: str
    said: str
    confidence: float


def treemap(
    title: str, network: str, parts: Sequence[Part], unit: str, kinds: Sequence[str], colours: Palette
) -> tuple[go.Figure, pd.DataFrame]:
    """Nested areas, one a module; the area is its share of the network's total.

    Args:
        title: with the total.
        network: label of the whole.
        parts: their values add up to the total.
        unit: of the values, for hover texts.
        kinds: in the order of their colours, so that several figures agree; others follow.
    """
    total = sum(part.value for part in parts) or 1.0
    rows = _nested(parts)
    order = dict.fromkeys([*kinds, *(part.kind for part in parts)])
    hue = {kind: colours.series[place % len(colours.series)] for place, kind in enumerate(order)}
    shares = [value / total for _, _, value in rows]
    figure = go.Figure(
        go.Treemap(
            ids=[path or "/" for path, _, _ in rows],
            parents=[_parent(path) for path, _, _ in rows],
            labels=[text(_label(path)) if path else text(network) for path, _, _ in rows],
            values=[value for _, _, value in rows],
            branchvalues="total",
            sort=False,
            tiling={"pad": 2, "packing": "squarify", "squarifyratio": 1.4},
            marker={
                "colors": [fade(hue[kind], 0.42) if kind else colours.surface for _, kind, _ in rows],
                "line": {"color": colours.background, "width": 1},
                "pad": {"t": 20, "l": 3, "r": 3, "b": 3},
            },
            text=[
                f"{text(kind)}<br>{percent(share)}" for (_, kind, _), share in zip(rows, shares, strict=True)
            ],
            texttemplate="%{label}<br>%{text}",
            customdata=[
                (
                    text(path.removesuffix(ITSELF).rstrip(".")) or "the network",
                    text(kind or "all inside"),
                    percent(share),
                )
                for (path, kind, _), share in zip(rows, shares, strict=True)
            ],
            hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]}<br>%{value:,.4~g} "
            + unit
            + ", %{customdata[2]} of the network<extra></extra>",
            textfont={"color": colours.text, "size": 12},
            pathbar={"visible": True, "thickness": 18, "textfont": {"color": colours.text, "size": 11}},
            root={"color": colours.surface},
        )
    )
    figure.update_layout(title=title, height=430, margin={"l": 0, "r": 0, "b": 0, "t": 40})
    figure.update_layout(uniformtext={"minsize": 10, "mode": "hide"})
    data = [(part.name, part.kind, part.value, part.value / total) for part in parts]
    return figure, pd.DataFrame(data, columns=["module", "kind", unit, "share"])


def _nested(parts: Sequence[Part]) -> list[tuple[str, str, float]]:
    """(path, kind, value with all inside) for every module; a container's kind is "", and what it does by
    itself is a child of its own."""
    containers = dict.fromkeys(["", *(path for part in parts for path in _ancestors(part.name))], 0.0)
    rows: list[tuple[str, str, float]] = []
    for part in parts:
        inside = part.name in containers
        for path in _ancestors(part.name) + [part.name] * inside:
            containers[path] += part.value
        own = f"{part.name}.{ITSELF}".lstrip(".") if inside else part.name
        rows.append((own, part.kind, part.value))
    rows = [(path, "", value) for path, value in containers.items()] + rows
    return [row for row in rows if row[2] > 0]


def _ancestors(path: str) -> list[str]:
    """Every container above a path, the network first; none for the network itself."""
    if not path:
        return []
    steps = path.split(".")
    return [".".join(steps[:depth]) for depth in range(len(steps))]


def _parent(path: str) -> str:
    return (path.rpartition(".")[0] or "/") if path else ""


def _label(path: str) -> str:
    last = path.rpartition(".")[2]
    return "itself" if last == ITSELF else last


def samples(title: str, shown: Sequence[Sample], colours: Palette) -> tuple[go.Figure, pd.DataFrame]:
    """Images with the true and the predicted class; a wrong answer is in the colour of what stands out."""
    rows = [shown[start : start + ACROSS] for start in range(0, len(shown), ACROSS)]
    figure, notes = go.Figure(), []
    axes: dict[str, Any] = {}
    for place, row in enumerate(rows):
        number = str(place + 1) if place else ""
        _, height, width = row[0].image.shape
        pitch = width + max(1, round(GAP * width))
        middles = [one * pitch + (width - 1) / 2 for one in range(len(row))]
        notes += [_note(sample, x, number, colours) for sample, x in zip(row, middles, strict=True)]
        axes |= _row_axes(number, 1 - (place * ROW + CAPTION) / (ROW * len(rows)), len(rows), pitch, height)
        images = strip([sample.image for sample in row], pitch - width, colours.surface, colours.text)
        on = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
        figure.add_trace(go.Image(source=picture(images), hoverinfo="skip", **on))
        # What the pointer shows: one point an image, the nearest of which speaks.
        figure.add_scatter(
            x=middles,
            y=[(height - 1) / 2] * len(row),
            mode="markers",
            marker={"opacity": 0},
            text=[_says(sample) for sample in row],
            hovertemplate="%{text}<extra></extra>",
            showlegend=False,
            **on,
        )
    figure.update_layout(
        title=title,
        height=TITLE + ROW * len(rows) + 4,
        margin={"t": TITLE, "b": 4},
        annotations=notes,
        hovermode="closest",
        hoverdistance=-1,
        **axes,
    )
    data = [(s.index, s.truth, s.said, s.confidence, s.truth == s.said) for s in shown]
    return figure, pd.DataFrame(
        data, columns=["image", "true class", "predicted class", "confidence", "right"]
    )


def _row_axes(number: str, top: float, rows: int, pitch: int, height: int) -> dict[str, Any]:
    """Axes of a row of images, in pixels of the images; `top` is its place on the paper."""
    bare = {"visible": False, "constrain": "domain"}  # the pixels are square
    domain = [max(0.0, top - (ROW - CAPTION) / (ROW * rows)), top]
    return {
        f"xaxis{number}": {
            **bare,
            "range": [-0.5, ACROSS * pitch - 0.5],
            "constraintoward": "left",
            "anchor": f"y{number}",
        },
        f"yaxis{number}": {
            **bare,
            "range": [height - 0.5, -0.5],
            "domain": domain,
            "anchor": f"x{number}",
            "scaleanchor": f"x{number}",
        },
    }


def _note(sample: Sample, x: float, number: str, colours: Palette) -> dict[str, Any]:
    """The caption over an image."""
    return {
        "text": _caption(sample, colours),
        "x": x,
        "y": -0.5,
        "xref": f"x{number}",
        "yref": f"y{number}",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": 12, "color": colours.muted},
    }


def _caption(sample: Sample, colours: Palette) -> str:
    said = f"<b>{text(sample.said)}</b> · {percent(sample.confidence, 0)}"
    if sample.said == sample.truth:
        return said
    return f'<span style="color:{colours.pruned}">{said}</span><br>true {text(sample.truth)}'


def _says(sample: Sample) -> str:
    return (
        f"image {sample.index}<br>true class {text(sample.truth)}<br>predicted {text(sample.said)}, "
        f"confidence {percent(sample.confidence)}"
    )


def dot(
    graph: Graph,
    details: Mapping[str, str],
    hues: Mapping[str, str | None],
    tips: Mapping[str, str],
    colours: Palette,
) -> str:
    """The network as text in the DOT language, drawn by the browser.

    Args:
        graph: nodes and edges.
        details: layer -> second line of its node.
        hues: layer -> colour of its group; None if its outputs go one by one; missing if they must stay.
        tips: layer -> what the pointer shows.
    """
    base = f'fontname="Helvetica", fontsize=11, fontcolor="{colours.text}"'
    lines = [
        "digraph network {",
        'bgcolor="transparent"; rankdir=TB; ranksep=0.22; nodesep=0.25; pad=0.05;',
        f'node [{base}, shape=box, style="rounded,filled", height=0.3, margin="0.14,0.05", penwidth=1.2];',
        f'edge [color="{colours.muted}", arrowsize=0.5, penwidth=1];',
    ]
    for place, node in enumerate(graph.nodes):
        lines.append(f"n{place} [{_looks(node, details, hues, tips, colours)}];")
    lines += [f"n{start} -> n{end};" for start, end in graph.edges]
    return "\n".join([*lines, "}"])


def _looks(
    node: Node,
    details: Mapping[str, str],
    hues: Mapping[str, str | None],
    tips: Mapping[str, str],
    colours: Palette,
) -> str:
    if node.kind == "join":
        small = "shape=circle, width=0.26, fixedsize=true, fontsize=14, " if len(node.label) == 1 else ""
        return (
            f'{small}label="{quoted(node.label)}", tooltip="two branches meet", '
            f'fillcolor="{colours.background}", color="{colours.muted}"'
        )
    if node.kind != "layer":
        return f'shape=plaintext, style="", label="{quoted(node.label)}", fontcolor="{colours.muted}"'
    label = quoted(node.label) + "\\n" + quoted(details.get(node.label, ""))
    tip = f'label="{label}", tooltip="{quoted(tips.get(node.label, node.label))}", '
    if node.label not in hues:
        return (
            f'{tip}style="rounded,filled,dashed", fillcolor="{colours.background}", color="{colours.muted}"'
        )
    hue = hues[node.label]
    if hue is None:
        return f'{tip}fillcolor="{colours.surface}", color="{colours.muted}"'
    return f'{tip}fillcolor="{hue}55", color="{hue}"'


def quoted(name: str) -> str:
    """Text for a double-quoted DOT string: nothing in it can end the string or stand for something else."""
    shown = "".join(letter if letter.isprintable() else "�" for letter in name)
    return shown.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
