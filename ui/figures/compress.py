"""Figures of shared weights: clusters in a histogram, where bytes are, codes against frequencies, scans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from pruning.coding import Part
from pruning.compress.scan import BitsPoint
from pruning.compress.stages import Bytes
from ui.figures.recover_weights import slider
from ui.figures.theme import Palette, fade
from ui.figures.weights import shortened, text

BINS = 120
MOST_LINES = 256  # centroids that get a line of their own
HEIGHT = 360
LEGEND = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.0, "yanchor": "bottom"}
KINDS = ("weights", "indices", "codebooks", "overhead")


def clusters(
    layer: str, before: np.ndarray, after: np.ndarray, bits: int, colours: Palette
) -> tuple[go.Figure, pd.DataFrame]:
    """The histogram of a layer, each weight in the colour of its cluster, and the centroids over it.

    Args:
        layer: its name.
        before: (n,) weights as they were, zeros included.
        after: (n,) the same with shared values.
        bits: of the layer.
    """
    there = (before != 0) | (after != 0)
    zeros = int((~there).sum())
    before, after = before[there], after[there]
    values, index, counts = np.unique(after, return_inverse=True, return_counts=True)
    low, high = _span(before)
    edges = np.linspace(low, high, BINS + 1)
    place = np.clip(np.digitize(before, edges) - 1, 0, BINS - 1)
    table = np.zeros((BINS, len(values)), np.int64)
    np.add.at(table, (place, index), 1)
    bins, which = np.nonzero(table)
    heights = table[bins, which]
    bases = (np.cumsum(table, axis=1) - table)[bins, which]
    figure = go.Figure()
    figure.add_bar(
        x=((edges[:-1] + edges[1:]) / 2)[bins],
        y=heights,
        base=bases,
        width=float(edges[1] - edges[0]),
        marker={"color": [_colour(int(one), values, colours) for one in which], "line": {"width": 0}},
        customdata=np.stack([values[which], counts[which]], axis=1),
        hovertemplate="%{y:,} weights near %{x:.3g}<br>become %{customdata[0]:.4g}, "
        "shared by %{customdata[1]:,}<extra></extra>",
        name="weights before, by cluster",
        showlegend=False,
    )
    top = float(table.sum(1).max(initial=1))
    if len(values) <= MOST_LINES:
        lines = [point for value in values for point in (value, value, None)]
        figure.add_scatter(
            x=lines,
            y=[0, 1.04 * top, None] * len(values),
            mode="lines",
            line={"color": fade(colours.text, 0.35), "width": 1},
            hoverinfo="skip",
            showlegend=False,
        )
    figure.add_scatter(
        x=values,
        y=np.full(len(values), 1.04 * top),
        mode="markers",
        marker={
            "symbol": "triangle-down",
            "size": 9 if len(values) <= 32 else 6,
            "color": [_colour(number, values, colours) for number in range(len(values))],
            "line": {"color": colours.text, "width": 0.5},
        },
        customdata=counts,
        hovertemplate="centroid %{x:.4g}<br>%{customdata:,} weights<extra></extra>",
        name="shared values",
        showlegend=False,
    )
    gone = f", {zeros:,} zeros not drawn" if zeros else ""
    figure.update_layout(
        title=f"Weights of {shortened(layer)}: {len(values):,} values at {bits} bit{'s' * (bits > 1)}{gone}",
        height=HEIGHT,
        bargap=0,
        barmode="overlay",
        xaxis={"title": "weight", "range": [low, high]},
        yaxis={"title": "weights a bin", "range": [0, 1.1 * top]},
    )
    return figure, pd.DataFrame({"shared value": values, "weights": counts})


def where_bytes_are(
    stages: Sequence[tuple[str, Bytes]], colours: Palette, *, title: str
) -> tuple[go.Figure, pd.DataFrame]:
    """A stacked bar for each stage's file; the total and the ratio to the first at its end."""
    labels = [text(label) for label, _ in stages]
    first = stages[0][1].total
    figure = go.Figure()
    shades = (colours.series[0], colours.series[2], colours.series[4], colours.series[8])
    for kind, shade in zip(KINDS, shades, strict=True):
        sizes = [getattr(size, kind) for _, size in stages]
        figure.add_bar(
            x=[number / 1000 for number in sizes],
            y=labels,
            customdata=[
                [number, number / size.total] for number, (_, size) in zip(sizes, stages, strict=True)
            ],
            orientation="h",
            name=kind,
            marker={"color": shade},
            hovertemplate=f"<b>%{{y}}</b><br>{kind}: %{{customdata[0]:,}} bytes, "
            "%{customdata[1]:.1%} of the file<extra></extra>",
        )
    for label, (_, size) in zip(labels, stages, strict=True):
        smaller = f" · {first / size.total:.1f}× smaller" if size.total != first else ""
        figure.add_annotation(
            x=size.total / 1000,
            y=label,
            text=f"{size.total / 1000:,.1f} kB{smaller}",
            xanchor="left",
            showarrow=False,
            xshift=6,
            font={"color": colours.text, "size": 12},
        )
    figure.update_layout(
        title=title,
        height=110 + 42 * len(stages),
        barmode="stack",
        bargap=0.35,
        xaxis={"title": "size of the file, kB (1000 bytes)", "range": [0, 1.28 * first / 1000]},
        yaxis={"autorange": "reversed", "showgrid": False},
        legend=LEGEND,
    )
    rows = [
        (label, *(getattr(size, kind) for kind in KINDS), size.total, first / size.total)
        for label, size in stages
    ]
    return figure, pd.DataFrame(rows, columns=["stage", *KINDS, "bytes", "times smaller"])


