"""Figures of runs side by side: accuracy against cost, curves, shares removed, confusion, methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from pruning.compare import Cost, Point, Split, Spread, name_of
from pruning.compare.points import DENSE
from pruning.compare.words import criterion_label, method, with_sd
from ui.figures.theme import Palette, fade, scale
from ui.figures.weights import text

if TYPE_CHECKING:
    from pruning.history import Run
    from pruning.recover.record import Epoch

SYMBOLS = {
    "evaluation": "circle",
    "export": "diamond",
    "fine-tuning": "square",
    "compression": "cross",
    DENSE: "star",
}
KINDS = {
    "evaluation": "evaluation",
    "export": "export",
    "fine-tuning": "fine-tuned",
    "compression": "compressed",
    DENSE: "dense",
}
ROW = 30  # pixels of a part's two bars
FEW = 12  # classes up to which a cell's number is written


def pareto(
    points: Sequence[Point], split: Split, cost: Cost, where: str, chosen: Sequence[str], colours: Palette
) -> tuple[go.Figure, pd.DataFrame]:
    """Accuracy against cost with the front; every point's `customdata` starts with the ids of its runs.

    Args:
        where: data and way of measuring, for the title.
        chosen: ids of runs that are ringed.
    """
    figure = go.Figure()
    front = sorted((p.cost.mean, 100 * p.accuracy.mean) for p in points if p.on_front)
    if len(front) > 1:
        figure.add_scatter(
            x=[x for x, _ in front],
            y=[y for _, y in front],
            mode="lines",
            line={"shape": "hv", "color": colours.muted, "width": 1.4, "dash": "dot"},
            name="Pareto front",
            hoverinfo="skip",
        )
    for series, members in _series(points).items():
        figure.add_trace(_points(series, members, cost, chosen, colours, _colour(series, points, colours)))
    figure.update_layout(
        title=f"{split.capitalize()} accuracy against {cost.label.split(',')[0]}, {text(where)}",
        height=500,
        xaxis={"title": cost.label, "rangemode": "tozero"},
        yaxis={"title": f"{split} accuracy, %"},
        hovermode="closest",
        clickmode="event+select",
        legend={"itemsizing": "constant"},
    )
    return figure, pareto_table(points, split, cost)


def pareto_table(points: Sequence[Point], split: Split, cost: Cost) -> pd.DataFrame:
    """One row a point."""
    rows = [
        {
            "runs": " ".join(run.id for run in p.runs) or DENSE,
            "network": p.model,
            "method": method(p.runs[0]) if p.runs else DENSE,
            "seeds": len(p.runs),
            f"{split} accuracy": p.accuracy.mean,
            "accuracy sd": p.accuracy.sd,
            "low": p.measured.low if p.measured else None,
            "high": p.measured.high if p.measured else None,
            cost.label: p.cost.mean,
            "cost sd": p.cost.sd,
            "on the front": p.on_front,
        }
        for p in points
    ]
    return pd.DataFrame(rows)


def _series(points: Sequence[Point]) -> dict[tuple[str, str], list[Point]]:
    """Points by criterion and kind; the dense networks last, on top."""
    found: dict[tuple[str, str], list[Point]] = {}
    for point in sorted(points, key=lambda point: point.kind == DENSE):
        criterion = point.runs[0].criterion if point.runs else DENSE
        found.setdefault((criterion, point.kind), []).append(point)
    return found


def _colour(series: tuple[str, str], points: Sequence[Point], colours: Palette) -> str:
    """One colour a criterion, whatever the kind; the dense network has the theme's."""
    criteria = sorted({name for name, kind in _series(points) if kind != DENSE})
    if series[1] == DENSE:
        return colours.dense
    return colours.series[1 + criteria.index(series[0]) % (len(colours.series) - 1)]


def _points(
    series: tuple[str, str],
    members: Sequence[Point],
    cost: Cost,
    chosen: Sequence[str],
    colours: Palette,
    colour: str,
) -> go.Scatter:
    criterion, kind = series
    ringed = [any(run.id in chosen for run in point.runs) for point in members]
    name = (
        "dense network" if kind == DENSE else f"{text(criterion_label(criterion)) or 'mixed'}, {KINDS[kind]}"
    )
    return go.Scatter(
        x=[p.cost.mean for p in members],
        y=[100 * p.accuracy.mean for p in members],
        mode="markers",
        name=name,
        marker={
            "symbol": SYMBOLS.get(kind, "circle"),
            "size": [15 if ring else 13 if kind == DENSE else 10 for ring in ringed],
            "color": [colour if p.on_front else fade(colour, 0.45) for p in members],
            "line": {
                "color": [colours.text if ring else colour for ring in ringed],
                "width": [2.5 if ring else 1.2 for ring in ringed],
            },
        },
        error_y=_bars([100 * (p.accuracy.sd or 0) for p in members], colour),
        error_x=_bars([p.cost.sd or 0 for p in members], colour),
        customdata=[[" ".join(run.id for run in p.runs), _about(p, cost)] for p in members],
        hovertemplate="%{customdata[1]}<extra></extra>",
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
    )


