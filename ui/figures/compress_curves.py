"""Figures of shared weights: codes against frequencies, scans over bits, centroids in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from pruning.coding import Part
from pruning.compress.scan import WHOLE, BitsPoint
from ui.figures.animation import animate
from ui.figures.compress import HEIGHT, LEGEND, cluster_colour
from ui.figures.scan_words import known
from ui.figures.theme import Palette, fade
from ui.figures.weights import shortened, text


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
        xaxis={"title": "shared value, the most frequent first", "range": [0.4, len(order) + 0.6]},
        yaxis={"title": "share of the stored weights, %", "range": [0, 110 * float(shares.max())]},
        yaxis2={
            "title": "bits",
            "overlaying": "y",
            "side": "right",
            "range": [0, 1.1 * float(max(lengths.max(), ideal.max()))],
            "tickmode": "auto",
            "nticks": 6,
            "showgrid": False,
        },
        legend=LEGEND,
    )
    data = {"value": names, "occurrences": frequencies[order], "bits": lengths[order], "entropy bits": ideal}
    return figure, pd.DataFrame(data)


def scan(
    points: Sequence[BitsPoint], dense: float, n: int, chosen: str, colours: Palette, *, error: bool
) -> tuple[go.Figure, pd.DataFrame]:
    """Each layer alone at 1..8 bits: accuracy, or the squared error of its weights.

    Bars are the bounds of points that were measured on some of the images; inferred points are hollow.

    Args:
        dense: accuracy of the network before any layer shares values.
        n: images of the scan.
        chosen: the layer to emphasise.
        error: the second instead of the first.
    """
    figure = go.Figure()
    layers = list(dict.fromkeys(point.layer for point in points))
    for number, layer in enumerate(layers):
        own = sorted((point for point in points if point.layer == layer), key=lambda point: point.bits)
        strong = layer == chosen
        colour = colours.series[number % len(colours.series)]
        figure.add_scatter(
            x=[point.bits for point in own],
            y=[100 * (point.error if error else point.found.accuracy) for point in own],
            mode="lines+markers",
            name=shortened(layer),
            line={"color": colour, "width": 3 if strong else 1.5},
            marker={"size": 7 if strong else 5, "symbol": "circle" if error else [_marker(p) for p in own]},
            error_y=None if error else _bars(own, colour),
            text=[f"{100 * p.error:.3g} % of its squares" if error else _known(p, n) for p in own],
            hovertemplate=f"<b>{text(layer)}</b>, %{{x}} bits<br>%{{text}}<extra></extra>",
        )
    if not error:
        figure.add_hline(y=100 * dense, line={"color": colours.muted, "width": 1, "dash": "dot"})
    title = "squared error of the weights" if error else f"accuracy on {n:,} validation images"
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
    rows = [
        (
            p.layer,
            p.bits,
            p.found.accuracy,
            *p.found.bounds,
            *p.found.interval,
            _images(p, n),
            p.found.how,
            p.error,
        )
        for p in points
    ]
    columns = ["layer", "bits", "accuracy", "low, these", "high, these", "low, any", "high, any"]
    columns += ["images", "how", "relative squared error"]
    return figure, pd.DataFrame(rows, columns=columns)


def _known(point: BitsPoint, n: int) -> str:
    return "<br>".join(known(point.found, n, lambda ratio: f"{round(WHOLE * (1 - ratio))} bits"))


def _images(point: BitsPoint, n: int) -> int:
    return point.found.sample.n if point.found.sample else n


def _marker(point: BitsPoint) -> str:
    return "circle-open" if point.found.how in ("between", "beyond") else "circle"


def _bars(points: Sequence[BitsPoint], colour: str) -> dict[str, Any] | None:
    found = [point.found for point in points]
    if all(one.how != "partly" for one in found):
        return None
    bounds = [one.bounds if one.how == "partly" else (one.accuracy, one.accuracy) for one in found]
    return {
        "type": "data",
        "array": [100 * (high - one.accuracy) for one, (_, high) in zip(found, bounds, strict=True)],
        "arrayminus": [100 * (one.accuracy - low) for one, (low, _) in zip(found, bounds, strict=True)],
        "color": fade(colour, 0.7),
        "thickness": 1.2,
        "width": 0,
    }


def movement(layer: str, centroids: np.ndarray, colours: Palette) -> tuple[go.Figure, pd.DataFrame]:
    """Where a layer's centroids are after each epoch of training; they move as the epochs are played.

    Args:
        centroids: (epochs, k), the first row before the first step.
    """
    epochs, k = centroids.shape
    shades = [cluster_colour(number, centroids[0], colours) for number in range(k)]
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
    figure.update_layout(
        title=f"Centroids of {shortened(layer)} while they are trained",
        height=440,
        xaxis={"title": "value of the centroid"},
        yaxis={"title": "epoch", "range": [epochs - 0.7, -0.3], "dtick": max(1, epochs // 10)},
        hovermode="closest",
    )
    frames = [
        go.Frame(name=str(epoch), traces=[k], data=[go.Scatter(x=centroids[epoch], y=np.full(k, epoch))])
        for epoch in range(epochs)
    ]
    animate(figure, frames, colours, redraw=False)
    data = pd.DataFrame(centroids, columns=[f"centroid {cluster + 1}" for cluster in range(k)])
    data.insert(0, "epoch", number)
    return figure, data


def _symbol(part: Part, symbol: int) -> str:
    return f"{float(part.values[symbol]):.4g}" if symbol < len(part.values) else f"symbol {symbol}"