def codes(layer: str, part: Part, colours: Palette) -> tuple[go.Figure, pd.DataFrame]:
    """How often each shared value occurs, and how many bits its Huffman code has, the most frequent first."""
    frequencies = np.asarray(part.symbols.frequencies)
    lengths = np.asarray(part.symbols.lengths, float)
    order = np.argsort(-frequencies, kind="stable")
    order = order[frequencies[order] > 0]
    shares = frequencies[order] / max(1, frequencies.sum())
    names = [_symbol(part, int(symbol)) for symbol in order]
    rank = np.arange(1, len(order) + 1)
    ideal = -np.log2(np.maximum(shares, 1e-12))
    figure = go.Figure()
    figure.add_bar(
        x=rank,
        y=100 * shares,
        name="frequency",
        marker={"color": fade(colours.dense, 0.55)},
        customdata=np.stack([names, frequencies[order].astype(str)], axis=1),
        hovertemplate="%{customdata[0]}<br>%{y:.2f} % of the stored weights (%{customdata[1]})"
        "<extra></extra>",
    )
    figure.add_scatter(
        x=rank,
        y=lengths[order],
        yaxis="y2",
        name="length of its code",
        mode="markers",
        marker={"color": colours.pruned, "size": 6},
        hovertemplate="%{y:.3g} bits<extra></extra>",
    )
    figure.add_scatter(
        x=rank,
        y=ideal,
        yaxis="y2",
        name="−log₂ of its frequency",
        mode="lines",
        line={"color": colours.pruned, "width": 1, "dash": "dot"},
        hovertemplate="−log₂ frequency: %{y:.2f} bits<extra></extra>",
    )
    figure.update_layout(
        title=f"Codes of {shortened(layer)}: {part.weight_bits:.2f} → {part.weight_bits_coded:.2f} "
        "bits a weight",
        height=HEIGHT,
        xaxis={"title": "shared value, the most frequent first"},
        yaxis={"title": "share of the stored weights, %", "rangemode": "tozero"},
        yaxis2={
            "title": "bits of its code",
            "overlaying": "y",
            "side": "right",
            "rangemode": "tozero",
            "showgrid": False,
        },
        legend=LEGEND,
    )
    data = {"value": names, "occurrences": frequencies[order], "bits": lengths[order], "entropy bits": ideal}
    return figure, pd.DataFrame(data)


