"""Figures of attribution: images with their maps, and how alike two networks' maps are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ui.figures.theme import Palette, fade, scale

COLUMN = 132  # pixels of one sample


@dataclass(frozen=True)
class Sample:
    """One image with the maps of both networks.

    Args:
        index: position in its split.
        image: (C, H, W), 0..1.
        dense, pruned: (H, W) attribution.
        similarity: rank correlation of the two maps.
        truth, said_dense, said_pruned: class names.
    """

    index: int
    image: np.ndarray
    dense: np.ndarray
    pruned: np.ndarray
    similarity: float
    truth: str
    said_dense: str
    said_pruned: str


def gallery(samples: list[Sample], method: str, colours: Palette) -> tuple[go.Figure, pd.DataFrame]:
    """Three rows: the image, what speaks for the answer in the dense network, and in the pruned one.

    Each map has its own scale around zero: where a network looks is compared, not how strongly.
    """
    figure = make_subplots(
        rows=3,
        cols=len(samples),
        horizontal_spacing=0.012,
        vertical_spacing=0.03,
        subplot_titles=[
            f"true {s.truth}<br>{s.said_dense} → <b>{s.said_pruned}</b>"
            if s.said_dense != s.said_pruned
            else f"true {s.truth}<br>both {s.said_dense}"
            for s in samples
        ],
    )
    for column, sample in enumerate(samples, start=1):
        figure.add_trace(_image(sample, colours), row=1, col=column)
        for row, side in ((2, "dense"), (3, "pruned")):
            values = getattr(sample, side)
            limit = float(np.abs(values).max()) or 1.0
            figure.add_heatmap(
                z=values / limit,
                zmin=-1,
                zmax=1,
                colorscale=scale(colours.diverging),
                showscale=column == 1 and row == 2,
                colorbar={"title": "share of<br>the strongest", "len": 0.6, "y": 0.33},
                hovertemplate=f"{side}, image {sample.index}<br>row %{{y}}, column %{{x}}: %{{z:.2f}}"
                "<extra></extra>",
                row=row,
                col=column,
            )
        figure.add_annotation(
            text=f"ρ {sample.similarity:.2f}",
            x=0.5,
            y=-0.12,
            xref="x domain",
            yref="y domain",
            showarrow=False,
            row=3,
            col=column,
            font={"color": colours.muted, "size": 12},
        )
    for row, label in enumerate(("image", "dense", "pruned"), start=1):
        figure.update_yaxes(title_text=label, row=row, col=1)
    figure.update_xaxes(showticklabels=False, showgrid=False, ticks="", constrain="domain")
    figure.update_yaxes(
        showticklabels=False, showgrid=False, ticks="", autorange="reversed", constrain="domain"
    )
    for axis in figure.select_yaxes():  # square pixels
        axis.scaleanchor = axis.anchor
    figure.for_each_annotation(lambda note: note.update(font={"size": 12}))
    figure.update_layout(
        title=f"Where the two networks look: {method}",
        height=3 * COLUMN + 120,
        margin={"t": 90, "b": 30},
    )
    return figure, _gallery_data(samples)


def _image(sample: Sample, colours: Palette) -> go.Image | go.Heatmap:
    where = f"image {sample.index}<br>row %{{y}}, column %{{x}}: "
    if sample.image.shape[0] == 3:
        pixels = (255 * sample.image.transpose(1, 2, 0)).round().astype(np.uint8)
        return go.Image(z=pixels, hovertemplate=where + "%{z}<extra></extra>")
    return go.Heatmap(
        z=sample.image[0],
        zmin=0,
        zmax=1,
        showscale=False,
        colorscale=[(0, colours.surface), (1, colours.text)],
        hovertemplate=where + "%{z:.2f}<extra></extra>",
    )


def _gallery_data(samples: list[Sample]) -> pd.DataFrame:
    rows = [
        (
            s.index,
            s.truth,
            s.said_dense,
            s.said_pruned,
            s.similarity,
            y,
            x,
            float(s.dense[y, x]),
            float(value),
        )
        for s in samples
        for (y, x), value in np.ndenumerate(s.pruned)
    ]
    names = ["image", "true", "dense says", "pruned says", "rank correlation", "row", "column"]
    return pd.DataFrame(rows, columns=[*names, "dense", "pruned"])


def similarity(
    values: np.ndarray, flipped: np.ndarray, indices: np.ndarray, colours: Palette
) -> tuple[go.Figure, pd.DataFrame]:
    """How alike the maps are, over many images: one bar a bin, images whose prediction flipped on top.

    Args:
        values: (n,) rank correlations.
        flipped: (n,) bool.
        indices: (n,) positions in the split.
    """
    edges = np.linspace(-1, 1, 41)
    figure = go.Figure()
    for label, chosen, colour in (
        ("same prediction", ~flipped, colours.dense),
        ("prediction flipped", flipped, colours.pruned),
    ):
        counts, _ = np.histogram(values[chosen], edges)
        figure.add_bar(
            x=(edges[:-1] + edges[1:]) / 2,
            y=counts,
            name=label,
            marker={"color": fade(colour, 0.8)},
            hovertemplate="rank correlation %{x:.3f} ± 0.025: %{y} images<extra>" + label + "</extra>",
        )
    figure.update_layout(
        title="How alike the two networks' maps are",
        height=300,
        barmode="stack",
        bargap=0.05,
        xaxis={"title": "rank correlation (Spearman's ρ) of the two maps", "range": [-1.02, 1.02]},
        yaxis_title="images",
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.0, "yanchor": "bottom"},
    )
    return figure, pd.DataFrame({"image": indices, "rank correlation": values, "flipped": flipped})


def conductance(
    name: str, values: np.ndarray, removed: np.ndarray, colours: Palette
) -> tuple[go.Figure, pd.DataFrame]:
    """Conductance of a group's units, the largest first; what the current recipe removes stands out.

    Args:
        values: (units,) scores.
        removed: (units,) bool.
    """
    order = np.argsort(-values, kind="stable")
    figure = go.Figure()
    for label, chosen, colour in (("kept", ~removed, colours.dense), ("removed", removed, colours.pruned)):
        place = np.flatnonzero(chosen[order])
        if not len(place):
            continue
        figure.add_bar(
            x=place,
            y=values[order][place],
            customdata=order[place],
            name=label,
            marker={"color": fade(colour, 0.8)},
            hovertemplate="unit %{customdata}: %{y:.4g}<extra>" + label + "</extra>",
        )
    figure.update_layout(
        title=f"Conductance of the units of {name}",
        height=300,
        bargap=0.1 if len(values) < 100 else 0,
        xaxis_title="rank (largest conductance first)",
        yaxis_title="mean magnitude of conductance",
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.0, "yanchor": "bottom"},
        showlegend=bool(removed.any()),
    )
    data = pd.DataFrame({"unit": order, "conductance": values[order], "removed": removed[order]})
    return figure, data
