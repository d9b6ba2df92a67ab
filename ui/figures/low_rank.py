"""Figures of factorised layers: how much of a weight its first directions hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ui.figures.theme import Palette
from ui.figures.weights import shortened


def spectrum(
    layer: str, spectra: Sequence[np.ndarray], ranks: Sequence[int], colours: Palette
) -> tuple[go.Figure, pd.DataFrame]:
    """Energy kept against rank, with the rank that was chosen.

    Args:
        spectra: singular values, the largest first; of each of the layer's ranks.
        ranks: chosen; empty where the layer stays whole.
    """
    figure, rows = go.Figure(), []
    names = ["rank"] if len(spectra) == 1 else ["rank of inputs", "rank of outputs"]
    for number, (values, name) in enumerate(zip(spectra, names, strict=True)):
        squares = np.asarray(values, float) ** 2
        kept = 100 * np.cumsum(squares) / max(float(squares.sum()), 1e-30)
        places, colour = np.arange(1, len(kept) + 1), colours.series[number]
        figure.add_scatter(
            x=places,
            y=kept,
            name=name,
            mode="lines",
            line={"color": colour, "width": 2},
            hovertemplate=f"{name} %{{x}}: %{{y:.2f}} % of the energy<extra></extra>",
        )
        if len(ranks):
            rank = int(ranks[number])
            figure.add_scatter(
                x=[rank],
                y=[kept[rank - 1]],
                mode="markers",
                showlegend=False,
                marker={"color": colour, "size": 11, "line": {"color": colours.text, "width": 1}},
                hovertemplate=f"chosen {name} {rank}: %{{y:.2f}} % of the energy<extra></extra>",
            )
        columns = {"rank": places, "singular value": values, "energy kept, %": kept}
        rows.append(pd.DataFrame({"of": name, **columns}))
    figure.update_layout(
        title=f"Energy of {shortened(layer)} by rank",
        height=330,
        xaxis={"title": "rank", "rangemode": "tozero"},
        yaxis={"title": "energy kept, %", "range": [0, 103]},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 1, "xanchor": "right"},
        hovermode="closest",
        margin={"t": 62},
    )
    return figure, pd.concat(rows)
