"""Figures of weights: distributions, channel norms, kernels, matrices, BatchNorm scales."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from pruning.weights import Histogram, Kernels
from ui.figures.theme import Palette, fade, scale
from ui.figures.words import SPACE

OVERLAP = 1.7  # height of the tallest ridge, in rows
ROW = 30  # pixels between two ridges
DENSE_ROW = 20  # of more than MANY
MANY = 40
MOSAIC = 480  # pixels that a picture of kernels is about wide
LONGEST = 40  # letters of a layer's name where it is repeated
MOST_BARS = 1000  # of a layer's outputs
MOST_POINTS = 4000  # of all curves of BatchNorm scales together
DIGITS = 5  # of the largest number in a picture or curve, sent to the browser


def text(name: str) -> str:
    """A layer's name for a figure: Plotly reads a few tags, and a name may come from a file."""
    return html.escape(name, quote=False)


def shortened(name: str) -> str:
    """The same, with the middle of a long name left out: it is sent with every point of a curve."""
    half = LONGEST // 2
    return text(name if len(name) <= LONGEST else f"{name[: half - 1]}…{name[-half:]}")


def around(names: Sequence[str], chosen: str | None, most: int) -> list[str]:
    """As many neighbours as are allowed, with the chosen one in their middle where that is possible."""
    middle = names.index(chosen) if chosen in names else 0
    first = max(0, min(middle - most // 2, len(names) - most))
    return list(names[first : first + most])


def rounded(values: np.ndarray) -> np.ndarray:
    """Numbers with as many digits as anybody can see: a third of the letters that float32 is written with."""
    largest = float(np.nanmax(np.abs(values), initial=0))
    digits = DIGITS - 1 - math.floor(math.log10(largest)) if 0 < largest < math.inf else 0
    return np.round(values.astype(np.float64), digits)


def ridgeline(
    dense: dict[str, Histogram],
    pruned: dict[str, Histogram],
    chosen: str,
    colours: Palette,
    *,
    every: bool = True,
) -> tuple[go.Figure, pd.DataFrame]:
    """One ridge a layer on one scale of weights, the first layer on top.

    Args:
        dense: layer -> histogram; all with the same edges. Empty to leave the dense network out.
        pruned: the same for the pruned network.
        chosen: the layer to emphasise.
        every: whether these are all of the network's layers.
    """
    sides = [(label, side) for label, side in (("dense", dense), ("pruned", pruned)) if side]
    names = list(sides[0][1])
    # Each ridge has its own height: what is compared between layers is where the weights lie.
    peaks = {name: max(float(side[name].density.max()) for _, side in sides) for name in names}
    figure = go.Figure()
    # One trace for all layers but the chosen one: Plotly takes its time for every trace.
    for label, side in sides:
        ridges = [_ridge(name, side[name], len(names) - 1 - i, peaks[name]) for i, name in enumerate(names)]
        colour = colours.dense if label == "dense" else colours.pruned
        for strong in (False, True):
            shown = [ridge for name, ridge in zip(names, ridges, strict=True) if (name == chosen) == strong]
            if shown:
                figure.add_scatter(
                    **_joined(shown),
                    mode="lines",
                    fill="toself",
                    fillcolor=fade(colour, 0.42 if strong else 0.2),
                    line={"color": colour, "width": 2.2 if strong else 1.1},
                    name=label,
                    legendgroup=label,
                    showlegend=strong and len(sides) > 1,
                    hoveron="points",
                    hovertemplate=f"%{{text}} ({label})<br>"
                    "weight %{x:.3f}: %{customdata:,} weights<extra></extra>",
                )
    figure.update_layout(_rows(names, chosen, every))
    rows = [
        (name, label, weight, int(count))
        for name in names
        for label, side in sides
        for weight, count in zip(side[name].centres, side[name].counts, strict=True)
    ]
    return figure, pd.DataFrame(rows, columns=["layer", "network", "weight", "count"])


def _rows(names: list[str], chosen: str, every: bool) -> dict[str, Any]:
    """The layout of a ridgeline: a row for each layer, the first on top."""
    height = 90 + (ROW if len(names) <= MANY else DENSE_ROW) * (len(names) + 1)
    return {
        "title": {
            "text": f"Weights of {'every layer' if every else 'these layers'}, on one scale",
            "y": 1 - 10 / height,  # as far from the top as in a chart of the usual height
        },
        "height": height,
        "xaxis": {"title": "weight"},
        "yaxis": {
            "tickvals": list(range(len(names)))[::-1],
            "ticktext": [f"<b>{shortened(n)}</b>" if n == chosen else shortened(n) for n in names],
            "range": [-0.3, len(names) - 1 + OVERLAP + 0.1],
            "showgrid": False,
            "zeroline": False,
        },
        "legend": {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.0, "yanchor": "bottom"},
        "hovermode": "closest",
    }


Line = tuple[np.ndarray, np.ndarray, np.ndarray, str]  # x, y, what the pointer shows at each point, whose


def _ridge(name: str, shape: Histogram, base: float, peak: float) -> Line:
    """The outline of a histogram on a base line, `peak` as high as OVERLAP rows."""
    x = np.r_[shape.edges[0], shape.centres, shape.edges[-1]]
    return x, base + OVERLAP * np.r_[0, shape.density, 0] / peak, np.r_[0, shape.counts, 0], name


def _joined(lines: list[Line]) -> dict[str, list[Any]]:
    """Several lines as one trace; a gap keeps them apart."""
    joined: dict[str, list[Any]] = {"x": [], "y": [], "customdata": [], "text": []}
    for x, y, shown, name in lines:
        joined["x"] += [*rounded(x).tolist(), None]
        joined["y"] += [*rounded(y).tolist(), None]
        joined["customdata"] += [*shown.tolist(), None]
        joined["text"] += [shortened(name)] * (len(x) + 1)
    return joined


def histogram(
    name: str,
    dense: Histogram | None,
    pruned: Histogram | None,
    threshold: float | None,
    log: bool,
    colours: Palette,
) -> tuple[go.Figure, pd.DataFrame]:
    """Counts of one layer's weights, with the band that a magnitude threshold takes away.

    Args:
        threshold: weights of smaller magnitude would go; None if magnitude does not decide.
        log: counts on a logarithmic axis.
    """
    figure, rows = go.Figure(), []
    for label, shape, colour in (("dense", dense, colours.dense), ("pruned", pruned, colours.pruned)):
        if shape is None:
            continue
        figure.add_bar(
            x=shape.centres,
            y=shape.counts,
            width=np.diff(shape.edges),
            marker={"color": fade(colour, 0.75 if pruned is None or dense is None else 0.55)},
            name=label,
            customdata=np.c_[shape.edges[:-1], shape.edges[1:]],
            hovertemplate="%{customdata[0]:.4f} to %{customdata[1]:.4f}: %{y:,} weights<extra>"
            + label
            + "</extra>",
        )
        rows += [
            (label, lo, hi, int(n))
            for lo, hi, n in zip(shape.edges[:-1], shape.edges[1:], shape.counts, strict=True)
        ]
    if threshold is not None:
        figure.add_vrect(-threshold, threshold, fillcolor=fade(colours.pruned, 0.14), line_width=0)
        for side in (-threshold, threshold):
            figure.add_vline(side, line={"color": colours.pruned, "width": 1.5, "dash": "dot"})
    figure.update_layout(
        title=f"Weights of {text(name)}",
        height=340,
        barmode="overlay",
        bargap=0,
        xaxis_title="weight",
        yaxis_title="weights in a bin",
        yaxis_type="log" if log else "linear",
        showlegend=dense is not None and pruned is not None,
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.0, "yanchor": "bottom"},
    )
    if log:
        figure.update_yaxes(dtick=1)
    return figure, pd.DataFrame(rows, columns=["network", "from", "to", "count"])


def scores(
    title: str, axis: str, shape: Histogram, threshold: float | None, colours: Palette
) -> tuple[go.Figure, pd.DataFrame]:
    """Histogram of a criterion's scores; what lies left of the threshold goes."""
    middle = shape.centres
    gone = np.zeros(len(middle), bool) if threshold is None else middle < threshold
    figure = go.Figure()
    figure.add_bar(
        x=middle,
        y=shape.counts,
        width=np.diff(shape.edges),
        marker={"color": [colours.pruned if g else colours.dense for g in gone], "opacity": 0.75},
        customdata=np.c_[shape.edges[:-1], shape.edges[1:]],
        hovertemplate="score %{customdata[0]:.3g} to %{customdata[1]:.3g}: %{y:,}<extra></extra>",
    )
    if threshold is not None:
        place = math.log10(threshold) if shape.log and threshold > 0 else threshold
        if not shape.log or threshold > 0:
            figure.add_vline(threshold, line={"color": colours.pruned, "width": 1.5, "dash": "dot"})
            figure.add_annotation(
                x=place,
                y=1,
                yref="paper",
                text="threshold",
                showarrow=False,
                xanchor="left",
                xshift=4,
                font={"color": colours.pruned, "size": 12},
            )
    figure.update_layout(
        title=title,
        height=280,
        bargap=0,
        xaxis_title=axis,
        yaxis_title="count",
        xaxis_type="log" if shape.log else "linear",
    )
    data = pd.DataFrame({"from": shape.edges[:-1], "to": shape.edges[1:], "count": shape.counts})
    return figure, data


def norms(
    name: str, values: np.ndarray, channels: np.ndarray, removed: np.ndarray, colours: Palette
) -> tuple[go.Figure, pd.DataFrame]:
    """Norms of a layer's output channels, the largest first; removed ones stand out.

    Of more than MOST_BARS so many are drawn, evenly chosen by rank; the table has all.

    Args:
        values: (channels,) descending.
        channels: (channels,) which channel each is.
        removed: (channels,) bool, in the same order.
    """
    figure, ranks = go.Figure(), evenly(len(values), MOST_BARS)
    for side, gone, colour in (("kept", False, colours.dense), ("removed", True, colours.pruned)):
        chosen = ranks[removed[ranks] == gone]
        if not len(chosen):
            continue
        figure.add_bar(
            x=chosen,
            y=rounded(values[chosen]),
            width=None if len(ranks) == len(values) else len(values) / len(ranks),
            marker={"color": fade(colour, 0.8)},
            name=side,
            customdata=channels[chosen],
            hovertemplate="output %{customdata}: norm %{y:.4f}<extra>" + side + "</extra>",
        )
    figure.update_layout(
        title=f"Norms of the outputs of {text(name)}, sorted",
        height=280,
        xaxis_title="rank (largest norm first)",
        yaxis_title="L2 norm of the output's weights",
        bargap=0.1 if len(values) < 100 else 0,
        showlegend=bool(removed.any()),
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.0, "yanchor": "bottom"},
    )
    return figure, pd.DataFrame({"channel": channels, "norm": values, "removed": removed})


