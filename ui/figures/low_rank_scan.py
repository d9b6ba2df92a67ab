"""The figure of a scan over ranks."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from pruning.lowrank import METHODS, RankPoint
from ui.figures.theme import Palette
from ui.figures.weights import shortened, text


def scan(
    points: Sequence[tuple[RankPoint, float]], dense: float, n: int, colours: Palette
) -> tuple[go.Figure, pd.DataFrame]:
    """Accuracy with one layer factorised against what is left of its parameters, a line for each layer.

    Args:
        points: each with the share of its layer's parameters that are left.
        dense: accuracy of the network as it is.
        n: images of each point.
    """
    figure = go.Figure()
    for number, layer in enumerate(dict.fromkeys(point.key for point, _ in points)):
        own = sorted(((p, left) for p, left in points if p.key == layer), key=lambda each: -each[1])
        figure.add_scatter(
            x=[100 * left for _, left in own],
            y=[100 * point.accuracy for point, _ in own],
            mode="lines+markers",
            name=shortened(layer),
            line={"color": colours.series[number % len(colours.series)], "width": 1.8},
            marker={"size": 5},
            text=[_said(point, left) for point, left in own],
            hovertemplate=f"<b>{text(layer)}</b><br>%{{text}}<extra></extra>",
        )
    figure.add_hline(y=100 * dense, line={"color": colours.muted, "width": 1, "dash": "dot"})
    figure.update_layout(
        title=f"One layer alone at lower ranks: accuracy on {n:,} validation images",
        height=390,
        xaxis={"title": "parameters of the layer that are left, %", "range": [102, 0]},
        yaxis={"title": "validation accuracy, %"},
        hovermode="closest",
    )
    rows = [
        (p.key, p.method, _ranks(p), left, p.accuracy, *p.interval, p.error, p.parameters, p.macs, p.n)
        for p, left in points
    ]
    columns = ["layer", "method", "rank", "share of its parameters", "accuracy", "low", "high"]
    columns += ["relative squared error", "parameters of the network", "MACs of the network", "images"]
    return figure, pd.DataFrame(rows, columns=columns)


def _said(point: RankPoint, left: float) -> str:
    low, high = (100 * end for end in point.interval)
    return (
        f"rank {_ranks(point)} ({METHODS[point.method].label}), {100 * left:.0f} % of its parameters left<br>"
        f"accuracy {100 * point.accuracy:.1f} % (95 % interval {low:.1f} to {high:.1f})<br>"
        f"squared error {100 * point.error:.1f} % of its weights' squares"
    )


def _ranks(point: RankPoint) -> str:
    return " × ".join(map(str, point.ranks))
