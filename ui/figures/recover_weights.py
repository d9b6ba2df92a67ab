"""Figures of what a run does to single layers: shares gone, how weights lie, weights near zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from pruning.recover.record import Epoch, Histogram
from ui.figures.animation import animate
from ui.figures.sensitivity import depth_colours
from ui.figures.theme import Palette, scale
from ui.figures.weights import shortened, text
from ui.figures.words import percent

ROW = 22  # pixels of a heat map's row
STEPS = 60  # epochs that a slider has at most
COLUMNS = 200  # of a heat map, at most


def heat_map(epochs: Sequence[Epoch], colours: Palette) -> tuple[go.Figure, pd.DataFrame]:
    """Share of each key (row) that is gone, over the epochs (columns)."""
    shown = _thinned(epochs, COLUMNS)
    keys = list(dict.fromkeys(key for epoch in shown for key in epoch.removed))
    shares = [[epoch.removed.get(key, 0.0) for epoch in shown] for key in keys]
    figure = go.Figure(
        go.Heatmap(
            z=[[round(100 * share, 2) for share in row] for row in shares],
            x=[epoch.number for epoch in shown],
            y=[text(key) for key in keys],
            colorscale=scale(colours.sequential),
            zmin=0,
            zmax=100,
            colorbar={"title": {"text": "% gone"}, "nticks": 5},
            hovertemplate="<b>%{y}</b><br>epoch %{x}: %{z:.1f} % gone<extra></extra>",
        )
    )
    figure.update_layout(
        title="Share of each that is gone",
        height=max(230, 120 + ROW * len(keys)),
        xaxis={"title": "epoch", "showgrid": False, "nticks": 12},
        yaxis={"autorange": "reversed", "showgrid": False, "type": "category"},
    )
    rows = [(epoch.number, key, share) for epoch in shown for key, share in epoch.removed.items()]
    return figure, pd.DataFrame(rows, columns=["epoch", "key", "share gone"])


def weights(epochs: Sequence[Epoch], layer: str, colours: Palette) -> tuple[go.Figure, pd.DataFrame]:
    """Histogram of a layer's weights, which moves as the epochs are played; grey: as it was at the start."""
    shown = _thinned([epoch for epoch in epochs if layer in epoch.histograms], STEPS)
    found = [epoch.histograms[layer] for epoch in shown]
    first, last = found[0], found[-1]
    edges = np.linspace(-first.edge, first.edge, len(first.counts) + 1)
    middles = np.round((edges[:-1] + edges[1:]) / 2, 6)
    figure = go.Figure()
    for name, histogram, look in (
        (f"epoch {shown[0].number}", first, {"color": colours.muted, "opacity": 0.35}),
        ("shown epoch", last, {"color": colours.pruned, "opacity": 0.85}),
    ):
        figure.add_bar(
            x=middles,
            y=list(histogram.counts),
            name=name,
            marker=look,
            hovertemplate="%{y:,} weights at %{x:.3g}<extra>" + name + "</extra>",
        )
    frames = [
        go.Frame(
            name=str(epoch.number),
            traces=[1],
            data=[go.Bar(x=middles, y=list(histogram.counts))],
            layout={"title": {"text": _title(layer, epoch, histogram)}},
        )
        for epoch, histogram in zip(shown, found, strict=True)
    ]
    most = max(max(histogram.counts) for histogram in found)
    figure.update_layout(
        title=_title(layer, shown[-1], last),
        height=430,
        barmode="overlay",
        bargap=0.02,
        xaxis={"title": "weight", "range": [-1.03 * first.edge, 1.03 * first.edge]},
        yaxis={"title": "weights a bin", "range": [0, 1.06 * most]},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 1, "xanchor": "right"},
        margin={"t": 72},
    )
    animate(figure, frames, colours, redraw=True, step_ms=300)
    columns = [f"{edge:.5g}" for edge in middles]
    data = pd.DataFrame([histogram.counts for histogram in found], columns=columns)
    data.insert(0, "pruned", [histogram.zero for histogram in found])
    data.insert(0, "epoch", [epoch.number for epoch in shown])
    return figure, data


def near_zero(epochs: Sequence[Epoch], colours: Palette) -> tuple[go.Figure, pd.DataFrame]:
    """Of the weights that are not pruned, the share below a hundredth of the layer's largest at the start."""
    layers = list(dict.fromkeys(layer for epoch in epochs for layer in epoch.histograms))
    figure = go.Figure()
    rows: list[tuple[Any, ...]] = []
    for layer, colour in zip(layers, depth_colours(len(layers), colours), strict=True):
        points = [(epoch.number, epoch.histograms[layer]) for epoch in epochs if layer in epoch.histograms]
        shares = [each.near / max(1, sum(each.counts)) for _, each in points]
        rows += [
            (number, layer, each.near, sum(each.counts), each.zero, share)
            for (number, each), share in zip(points, shares, strict=True)
        ]
        figure.add_scatter(
            x=[number for number, _ in points],
            y=[100 * share for share in shares],
            name=shortened(layer),
            mode="lines",
            line={"color": colour, "width": 1.8},
            hovertemplate=f"<b>{text(layer)}</b><br>epoch %{{x}}: %{{y:.2f}} % near zero<extra></extra>",
        )
    figure.update_layout(
        title="Weights near zero, of those not pruned",
        height=max(430, 120 + 17 * len(layers)),
        hovermode="closest",
        hoverdistance=40,
        xaxis={"title": "epoch", "rangemode": "tozero", "nticks": 12},
        yaxis={"title": "share of the layer's weights, %", "rangemode": "tozero"},
        legend={"font": {"size": 11}, "tracegroupgap": 0, "itemwidth": 30},
    )
    columns = ["epoch", "layer", "near zero", "not pruned", "zero", "share near zero"]
    return figure, pd.DataFrame(rows, columns=columns)


def _title(layer: str, epoch: Epoch, histogram: Histogram) -> str:
    size = histogram.zero + sum(histogram.counts)
    gone = f", {percent(histogram.zero / size)} zero and not drawn" if histogram.zero else ""
    return f"Weights of {shortened(layer)}, epoch {epoch.number}{gone}"


def _thinned(epochs: Sequence[Epoch], most: int) -> list[Epoch]:
    """At most so many epochs, evenly spread, the first and the last among them."""
    if len(epochs) <= most:
        return list(epochs)
    return [epochs[round(place)] for place in np.linspace(0, len(epochs) - 1, most)]
