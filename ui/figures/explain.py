"""Figures of attribution: images with their maps, and how alike two networks' maps are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ui.figures.theme import Palette, fade, scale

COLUMN = 132  # pixels of one sample
GAP = 1  # empty columns between two samples


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
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.03)
    figure.add_trace(_images(samples, colours), row=1, col=1)
    for row, side in ((2, "dense"), (3, "pruned")):
        values = [getattr(sample, side) for sample in samples]
        strip = _strip([value / (float(np.abs(value).max()) or 1.0) for value in values])
        figure.add_heatmap(
            z=strip,
            customdata=_strip(
                [np.full(value.shape, s.index) for s, value in zip(samples, values, strict=True)]
            ),
            zmin=-1,
            zmax=1,
            colorscale=scale(colours.diverging),
            showscale=row == 2,
            colorbar={"title": "share of<br>the strongest", "len": 0.6, "y": 0.33},
            hoverongaps=False,
            hovertemplate=f"{side}, image %{{customdata}}: %{{z:.2f}}<extra></extra>",
            row=row,
            col=1,
        )
    height, width = samples[0].dense.shape
    for place, sample in enumerate(samples):
        middle = place * (width + GAP) + (width - 1) / 2
        said = f"{sample.said_dense} → <b>{sample.said_pruned}</b>"
        said = said if sample.said_dense != sample.said_pruned else f"both {sample.said_dense}"
        for row, y, shift, words in (
            (1, -0.5, 18, f"true {sample.truth}<br>{said}"),
            (3, height - 0.5, -10, f"ρ {sample.similarity:.2f}"),
        ):
            figure.add_annotation(
                x=middle, y=y, yshift=shift, text=words, showarrow=False, row=row, col=1, font={"size": 12}
            )
    for row, label in enumerate(("image", "dense", "pruned"), start=1):
        figure.update_yaxes(title_text=label, row=row, col=1)
    bare = {"showticklabels": False, "showgrid": False, "ticks": "", "zeroline": False}
    figure.update_xaxes(**bare, range=[-0.5, len(samples) * (width + GAP) - GAP - 0.5], constrain="domain")
    figure.update_yaxes(**bare, range=[height - 0.5, -0.5], constrain="domain")
    for axis in figure.select_yaxes():  # square pixels
        axis.scaleanchor = axis.anchor
    figure.update_layout(
        title=f"Where the two networks look: {method}",
        height=3 * COLUMN + 120,
        margin={"t": 90, "b": 30},
    )
    return figure, _gallery_data(samples)


def _strip(images: list[np.ndarray]) -> np.ndarray:
    """Images (H, W) side by side with empty columns between them."""
    gap = np.full((images[0].shape[0], GAP), np.nan)
    return np.hstack([part for image in images for part in (image, gap)][:-1])


def _images(samples: list[Sample], colours: Palette) -> go.Image | go.Heatmap:
    if samples[0].image.shape[0] == 3:
        channels = [_strip([255 * s.image[channel] for s in samples]) for channel in range(3)]
        opaque = np.where(np.isnan(channels[0]), 0, 255)
        pixels = np.dstack([*(np.nan_to_num(channel) for channel in channels), opaque]).round()
        return go.Image(z=pixels.astype(np.uint8), colormodel="rgba", hoverinfo="skip")
    return go.Heatmap(
        z=_strip([s.image[0] for s in samples]),
        customdata=_strip([np.full(s.image[0].shape, s.index) for s in samples]),
        zmin=0,
        zmax=1,
        showscale=False,
        hoverongaps=False,
        colorscale=[(0, colours.surface), (1, colours.text)],
        hovertemplate="image %{customdata}: %{z:.2f}<extra></extra>",
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