def _bars(values: Sequence[float], colour: str) -> dict[str, object] | None:
    if not any(values):
        return None
    return {"type": "data", "array": list(values), "color": colour, "thickness": 1.3, "width": 4}


def _about(point: Point, cost: Cost) -> str:
    """What the pointer says of a point."""
    if not point.runs:
        head = f"<b>{text(point.model)}</b>, dense"
    elif len(point.runs) == 1:
        head = f"<b>{text(point.runs[0].called)}</b>, {text(point.model)}, {point.kind}"
    else:
        head = f"<b>{text(method(point.runs[0]))}</b>, {text(point.model)}, {point.kind}"
    seeds = f", mean ± sd of {len(point.runs)} seeds" if len(point.runs) > 1 else ""
    lines = [head, f"accuracy {with_sd(point.accuracy, 100, 2, '%')}{seeds}"]
    if point.measured:
        low, high, n = 100 * point.measured.low, 100 * point.measured.high, point.measured.n
        lines.append(f"95 % interval {low:.2f} to {high:.2f}, {n:,} images")
    lines.append(f"{cost.label.split(',')[0]}: {with_sd(point.cost, 1, 3 if cost.unit else 0, cost.unit)}")
    return "<br>".join(lines)


def curves(runs: Mapping[str, Sequence[Epoch]], colours: Palette) -> tuple[go.Figure, pd.DataFrame]:
    """Validation accuracy against epochs of each run, and how far it is pruned, dotted.

    Args:
        runs: name -> its epochs; the first is drawn in the dense network's colour, the second in the other.
    """
    figure, rows = go.Figure(), []
    for (name, epochs), colour in zip(runs.items(), colours.series, strict=False):
        x = [epoch.number for epoch in epochs]
        figure.add_scatter(
            x=[*x, *reversed(x)],
            y=[*(100 * e.high for e in epochs), *(100 * e.low for e in reversed(epochs))],
            mode="lines",
            fill="toself",
            fillcolor=fade(colour, 0.12),
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
        )
        figure.add_scatter(
            x=x,
            y=[100 * epoch.accuracy for epoch in epochs],
            mode="lines+markers" if len(epochs) <= 40 else "lines",
            name=text(name),
            line={"color": colour, "width": 2},
            marker={"size": 5},
            customdata=[[epoch.phase, 100 * epoch.low, 100 * epoch.high, epoch.n] for epoch in epochs],
            hovertemplate=f"<b>{text(name)}</b><br>epoch %{{x}}, %{{customdata[0]}}: %{{y:.2f}} %<br>"
            "95 % interval %{customdata[1]:.2f} to %{customdata[2]:.2f}, %{customdata[3]:,} images"
            "<extra></extra>",
        )
        figure.add_scatter(
            x=x,
            y=[100 * epoch.sparsity for epoch in epochs],
            mode="lines",
            yaxis="y2",
            name=f"{text(name)}: parameters gone",
            line={"color": colour, "width": 1.3, "dash": "dot"},
            hovertemplate="epoch %{x}: %{y:.1f} % of the parameters gone<extra></extra>",
        )
        rows += [(name, e.number, e.phase, e.accuracy, e.low, e.high, e.n, e.sparsity, e.lr) for e in epochs]
    figure.update_layout(
        title="Validation accuracy and parameters gone, against epochs",
        height=380,
        xaxis={"title": "epoch"},
        yaxis={"title": "validation accuracy, %"},
        yaxis2={
            "title": "parameters gone, %",
            "overlaying": "y",
            "side": "right",
            "range": [0, 101],
            "tickmode": "linear",
            "dtick": 25,
            "showgrid": False,
        },
        margin={"r": 56},
        legend={"orientation": "h", "y": -0.22, "x": 0},
        hovermode="closest",
    )
    names = ["run", "epoch", "phase", "accuracy", "low", "high", "images", "sparsity", "learning rate"]
    return figure, pd.DataFrame(rows, columns=names)


def removed(first: Run, second: Run, colours: Palette) -> tuple[go.Figure, pd.DataFrame]:
    """Share of each part that is gone in two runs, side by side."""
    keys = list(dict.fromkeys([*first.figures.removed, *second.figures.removed]))
    figure, sides = go.Figure(), []
    for side, run, colour in (("first", first, colours.dense), ("second", second, colours.pruned)):
        shares = [run.figures.removed.get(key) for key in keys]
        sides.append(shares)
        figure.add_bar(
            x=[None if share is None else 100 * share for share in shares],
            y=[text(key) for key in keys],
            orientation="h",
            name=side,
            marker={"color": colour},
            hovertemplate="<b>%{y}</b><br>%{x:.1f} % removed<extra></extra>",
        )
    figure.update_layout(
        title="Removed of each part, %",
        height=max(240, 130 + ROW * len(keys)),
        barmode="group",
        xaxis={"title": "share of units or weights that are gone, %", "range": [0, 100]},
        yaxis={"autorange": "reversed", "type": "category"},
        legend={"orientation": "h", "yref": "container", "y": 0.01, "yanchor": "bottom", "x": 0},
        margin={"b": 78},
    )
    return figure, pd.DataFrame({"part": keys, name_of(first): sides[0], name_of(second): sides[1]})


