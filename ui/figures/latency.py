"""Figures of measured time: against the channels of one group, and by layer."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from pruning import ChannelTable
from pruning.latency import LayerTime
from ui.figures.theme import Palette, fade
from ui.figures.weights import text

MOST_LAYERS = 24  # drawn; what takes least is summed up
BAR = 24  # pixels of a layer's two bars


def channels(table: ChannelTable, now: int | None, colours: Palette) -> tuple[go.Figure, pd.DataFrame]:
    """Time and MACs of the network, as shares of the dense one's, over the channels that one group keeps.

    Args:
        now: the count that is decided at the moment, drawn as a line; None for none.
    """
    points, dense = table.points, table.points[-1]
    kept = [point.kept for point in points]
    time = [100 / point.ratio for point in points]
    low, high = ([100 / point.interval[end] for point in points] for end in (1, 0))
    figure = go.Figure()
    figure.add_scatter(
        x=[*kept, *reversed(kept)],
        y=[*high, *reversed(low)],
        fill="toself",
        fillcolor=fade(colours.pruned, 0.18),
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
    )
    figure.add_scatter(
        x=kept,
        y=[100 * point.macs / dense.macs if dense.macs else None for point in points],
        mode="lines",
        name="MACs",
        line={"color": colours.muted, "width": 1.6, "dash": "dot"},
        hovertemplate="%{x} channels: %{y:.1f} % of the MACs<extra></extra>",
    )
    figure.add_scatter(
        x=kept,
        y=time,
        mode="lines+markers",
        name="time, with its 95 % interval",
        line={"color": colours.pruned, "width": 1.8},
        marker={"size": 5, "color": colours.pruned},
        customdata=[
            f"{1e3 * p.seconds:.3f} ms (quartiles {1e3 * p.q1:.3f} to {1e3 * p.q3:.3f}), {p.turns} turns"
            for p in points
        ],
        hovertemplate="%{x} channels: %{y:.1f} % of the dense time<br>%{customdata}<extra></extra>",
    )
    _mark_good(figure, table, colours)
    if now is not None:
        figure.add_vline(
            now, line={"color": colours.text, "width": 1, "dash": "dash"}, annotation_text=f"now {now}"
        )
    figure.update_layout(
        title=f"Time against channels of {text(table.key)}",
        height=340,
        xaxis={"title": f"channels kept, of {table.size}"},
        yaxis={"title": "% of the dense network"},
        legend={"orientation": "h", "y": -0.24, "x": 0},
        hovermode="closest",
    )
    return figure, _channel_data(table)


def _mark_good(figure: go.Figure, table: ChannelTable, colours: Palette) -> None:
    good = [point for point in table.points if point.kept in table.good]
    if good:
        figure.add_scatter(
            x=[point.kept for point in good],
            y=[100 / point.ratio for point in good],
            mode="markers",
            name="good count: one more costs a step",
            marker={"symbol": "triangle-up", "size": 11, "color": colours.dense},
            hovertemplate="%{x} channels: one more costs a step<extra></extra>",
        )


def _channel_data(table: ChannelTable) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "group": table.key,
            "kept": point.kept,
            "MACs": point.macs,
            "seconds": point.seconds,
            "lower quartile": point.q1,
            "upper quartile": point.q3,
            "times as fast as dense": point.ratio,
            "ratio low": point.interval[0],
            "ratio high": point.interval[1],
            "turns": point.turns,
            "good": point.kept in table.good,
        }
        for point in table.points
    )


def layers(
    dense: Sequence[LayerTime], pruned: Sequence[LayerTime] | None, colours: Palette
) -> tuple[go.Figure, pd.DataFrame]:
    """Time of each module of the dense and of the pruned network as bars, in the order of the forward pass.

    Args:
        pruned: of the same network cut smaller; None if nothing is cut.
    """
    sides = {"dense": _microseconds(dense)}
    if pruned is not None:
        sides["pruned"] = _microseconds(pruned)
    names = list(dict.fromkeys(name for side in sides.values() for name in side))
    longest = sorted(names, key=lambda name: -max(side.get(name, 0.0) for side in sides.values()))
    shown = [name for name in names if name in set(longest[:MOST_LAYERS])]
    rest = len(names) - len(shown)
    figure = go.Figure()
    for side, colour in zip(sides, (colours.dense, colours.pruned), strict=False):
        values = [sides[side].get(name, 0.0) for name in shown]
        labels = [text(name) or "(between layers)" for name in shown]
        if rest:
            labels.append(f"{rest} others")
            values.append(sum(sides[side].values()) - sum(values))
        figure.add_bar(
            y=labels,
            x=values,
            name=f"{side}, {sum(sides[side].values()) / 1e3:.2f} ms",
            orientation="h",
            marker={"color": colour},
            hovertemplate=f"<b>%{{y}}</b><br>{side}: %{{x:.1f}} µs<extra></extra>",
        )
    figure.update_layout(
        title="Where the time goes",
        height=120 + BAR * (len(shown) + bool(rest)),
        barmode="group",
        bargap=0.28,
        bargroupgap=0.0,
        xaxis={"title": "µs of a forward, without the modules inside"},
        yaxis={"autorange": "reversed", "type": "category"},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "right", "x": 1},
    )
    data = pd.DataFrame(
        {"module": name, **{f"{side}, µs": sides[side].get(name) for side in sides}} for name in names
    )
    return figure, data


def _microseconds(times: Sequence[LayerTime]) -> dict[str, float]:
    return {time.name: 1e6 * time.seconds for time in times}
