"""Figures of a run that prunes and recovers: accuracy and sparsity, losses, and the schedule beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from pruning.recover.record import Epoch
from pruning.recover.settings import Pruning
from ui.figures.theme import Palette, fade
from ui.figures.weights import text
from ui.figures.words import percent

FEW_EPOCHS = 40  # up to which each epoch has a dot
PHASES = {
    "stabilise": "Stabilise",
    "prune": "Prune",
    "recover": "Recover",
}
PARTS = {"labels": "labels", "distillation": "dense network's outputs", "hints": "features"}

Spans = list[tuple[str, float, float]]  # phase, first and last epoch


def spans(pruning: Pruning) -> Spans:
    """The phases that a run has, with the epochs at which they begin and end."""
    found: Spans = []
    start = 0
    for phase in PHASES:
        end = start + getattr(pruning, phase)
        if end > start:
            found.append((phase, start, end))
        start = end
    return found


def table(epochs: Sequence[Epoch]) -> pd.DataFrame:
    """One row an epoch: everything but histograms; losses and removed shares in columns of their own."""
    rows = []
    for epoch in epochs:
        row = epoch.model_dump(exclude={"losses", "removed", "histograms"})
        row |= {f"loss, {part}": value for part, value in epoch.losses.items()}
        rows.append(row | {f"removed, {key}": share for key, share in epoch.removed.items()})
    return pd.DataFrame(rows)


def course(
    epochs: Sequence[Epoch],
    pruning: Pruning,
    colours: Palette,
    *,
    dense: float | None = None,
    best: int | None = None,
) -> tuple[go.Figure, pd.DataFrame]:
    """Accuracy above, what is pruned below, over the epochs of the whole run, phases shaded.

    Args:
        epochs: done so far, in order.
        pruning: of the run's settings; the axis has room for all its epochs.
        dense: validation accuracy of the dense network, in 0..1.
        best: number of the epoch whose network is kept.
    """
    figure = go.Figure()
    numbers = [epoch.number for epoch in epochs]
    _band(figure, epochs, colours)
    trained = [epoch for epoch in epochs if epoch.train_accuracy is not None]
    figure.add_scatter(
        x=[epoch.number for epoch in trained],
        y=[100 * (epoch.train_accuracy or 0) for epoch in trained],
        name="training images, as trained on",
        mode=_mode(epochs),
        line={"color": colours.muted, "width": 1.4, "dash": "dot"},
        marker={"size": 4},
        hovertemplate="training: %{y:.1f} %<extra></extra>",
    )
    figure.add_scatter(
        x=numbers,
        y=[100 * epoch.accuracy for epoch in epochs],
        name="validation images",
        mode=_mode(epochs),
        line={"color": colours.pruned, "width": 2.2},
        marker={"size": 5},
        text=[_said(epoch) for epoch in epochs],
        hovertemplate="%{text}<extra></extra>",
    )
    _befores(figure, epochs, colours)
    _best(figure, epochs, best, colours)
    if dense is not None:
        total = pruning.stabilise + pruning.prune + pruning.recover
        figure.add_scatter(
            x=[0, total],
            y=[100 * dense, 100 * dense],
            name=f"dense network, {percent(dense)}",
            mode="lines",
            line={"color": colours.dense, "width": 1.4, "dash": "dash"},
            hoverinfo="skip",
        )
    _pruned(figure, epochs, colours)
    _phases(figure, spans(pruning), colours)
    _two_rows(figure, sum(end - start for _, start, end in spans(pruning)))
    n = f", {epochs[0].n:,} validation images" if epochs else ""
    figure.update_layout(
        title=f"Accuracy and sparsity{n}",
        yaxis={"title": "accuracy, %", "domain": [0.4, 0.95], "range": _accuracies(epochs, dense)},
        yaxis2={"title": "share, %", "domain": [0.0, 0.31], "range": [-3, 103], "dtick": 25},
    )
    return figure, table(epochs)


def training(epochs: Sequence[Epoch], pruning: Pruning, colours: Palette) -> tuple[go.Figure, pd.DataFrame]:
    """Losses by part above, the learning rate below."""
    figure = go.Figure()
    trained = [epoch for epoch in epochs if epoch.number]
    numbers = [epoch.number for epoch in trained]
    parts = dict.fromkeys(part for epoch in trained for part in epoch.losses)
    for place, part in enumerate(parts):
        figure.add_scatter(
            x=numbers,
            y=[epoch.losses.get(part) for epoch in trained],
            name=PARTS.get(part, part),
            mode=_mode(epochs),
            line={"color": colours.series[(1, 2, 3, 4)[place % 4]], "width": 2},
            marker={"size": 5},
            hovertemplate=f"{text(PARTS.get(part, part))}: %{{y:.4f}}<extra></extra>",
        )
    figure.add_scatter(
        x=numbers,
        y=[epoch.lr for epoch in trained],
        yaxis="y2",
        name="learning rate",
        mode=_mode(epochs),
        line={"color": colours.dense, "width": 1.8},
        marker={"size": 4},
        showlegend=False,
        hovertemplate="learning rate: %{y:.3g}<extra></extra>",
    )
    _phases(figure, spans(pruning), colours)
    _two_rows(figure, sum(end - start for _, start, end in spans(pruning)))
    figure.update_layout(
        title="Losses by part, and the learning rate",
        yaxis={"title": "loss, mean of the epoch", "domain": [0.4, 0.95], "rangemode": "tozero"},
        yaxis2={"title": "learning rate", "domain": [0.0, 0.31], "rangemode": "tozero", "nticks": 4},
    )
    return figure, table(trained)


def schedule(
    curves: Mapping[str, Sequence[tuple[float, float]]],
    rates: Sequence[tuple[float, float]],
    pruning: Pruning,
    colours: Palette,
) -> tuple[go.Figure, pd.DataFrame]:
    """What a run will do: the share of the ratios asked over the epochs, and the learning rate below.

    Args:
        curves: key of the recipe -> (epoch, share asked from then on), ascending; one entry where all are
            alike, with "" for a key.
        rates: (epoch, learning rate).
    """
    figure = go.Figure()
    alone = len(curves) == 1
    for place, (key, points) in enumerate(curves.items()):
        figure.add_scatter(
            x=[epoch for epoch, _ in points],
            y=[100 * share for _, share in points],
            name=text(key or "all"),
            mode="lines",
            line={"color": _turn(place, len(curves), colours), "width": 2.2, "shape": "hv"},
            fill="tozeroy" if alone else None,
            fillcolor=fade(colours.pruned, 0.10),
            showlegend=False,
            hovertemplate=f"{'' if alone else text(key) + '<br>'}epoch %{{x:.3g}}: %{{y:.1f}} % of "
            "its ratio<extra></extra>",
        )
    figure.add_scatter(
        x=[epoch for epoch, _ in rates],
        y=[rate for _, rate in rates],
        yaxis="y2",
        name="learning rate",
        mode="lines",
        line={"color": colours.dense, "width": 1.8},
        showlegend=False,
        hovertemplate="epoch %{x:.3g}: learning rate %{y:.3g}<extra></extra>",
    )
    _phases(figure, spans(pruning), colours)
    _two_rows(figure, sum(end - start for _, start, end in spans(pruning)), height=430)
    figure.update_layout(
        title="What the run will do",
        hovermode="closest",
        yaxis={"title": "ratios asked, %", "domain": [0.42, 0.93], "range": [-2, 104], "dtick": 25},
        yaxis2={"title": "learning rate", "domain": [0.0, 0.3], "rangemode": "tozero", "nticks": 4},
    )
    rows = [(key, epoch, share) for key, points in curves.items() for epoch, share in points]
    return figure, pd.DataFrame(rows, columns=["key", "epoch", "share asked"])


def _band(figure: go.Figure, epochs: Sequence[Epoch], colours: Palette) -> None:
    """The 95 % interval of the validation accuracy."""
    numbers = [epoch.number for epoch in epochs]
    figure.add_scatter(
        x=[*numbers, *numbers[::-1]],
        y=[*(100 * epoch.high for epoch in epochs), *(100 * epoch.low for epoch in epochs[::-1])],
        name="its 95 % interval",
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=fade(colours.pruned, 0.16),
        hoverinfo="skip",
        showlegend=False,
    )


def _befores(figure: go.Figure, epochs: Sequence[Epoch], colours: Palette) -> None:
    """What the accuracy was just before a pruning: how deep each one cuts."""
    cut = [epoch for epoch in epochs if epoch.before is not None]
    figure.add_scatter(
        x=[epoch.number for epoch in cut],
        y=[100 * (epoch.before or 0) for epoch in cut],
        name="just before a pruning",
        mode="markers",
        marker={"symbol": "circle-open", "size": 7, "color": colours.text, "line": {"width": 1}},
        hovertemplate="just before the pruning: %{y:.1f} %<extra></extra>",
        visible=bool(cut),
    )


def _best(figure: go.Figure, epochs: Sequence[Epoch], best: int | None, colours: Palette) -> None:
    found = next((epoch for epoch in epochs if epoch.number == best), None)
    if found is not None:
        figure.add_scatter(
            x=[found.number],
            y=[100 * found.accuracy],
            name="kept: the best with the full ratios",
            mode="markers",
            marker={"symbol": "star", "size": 13, "color": colours.pruned, "line": {"width": 1}},
            hoverinfo="skip",
        )


def _pruned(figure: go.Figure, epochs: Sequence[Epoch], colours: Palette) -> None:
    """The lower row: share of the ratios asked, share of the parameters gone."""
    for name, values, look in (
        ("ratios asked", [epoch.reached for epoch in epochs], {"color": colours.text, "dash": "dot"}),
        ("parameters gone", [epoch.sparsity for epoch in epochs], {"color": colours.series[3]}),
    ):
        figure.add_scatter(
            x=[epoch.number for epoch in epochs],
            y=[100 * value for value in values],
            yaxis="y2",
            name=name,
            mode="lines",
            line={"width": 1.8, **look},
            hovertemplate=f"{name}: %{{y:.1f}} %<extra></extra>",
        )


def _phases(figure: go.Figure, spans: Spans, colours: Palette) -> None:
    """Shade the phases over the whole height, each with its name on top."""
    fills = {"stabilise": fade(colours.muted, 0.10), "prune": fade(colours.pruned, 0.09)}
    total = sum(end - start for _, start, end in spans) or 1
    for phase, start, end in spans:
        figure.add_shape(
            type="rect",
            xref="x",
            yref="paper",
            x0=start,
            x1=end,
            y0=0,
            y1=1,
            fillcolor=fills.get(phase, fade(colours.dense, 0.07)),
            line={"width": 0},
            layer="below",
        )
        if (end - start) / total > 0.06:  # else there is no room for a word
            figure.add_annotation(
                text=PHASES[phase],
                x=(start + end) / 2,
                xref="x",
                y=1,
                yref="paper",
                yanchor="top",
                showarrow=False,
                font={"size": 11, "color": colours.muted},
            )


def _two_rows(figure: go.Figure, total: float, height: int = 470) -> None:
    """Two rows over one axis of epochs."""
    figure.update_layout(
        height=height,
        hovermode="x unified",
        xaxis={"title": "epoch", "range": [0, max(total, 1) * 1.01], "anchor": "y2", "nticks": 12},
        legend={"orientation": "h", "y": -0.16, "yanchor": "top", "x": 0, "font": {"size": 11}},
        margin={"b": 84},
    )


def _accuracies(epochs: Sequence[Epoch], dense: float | None) -> list[float]:
    """The axis of accuracy: everything is in it, in steps, so that it seldom changes while a run goes on."""
    values = [value for e in epochs for value in (e.low, e.train_accuracy, e.before) if value is not None]
    lowest = min([*values, 1.0 if dense is None else dense])
    floor = next((floor for floor in (0.9, 0.8, 0.6, 0.4, 0.2) if floor <= lowest - 0.01), 0.0)
    return [100 * floor, 100 + 3 * (1 - floor)]


def _mode(epochs: Sequence[Epoch]) -> str:
    return "lines+markers" if len(epochs) <= FEW_EPOCHS else "lines"


def _said(epoch: Epoch) -> str:
    """A point of the validation curve in words."""
    done = f"<br>{epoch.round} pruning{'s' * (epoch.round != 1)} done" if epoch.round else ""
    return (
        f"<b>{PHASES[epoch.phase]}</b>: {percent(epoch.accuracy)} of {epoch.n:,} validation images "
        f"(95 %: {100 * epoch.low:.1f} to {100 * epoch.high:.1f}){done}"
    )


def _turn(place: int, count: int, colours: Palette) -> str:
    """The colour of a key's curve: one for all, else from the first to the last."""
    if count == 1:
        return colours.pruned
    steps = colours.sequential[3:]
    return steps[round(place / max(1, count - 1) * (len(steps) - 1))]