def confusion(
    counts: np.ndarray, classes: Sequence[str], title: str, colours: Palette, *, change: bool = False
) -> tuple[go.Figure, pd.DataFrame]:
    """A confusion matrix, or how one differs from another.

    Args:
        counts: (classes, classes); rows are the true class.
        classes: names.
        change: whether these are differences: green is better, on the diagonal and beside it.
    """
    diagonal = np.eye(len(counts), dtype=bool)
    shade = counts.astype(float)
    if change:
        shade = np.where(diagonal, counts, -counts).astype(float)
        shade[counts == 0] = np.nan
        limit = max(1.0, float(np.abs(counts).max()))
        low, high, colours_of = -limit, limit, scale(colours.diverging)
    else:
        shade[counts == 0] = np.nan
        # Mistakes are few beside what is right: on one linear scale all would look like none.
        shade = np.sqrt(shade)
        low, high, colours_of = 0.0, max(1.0, float(np.sqrt(counts.max()))), scale(colours.sequential)
    form = "{:+d}" if change else "{:d}"
    names = [text(str(name)) for name in classes]
    figure = go.Figure(
        go.Heatmap(
            z=shade,
            x=names,
            y=names,
            customdata=counts,
            text=[[form.format(c).replace("-", "−") if c else "" for c in row] for row in counts.tolist()],
            texttemplate="%{text}" if len(names) <= FEW else None,
            textfont={"size": 11},
            colorscale=colours_of,
            zmin=low,
            zmax=high,
            showscale=False,
            hoverongaps=True,
            xgap=1,
            ygap=1,
            hovertemplate="true %{y}, predicted %{x}: %{customdata} images<extra></extra>",
        )
    )
    figure.update_layout(
        title=text(title),
        height=380,
        plot_bgcolor=colours.surface,
        xaxis={"title": "predicted class", "type": "category", "showgrid": False, "constrain": "domain"},
        yaxis={
            "title": "true class",
            "type": "category",
            "autorange": "reversed",
            "showgrid": False,
            "scaleanchor": "x",
        },
    )
    rows = [(t, p, int(counts[i, j])) for i, t in enumerate(classes) for j, p in enumerate(classes)]
    return figure, pd.DataFrame(rows, columns=["true", "predicted", "images"])


def methods(
    cells: Sequence[tuple[str, float, Spread]], title: str, worth: str, dense: float | None, colours: Palette
) -> tuple[go.Figure, pd.DataFrame]:
    """Mean accuracy of each method against the ratio, with one standard deviation over seeds.

    Args:
        cells: (method, ratio in [0, 1], accuracy over seeds).
        worth: what the accuracy is, for the axis.
        dense: accuracy of the dense network, None if it is not known.
    """
    figure = go.Figure()
    names = list(dict.fromkeys(name for name, _, _ in cells))
    for name, colour in zip(names, _colours(len(names), colours), strict=True):
        mine = sorted(
            ((ratio, found) for method, ratio, found in cells if method == name), key=lambda c: c[0]
        )
        control = name.lower().startswith("random")
        figure.add_scatter(
            x=[100 * ratio for ratio, _ in mine],
            y=[100 * found.mean for _, found in mine],
            mode="lines+markers",
            name=text(name),
            line={"color": colour, "width": 2, "dash": "dash" if control else "solid"},
            marker={"size": 6},
            error_y=_bars([100 * (found.sd or 0) for _, found in mine], colour),
            customdata=[with_sd(found, 100, 2, "%") + f", {found.n} seeds" for _, found in mine],
            hovertemplate=f"<b>{text(name)}</b><br>ratio %{{x:g}} %: %{{customdata}}<extra></extra>",
        )
    if dense is not None:
        figure.add_hline(
            100 * dense, line={"color": colours.dense, "width": 1.4, "dash": "dot"}, annotation_text="dense"
        )
    figure.update_layout(
        title=title,
        height=440,
        xaxis={"title": "pruning ratio, %"},
        yaxis={"title": f"{worth}, %"},
        hovermode="closest",
    )
    rows = [(name, ratio, found.mean, found.sd, found.n) for name, ratio, found in cells]
    return figure, pd.DataFrame(rows, columns=["method", "ratio", "mean", "sd", "seeds"])


def _colours(count: int, colours: Palette) -> list[str]:
    return [colours.series[(1 + place) % len(colours.series)] for place in range(count)]
