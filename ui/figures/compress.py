"""Figures of shared weights: clusters in a histogram, and where the bytes of a file are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from pruning.compress.stages import Bytes
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
        marker={"color": [cluster_colour(int(one), values, colours) for one in which], "line": {"width": 0}},
        customdata=np.stack([values[which], counts[which]], axis=1),
        hovertemplate="%{y:,} weights near %{x:.3g}<br>become %{customdata[0]:.4g}, "
        "shared by %{customdata[1]:,}<extra></extra>",
        name="weights before, by cluster",
        showlegend=False,
    )
    top = float(table.sum(1).max(initial=1))
    _centroids(figure, values, counts, top, colours)
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


def _centroids(
    figure: go.Figure, values: np.ndarray, counts: np.ndarray, top: float, colours: Palette
) -> None:
    """A line and a mark at each shared value."""
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
            "color": [cluster_colour(number, values, colours) for number in range(len(values))],
            "line": {"color": colours.text, "width": 0.5},
        },
        customdata=counts,
        hovertemplate="centroid %{x:.4g}<br>%{customdata:,} weights<extra></extra>",
        name="shared values",
        showlegend=False,
    )


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


def cluster_colour(number: int, values: np.ndarray, colours: Palette) -> str:
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