def evenly(count: int, most: int) -> np.ndarray:
    """(at most `most`,) places among so many, ascending, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def kernels(name: str, found: Kernels, colours: Palette) -> tuple[go.Figure, pd.DataFrame]:
    """Kernels of a convolution as small images in a mosaic, one common colour scale around zero."""
    n, height, width = found.images.shape
    across = max(1, math.ceil(math.sqrt(n * 2.2)))
    down = -(-n // across)
    mosaic = np.full((down * (height + 1) - 1, across * (width + 1) - 1), np.nan, np.float32)
    label = np.full(mosaic.shape, "", dtype=object)
    for i, image in enumerate(found.images):
        y, x = (i // across) * (height + 1), (i % across) * (width + 1)
        mosaic[y : y + height, x : x + width] = image
        label[y : y + height, x : x + width] = f"output {found.places[i, 0]}, input {found.places[i, 1]}"
    shown = f", the first {n:,} of {found.total:,}" if n < found.total else ""
    figure = _signed(mosaic, f"Kernels of {text(name)}{shown}", colours, label)
    pixel = min(16, MOSAIC / mosaic.shape[1])
    figure.update_layout(height=max(200, 70 + pixel * mosaic.shape[0]))
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, scaleanchor="x")
    flat = found.images.reshape(n, -1)
    data = pd.DataFrame(flat, columns=[f"w{i}" for i in range(flat.shape[1])])
    data.insert(0, "input", found.places[:, 1])
    data.insert(0, "output", found.places[:, 0])
    return figure, data


def matrix(name: str, values: np.ndarray, shape: tuple[int, ...], colours: Palette) -> go.Figure:
    """A weight matrix as a heat map around zero."""
    small = values.shape[0] < shape[0] or values.size < math.prod(shape)
    note = ", strongest weight of each cell" if small else ""
    figure = _signed(values, f"Weight of {text(name)}{note}", colours, None)
    figure.update_layout(height=420, xaxis_title="input", yaxis_title="output")
    return figure


def batch_norm(
    scales: dict[str, np.ndarray], chosen: str | None, colours: Palette
) -> tuple[go.Figure, pd.DataFrame]:
    """Magnitudes of the BatchNorm scales of every layer, sorted; the chosen layer's stand out.

    Curves of more than MOST_POINTS points together are drawn through fewer of them; the table has all.
    """
    most = max(2, MOST_POINTS // max(len(scales), 1))
    sorted_scales = {name: np.sort(np.abs(gamma))[::-1] for name, gamma in scales.items()}
    figure = go.Figure()
    for strong in (False, True):
        lines = [
            (100 * (ranks + 0.5) / len(values), values[ranks], ranks, name)
            for name, values in sorted_scales.items()
            if (name == chosen) == strong and len(ranks := evenly(len(values), most))
        ]
        if lines:
            figure.add_scatter(
                **_joined(lines),
                mode="lines",
                line={
                    "color": colours.pruned if strong else fade(colours.dense, 0.45),
                    "width": 2.6 if strong else 1.2,
                },
                name="",
                hovertemplate="%{text}<br>scale %{y:.3f}<extra></extra>",
            )
    rows = [(name, i, float(v)) for name, values in sorted_scales.items() for i, v in enumerate(values)]
    figure.update_layout(
        title="BatchNorm scales of every layer, sorted",
        height=300,
        margin={"r": 32},
        xaxis={"title": "share of the layer's channels", "ticksuffix": f"{SPACE}%", "range": [0, 100]},
        yaxis={"title": "magnitude of the scale γ", "rangemode": "tozero"},
        showlegend=False,
    )
    return figure, pd.DataFrame(rows, columns=["layer", "rank", "scale"])


def _signed(values: np.ndarray, title: str, colours: Palette, label: np.ndarray | None) -> go.Figure:
    limit = float(np.nanmax(np.abs(values))) or 1.0
    where = "%{text}<br>" if label is not None else "output %{y}, input %{x}<br>"
    figure = go.Figure(
        go.Heatmap(
            z=rounded(values),
            text=label,
            zmin=-limit,
            zmax=limit,
            colorscale=scale(colours.diverging),
            colorbar={"title": "weight"},
            hoverongaps=False,
            hovertemplate=where + "weight %{z:.4f}<extra></extra>",
        )
    )
    figure.update_layout(title=title)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(showgrid=False)
    return figure
