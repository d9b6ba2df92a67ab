"""How every figure looks, in light and dark, and the scales of colour.

The colours are those of `.streamlit/config.toml`; a test holds the two together. Any two of a
theme's categorical colours stay apart in the common forms of colour blindness, which a test measures.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

FONT = "Inter, system-ui, sans-serif"
MONO = "JetBrains Mono, ui-monospace, monospace"


@dataclass(frozen=True)
class Palette:
    """The colours of one theme, as "#RRGGBB".

    Args:
        background: behind everything.
        surface: of panels and hover labels.
        text: of titles and labels.
        muted: of what is secondary: ticks, captions, what is pruned away.
        grid: of grid lines and borders.
        dense: of the network before pruning.
        pruned: of the network after pruning, and of thresholds.
        series: ten categorical colours; the first two are `dense` and `pruned`.
        sequential: ten steps from nothing to much.
        diverging: ten steps from below to above zero.
    """

    background: str
    surface: str
    text: str
    muted: str
    grid: str
    dense: str
    pruned: str
    series: tuple[str, ...]
    sequential: tuple[str, ...]
    diverging: tuple[str, ...]


def _colours(text: str) -> tuple[str, ...]:
    return tuple(text.split())


LIGHT = Palette(
    background="#FBFAF6",
    surface="#F2F0E9",
    text="#1D2721",
    muted="#5F6862",
    grid="#E4E0D5",
    dense="#1E6B4F",
    pruned="#D9762E",
    series=_colours("#1E6B4F #D9762E #5292D2 #782E85 #F0A81B #62BAF5 #661724 #7B55CE #A4AFA6 #9F7E88"),
    sequential=_colours("#F2F5EE #DCEADF #C0DCCB #9ECBB3 #79B899 #56A380 #388D69 #1E7654 #115D40 #07422C"),
    diverging=_colours("#8C3D0C #B85A1B #D9823F #EBAF7E #F6DCC3 #CFE5D9 #97C9B0 #5AA684 #2B7F5C #125439"),
)
DARK = Palette(
    background="#121815",
    surface="#1C2420",
    text="#E8EEE9",
    muted="#98A39C",
    grid="#2A342F",
    dense="#62C79E",
    pruned="#F0A26B",
    series=_colours("#62C79E #F0A26B #7892F5 #E367B0 #F5CC7D #83E6E9 #B64544 #877ED2 #53737C #BDBDC2"),
    sequential=_colours("#15221C #1A352A #1F4A3A #25604A #2D785C #3A9070 #50A987 #72C2A1 #9DD8BF #CFEEDF"),
    diverging=_colours("#F7B684 #DB8F56 #B26C36 #7F4C26 #463123 #21382E #28594A #347E66 #52A687 #8ED3B5"),
)


def palette(dark: bool) -> Palette:
    """The colours of the dark or the light theme."""
    return DARK if dark else LIGHT


def scale(colours: tuple[str, ...]) -> list[tuple[float, str]]:
    """Equally spaced colours as a Plotly colour scale, for `colorscale=` or `coloraxis`."""
    return [(step / (len(colours) - 1), colour) for step, colour in enumerate(colours)]


def fade(colour: str, opacity: float) -> str:
    """A "#RRGGBB" colour as rgba text, opacity in [0, 1]; for fills and bands."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity:g})"


@dataclass(frozen=True)
class Defaults:
    """What a figure looks like where it does not say so itself, in Plotly's own words.

    Args:
        layout: of the whole.
        axis: of every axis.
        traces: trace type -> of a trace.
    """

    layout: dict[str, Any]
    axis: dict[str, Any]
    traces: dict[str, dict[str, Any]]


@cache
def defaults(dark: bool) -> Defaults:
    """The look of a theme; `ui.charts.show` fills it in, a figure need not."""
    colours = palette(dark)
    edge = {"marker": {"line": {"color": colours.background, "width": 1.5}}}
    flat = {"marker": {"line": {"width": 0}}}
    heat = {"colorbar": _colour_bar(colours), "colorscale": scale(colours.sequential)}
    traces: dict[str, dict[str, Any]] = {
        "heatmap": heat,
        "histogram": flat,
        "bar": flat,
        "treemap": edge,
        "icicle": edge,
    }
    return Defaults(_layout(colours), _axis(colours), traces)


def _layout(colours: Palette) -> dict[str, Any]:
    label = {"family": FONT, "color": colours.text, "size": 13}
    corner = {"x": 0, "xref": "container", "y": 0.98, "yref": "container", "yanchor": "top"}
    return {
        "font": label,
        "title": {"font": {"size": 15, "weight": 600}, **corner},
        "paper_bgcolor": colours.background,
        "plot_bgcolor": colours.background,
        "colorway": colours.series,
        "colorscale": {
            "sequential": scale(colours.sequential),
            "sequentialminus": scale(colours.sequential[::-1]),
            "diverging": scale(colours.diverging),
        },
        "coloraxis": {"colorbar": _colour_bar(colours)},
        "hoverlabel": {
            "bgcolor": colours.surface,
            "bordercolor": colours.grid,
            "font": label,
            "align": "left",
        },
        "legend": {"font": {"color": colours.text, "size": 12}, "title": {"font": {"size": 12}}},
        "margin": {"l": 8, "r": 8, "t": 48, "b": 8},
        "bargap": 0.15,
    }


def _axis(colours: Palette) -> dict[str, Any]:
    return {
        "gridcolor": colours.grid,
        "linecolor": colours.grid,
        "zerolinecolor": colours.grid,
        "zerolinewidth": 1,
        "tickcolor": colours.grid,
        "tickfont": {"color": colours.muted, "size": 12},
        "title": {"font": {"color": colours.muted, "size": 13}, "standoff": 8},
        "automargin": True,
    }


def _colour_bar(colours: Palette) -> dict[str, Any]:
    return {
        "outlinewidth": 0,
        "ticks": "",
        "thickness": 12,
        "tickfont": {"color": colours.muted, "size": 12},
        "title": {"font": {"color": colours.muted, "size": 12}},
    }
