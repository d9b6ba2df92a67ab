"""Figures of a sensitivity scan: a curve for each key, key x ratio as a heat map, time saved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.colors import hex_to_rgb, label_rgb, sample_colorscale

from pruning import Scan, ScanPoint
from pruning.sensitivity import LatencyPoint
from ui.figures import scan_words as words
from ui.figures.theme import Palette, fade, scale
from ui.figures.weights import text

ROW = 27  # pixels of a heat map's row
RUIN = 20  # points of accuracy lost: beyond, shades say nothing more
FEW_CELLS = 14  # columns up to which a cell's number is readable


def table(scan: Scan) -> pd.DataFrame:
    """Every point: one row a key and ratio, and the dense network at ratio 0.

    "these" are the scan's images, of which `images` were measured; "any" are all images of their kind.
    """
    dense = scan.dense
    rows: list[tuple[Any, ...]] = []
    for key in scan.keys:
        rows += [
            (
                key,
                p.ratio,
                p.kept,
                p.size,
                p.accuracy,
                *p.bounds,
                *p.interval,
                p.loss,
                scan.images_of(p),
                p.how,
            )
            for p in scan.curve(key)
        ]
    exact = (dense.accuracy, dense.accuracy, dense.accuracy, *dense.interval, dense.loss, scan.n, "measured")
    names = ["key", "ratio", "kept", "size", "accuracy", "low, these", "high, these", "low, any", "high, any"]
    names += ["loss", "images", "how"]
    return pd.DataFrame([("(dense)", 0.0, None, None, *exact), *rows], columns=names)


def depth_colours(count: int, colours: Palette) -> list[str]:
    """One colour a key, from the first layer to the last through four distinct hues."""
    hues = [label_rgb(hex_to_rgb(colours.series[i])) for i in (0, 2, 3, 1)]
    places = [i / max(1, count - 1) for i in range(count)]
    return sample_colorscale(hues, places)


def curves(scan: Scan, measure: str, allowed: float, colours: Palette) -> tuple[go.Figure, pd.DataFrame]:
    """One line a key, over the ratio at which it alone was pruned.

    Bars are the bounds of points that were measured on some of the images; inferred points are hollow.

    Args:
        measure: "accuracy", "close-up" (accuracy near the dense network's) or "loss".
        allowed: percentage points of accuracy that may be lost; drawn as a line, for accuracy only.
    """
    figure = go.Figure()
    accuracy = measure != "loss"
    for key, colour in zip(scan.keys, depth_colours(len(scan.keys), colours), strict=True):
        points = scan.curve(key)
        if not points:
            continue
        start = 100 * scan.dense.accuracy if accuracy else scan.dense.loss
        figure.add_scatter(
            x=[0.0, *(100 * p.ratio for p in points)],
            y=[start, *(100 * p.accuracy if accuracy else p.loss for p in points)],
            mode="lines+markers",
            line={"color": colour, "width": 1.8},
            marker={"color": colour, "size": 5, "symbol": ["circle", *map(_symbol, points)]},
            error_y=_bars(points, colour) if accuracy and scan.mode == "adaptive" else None,
            name=text(key),
            text=["nothing pruned", *(words.point(scan, p) for p in points)],
            hovertemplate=f"<b>{text(key)}</b><br>%{{text}}<extra></extra>",
        )
    end = 100 * max(scan.ratios) + 2
    if accuracy:
        _dense_band(figure, scan, allowed, end, colours)
    what = "Accuracy" if accuracy else "Loss"
    figure.update_layout(
        title=f"{what} when one alone is pruned, {words.images(scan)}",
        height=max(520, 120 + 19 * len(scan.keys)),
        hovermode="closest",
        hoverdistance=40,
        xaxis={"title": "pruning ratio, %", "range": [0, end], "dtick": 10},
        yaxis=_value_axis(scan, measure, allowed),
        legend={"font": {"size": 11}, "tracegroupgap": 0, "itemwidth": 30},
    )
    return figure, table(scan)


def drops(scan: Scan, measure: str, allowed: float, colours: Palette) -> tuple[go.Figure, pd.DataFrame]:
    """One point a whole layer: accuracy (or loss) with it alone dropped, each with its interval.

    Args:
        measure, allowed: as for `curves`.
    """
    points = [point for key in scan.keys for point in scan.curve(key)[-1:]]
    accuracy = measure != "loss"
    values = [100 * p.accuracy if accuracy else p.loss for p in points]
    below = [100 * (p.accuracy - p.interval[0]) for p in points]
    above = [100 * (p.interval[1] - p.accuracy) for p in points]
    few = [100 * (scan.dense.accuracy - p.accuracy) <= allowed + 1e-9 for p in points]
    figure = go.Figure(
        go.Scatter(
            x=values,
            y=_names([p.key for p in points]),
            mode="markers",
            marker={"size": 11, "color": [colours.dense if good else colours.pruned for good in few]},
            error_x={
                "visible": accuracy,
                "type": "data",
                "array": above,
                "arrayminus": below,
                "color": colours.text,
                "thickness": 1.2,
            },
            customdata=[words.point(scan, p) for p in points],
            hovertemplate="<b>%{y}</b><br>%{customdata}<extra></extra>",
            showlegend=False,
        )
    )
    dense = 100 * scan.dense.accuracy if accuracy else scan.dense.loss
    if dense is not None:
        figure.add_vline(dense, line={"color": colours.dense, "width": 1.4}, annotation_text="dense")
        if accuracy:
            figure.add_vline(
                dense - allowed,
                line={"color": colours.pruned, "width": 1.4, "dash": "dash"},
                annotation={"text": f"{allowed:g} pt lost", "xanchor": "right", "yanchor": "bottom"},
                annotation_position="bottom left",
            )
    what = "Accuracy" if accuracy else "Loss"
    figure.update_layout(
        title=f"{what} with one layer alone dropped, {words.images(scan)}",
        height=max(260, 130 + 2 * ROW * len(points)),
        xaxis=_value_axis(scan, measure, allowed),
        yaxis={"autorange": "reversed", "type": "category"},
        hovermode="closest",
    )
    return figure, table(scan)


def _dense_band(figure: go.Figure, scan: Scan, allowed: float, end: float, colours: Palette) -> None:
    """The dense network's interval, and the accuracy that may be reached at worst."""
    low, high = (100 * bound for bound in scan.dense.interval)
    figure.add_hrect(low, high, fillcolor=fade(colours.dense, 0.09), line_width=0, layer="below")
    figure.add_scatter(
        x=[0, end],
        y=[100 * scan.dense.accuracy - allowed] * 2,
        mode="lines",
        line={"color": colours.pruned, "width": 1.4, "dash": "dash"},
        name=f"{allowed:g} point{'s' * (allowed != 1)} lost",
        hoverinfo="skip",
    )


def _value_axis(scan: Scan, measure: str, allowed: float) -> dict[str, object]:
    if measure == "loss":
        return {"title": "cross-entropy, nats", "rangemode": "tozero"}
    if measure == "accuracy":
        return {"title": "accuracy, %"}
    top = 100 * max(scan.dense.interval[1], *(point.accuracy for point in scan.points))
    return {"title": "accuracy, %", "range": [100 * scan.dense.accuracy - max(3.0, 3 * allowed), top + 0.2]}


def heat_map(scan: Scan, prunable: dict[str, float], colours: Palette) -> tuple[go.Figure, pd.DataFrame]:
    """Change of accuracy for each key (row) at each ratio (column).

    Args:
        prunable: key -> the largest ratio within the loss allowed, drawn as a bar at that cell's right edge.
    """
    labels = [words.percent(ratio) for ratio in scan.ratios]
    points = {(p.key, p.ratio): p for p in scan.points}
    grid = [[points.get((key, ratio)) for ratio in scan.ratios] for key in scan.keys]
    change = [[None if p is None else 100 * (p.accuracy - scan.dense.accuracy) for p in row] for row in grid]
    figure = go.Figure(
        go.Heatmap(
            z=change,
            x=labels,
            y=_names(scan.keys),
            text=[["" if p is None else words.cell(scan, p) for p in row] for row in grid],
            texttemplate="%{text}" if len(labels) <= FEW_CELLS else None,
            textfont={"size": 11},
            customdata=[["" if p is None else words.point(scan, p) for p in row] for row in grid],
            hovertemplate="<b>%{y}</b><br>%{customdata}<br>change: %{text} points<extra></extra>",
            hoverongaps=False,
            colorscale=scale((*colours.diverging[:5], colours.surface)),
            zmin=-RUIN,
            zmax=0,
            xgap=1,
            ygap=1,
            colorbar={
                "title": {"text": "points"},
                "tickvals": [0, -RUIN / 2, -RUIN],
                "ticktext": ["0", f"−{RUIN // 2}", f"−{RUIN} or worse"],
            },
        )
    )
    for row, key in enumerate(scan.keys):
        if prunable.get(key):
            edge = scan.ratios.index(prunable[key]) + 0.5
            figure.add_shape(
                type="line",
                x0=edge,
                x1=edge,
                y0=row - 0.5,
                y1=row + 0.5,
                line={"color": colours.dense, "width": 3},
            )
    data = table(scan)
    data["change, points"] = 100 * (data["accuracy"] - scan.dense.accuracy)
    _rows(figure, "Change of accuracy, percentage points", len(scan.keys))
    return figure, data


def time_saved(
    keys: Sequence[str], ratios: Sequence[float], points: Sequence[LatencyPoint], colours: Palette
) -> tuple[go.Figure, pd.DataFrame]:
    """Share of the forward's time that each group (row) saves at each ratio (column), measured."""
    found = {(p.key, p.ratio): p for p in points}
    grid = [[found.get((key, ratio)) for ratio in ratios] for key in keys]
    # Where no difference can be told, no colour either.
    share = [
        [None if p is None else 100 * p.saved / p.dense if p.certain else 0.0 for p in row] for row in grid
    ]
    limit = min(100.0, max([5.0, *(abs(value) for row in share for value in row if value is not None)]))
    figure = go.Figure(
        go.Heatmap(
            z=share,
            x=[words.percent(ratio) for ratio in ratios],
            y=_names(keys),
            text=[[_sure(p) for p in row] for row in grid],
            texttemplate="%{text}" if len(ratios) <= FEW_CELLS else None,
            textfont={"size": 11},
            customdata=[["" if p is None else _saving(p) for p in row] for row in grid],
            hovertemplate="<b>%{y}</b><br>%{customdata}<extra></extra>",
            hoverongaps=False,
            colorscale=scale((*colours.diverging[:5], colours.surface, *colours.diverging[5:])),
            zmin=-limit,
            zmax=limit,
            xgap=1,
            ygap=1,
            colorbar={"title": {"text": "% saved"}, "nticks": 5},
        )
    )
    _rows(figure, "Time saved, % of the dense forward", len(keys))
    names = [
        "key",
        "ratio",
        "kept",
        "size",
        "dense, s",
        "saved, s",
        "saved low, s",
        "saved high, s",
        "warning",
    ]
    rows = [(p.key, p.ratio, p.kept, p.size, p.dense, p.saved, *p.interval, p.warning) for p in points]
    return figure, pd.DataFrame(rows, columns=names)


def _rows(figure: go.Figure, title: str, count: int) -> None:
    figure.update_layout(
        title=title,
        height=max(210, 120 + ROW * count),
        xaxis={"title": "pruning ratio", "showgrid": False, "type": "category"},
        yaxis={"autorange": "reversed", "showgrid": False, "type": "category"},
    )


def _names(keys: Sequence[str]) -> list[str]:
    return [text(key) for key in keys]


def _symbol(point: ScanPoint) -> str:
    return "circle-open" if point.how in ("between", "beyond") else "circle"


def _bars(points: Sequence[ScanPoint], colour: str) -> dict[str, Any]:
    """The bounds of points measured on some of the images, for a line that starts at the dense network."""
    shown = [p.bounds if p.how == "partly" else (p.accuracy, p.accuracy) for p in points]
    return {
        "type": "data",
        "array": [0.0, *(100 * (high - p.accuracy) for p, (_, high) in zip(points, shown, strict=True))],
        "arrayminus": [0.0, *(100 * (p.accuracy - low) for p, (low, _) in zip(points, shown, strict=True))],
        "color": f"rgba{colour[3:-1]}, 0.7)",  # of rgb(...)
        "thickness": 1.2,
        "width": 0,
    }


def _sure(point: LatencyPoint | None) -> str:
    """The share saved, or a question mark where no difference can be told."""
    if point is None:
        return ""
    return f"{round(100 * point.saved / point.dense):d}".replace("-", "−") if point.certain else "?"


def _saving(point: LatencyPoint) -> str:
    low, high = (1e6 * bound for bound in point.interval)
    return (
        f"pruned {words.percent(point.ratio)}: {point.kept:,} of {point.size:,} kept<br>"
        f"saves {1e6 * point.saved:.0f} µs (95 %: {low:.0f} to {high:.0f}) of {1e6 * point.dense:.0f} µs"
    )
