"""Figures of what pruning changed: which classes are mixed up more, or less."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ui.figures import theme


def confusion_table(dense: np.ndarray, pruned: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """How often each true class is given each prediction, before and after.

    Args:
        dense, pruned: (classes, classes) counts on the same images; rows are the true class.
        classes: names.
    Returns:
        One row per pair of classes: true, predicted, dense, pruned, change.
    """
    pairs = [
        (true, predicted, int(dense[i, j]), int(pruned[i, j]), int(pruned[i, j]) - int(dense[i, j]))
        for i, true in enumerate(classes)
        for j, predicted in enumerate(classes)
    ]
    return pd.DataFrame(pairs, columns=["true", "predicted", "dense", "pruned", "change"])


def confusion_difference(
    dense: np.ndarray, pruned: np.ndarray, classes: Sequence[str], colours: theme.Palette, images: str
) -> go.Figure:
    """Pruned minus dense confusion matrix.

    Args:
        dense, pruned, classes: as `confusion_table` takes them.
        colours: of the page's theme.
        images: what it was measured on, for the title ("360 validation images").
    """
    change = pruned - dense
    # Good news is green wherever it stands: more on the diagonal, less beside it.
    good = np.where(np.eye(len(classes), dtype=bool), change, -change).astype(float)
    good[change == 0] = np.nan  # nothing to colour
    limit = max(1, int(np.abs(change).max()))
    names = [str(name) for name in classes]
    cells = np.stack([dense, pruned], axis=-1)
    figure = go.Figure(
        go.Heatmap(
            z=good,
            x=names,
            y=names,
            customdata=np.concatenate([cells, change[..., None]], axis=-1),
            text=[[f"{c:+d}".replace("-", "−") if c else "" for c in row] for row in change.tolist()],
            texttemplate="%{text}",
            colorscale=theme.scale(colours.diverging),
            zmin=-limit,
            zmax=limit,
            hoverongaps=True,
            showscale=False,
            xgap=1,
            ygap=1,
            hovertemplate="true %{y}, predicted %{x}<br>dense %{customdata[0]} images, "
            "pruned %{customdata[1]} (%{customdata[2]:+d})<extra></extra>",
        )
    )
    figure.update_layout(
        title=f"Confusion, pruned − dense, {images}",
        height=430,
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
    return figure