def scan(
    points: Sequence[BitsPoint], dense: float, chosen: str, colours: Palette, *, error: bool
) -> tuple[go.Figure, pd.DataFrame]:
    """Each layer alone at 1..8 bits: accuracy, or the squared error of its weights.

    Args:
        dense: accuracy of the network before any layer shares values.
        chosen: the layer to emphasise.
        error: the second instead of the first.
    """
    figure = go.Figure()
    layers = list(dict.fromkeys(point.layer for point in points))
    for number, layer in enumerate(layers):
        own = sorted((point for point in points if point.layer == layer), key=lambda point: point.bits)
        strong = layer == chosen
        figure.add_scatter(
            x=[point.bits for point in own],
            y=[100 * (point.error if error else point.report.accuracy) for point in own],
            mode="lines+markers",
            name=shortened(layer),
            line={"color": colours.series[number % len(colours.series)], "width": 3 if strong else 1.5},
            marker={"size": 7 if strong else 5},
            customdata=[[100 * end for end in point.report.interval] for point in own],
            hovertemplate=f"<b>{text(layer)}</b><br>%{{x}} bits: "
            + (
                "%{y:.3g} % of its squares<extra></extra>"
                if error
                else "%{y:.2f} %, 95 % interval %{customdata[0]:.2f} to %{customdata[1]:.2f} %<extra></extra>"
            ),
        )
    if not error:
        figure.add_hline(y=100 * dense, line={"color": colours.muted, "width": 1, "dash": "dot"})
    n = points[0].report.n if points else 0
    title = "squared error of the weights" if error else f"accuracy, measured on {n:,} validation images"
    axis: dict[str, Any] = {"title": "validation accuracy, %"}
    if error:
        axis = {"title": "squared error, % of the layer's squares", "type": "log", "exponentformat": "power"}
    figure.update_layout(
        title=f"One layer alone at few bits: {title}",
        height=HEIGHT + 30,
        xaxis={"title": "bits of the layer's weights", "dtick": 1, "range": [8.2, 0.8]},
        yaxis=axis,
        hovermode="closest",
    )
    rows = [(p.layer, p.bits, p.report.accuracy, *p.report.interval, p.report.n, p.error) for p in points]
    columns = ["layer", "bits", "accuracy", "low", "high", "images", "relative squared error"]
    return figure, pd.DataFrame(rows, columns=columns)


def movement(layer: str, centroids: np.ndarray, colours: Palette) -> tuple[go.Figure, pd.DataFrame]:
    """Where a layer's centroids are after each epoch of training; a slider goes through the epochs.

    Args:
        centroids: (epochs, k), the first row before the first step.
    """
    epochs, k = centroids.shape
    shades = [_colour(number, centroids[0], colours) for number in range(k)]
    number = np.arange(epochs)
    figure = go.Figure()
    for cluster in range(k):
        figure.add_scatter(
            x=centroids[:, cluster],
            y=number,
            mode="lines",
            line={"color": fade(shades[cluster], 0.6), "width": 1.5},
            hovertemplate="epoch %{y}: %{x:.4g}<extra></extra>",
            showlegend=False,
        )
    figure.add_scatter(
        x=centroids[-1],
        y=np.full(k, epochs - 1),
        mode="markers",
        marker={"color": shades, "size": 10, "line": {"color": colours.text, "width": 0.6}},
        customdata=centroids[-1] - centroids[0],
        hovertemplate="centroid %{x:.4g}, moved by %{customdata:.3g}<extra></extra>",
        showlegend=False,
    )
    steps = [
        {
            "label": str(epoch),
            "method": "restyle",
            "args": [{"x": [centroids[epoch].tolist()], "y": [[epoch] * k]}, [k]],
        }
        for epoch in range(epochs)
    ]
    figure.update_layout(
        title=f"Centroids of {shortened(layer)} while they are trained",
        height=430,
        xaxis={"title": "value of the centroid"},
        yaxis={"title": "epoch", "range": [epochs - 0.7, -0.3], "dtick": max(1, epochs // 10)},
        sliders=[slider(steps, colours)],
        hovermode="closest",
        margin={"b": 110},
    )
    data = pd.DataFrame(centroids, columns=[f"centroid {cluster + 1}" for cluster in range(k)])
    data.insert(0, "epoch", number)
    return figure, data


def _colour(number: int, values: np.ndarray, colours: Palette) -> str:
    """Neighbours in different colours: with few clusters each has its own, with many two alternate."""
    if len(values) <= len(colours.series):
        return colours.series[number]
    return colours.series[number % 4]


def _span(values: np.ndarray) -> tuple[float, float]:
    if not len(values):
        return -1.0, 1.0
    low, high = float(values.min()), float(values.max())
    edge = 0.03 * (high - low) or abs(high) or 1.0
    return low - edge, high + edge


def _symbol(part: Part, symbol: int) -> str:
    values: Mapping[int, float] | np.ndarray = part.values
    return f"{float(values[symbol]):.4g}" if symbol < len(values) else f"symbol {symbol}"
