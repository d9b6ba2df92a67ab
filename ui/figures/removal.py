"""The coupled matrices of a group side by side, with the rows and columns that would go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from pruning.groups.panels import Panel
from ui.figures.groups import role_colours
from ui.figures.pixels import picture
from ui.figures.theme import Palette
from ui.figures.weights import text

ROW, HEAD, FOOT, TITLE = 216, 44, 42, 40  # pixels: a matrix, the words over and under it, the title
LEFT, GAP = 0.035, 0.045  # of the width: before the first matrix, and between two
LEAST = 2.6  # matrices that a row has room for at least
FINE = 80  # units on a side from which the dark ones get no edges
WORDS = {"producer": "rows go", "norm": "entries go", "consumer": "columns go"}


@dataclass(frozen=True, eq=False)
class Units:
    """What is known about the units of a group.

    Args:
        word: what a unit is called before its number.
        scores: (size,) higher = keep.
        gone: (size,) bool, which would go.
        lit: the one to outline.
        criterion: that gave the scores.
    """

    word: str
    scores: np.ndarray
    gone: np.ndarray
    lit: int
    criterion: str


def matrices(
    title: str, rows: Sequence[Sequence[Panel]], units: Units, colours: Palette
) -> tuple[go.Figure, pd.DataFrame]:
    """Heat maps of magnitudes in rows of panels; what goes is dark, and one unit is outlined in all of them.

    Args:
        title: of the figure.
        rows: panels of each row, in which those of vectors are narrow.
        units: of the group.
    """
    figure, shapes, notes = go.Figure(), [], []
    axes: dict[str, Any] = {}
    height = TITLE + len(rows) * (HEAD + ROW + FOOT)
    says = _says(units)
    number, room = 0, max(LEAST, *(sum(map(_share, panels)) for panels in rows))
    for place, panels in enumerate(rows):
        top = 1 - (place * (HEAD + ROW + FOOT) + HEAD) / (height - TITLE)
        bottom = top - ROW / (height - TITLE)
        for panel, (left, right) in zip(panels, _spans(panels, room), strict=True):
            number += 1
            name = str(number) if number > 1 else ""
            on = {"xaxis": f"x{name}", "yaxis": f"y{name}"}
            figure.add_trace(_image(panel, colours, on))
            figure.add_trace(_bars(panel, units, says, colours, on))
            axes |= _axes(panel, name, (left, right), (bottom, top), units.word)
            shapes += _outline(panel, units.lit, name, colours)
            notes += [_header(panel, left, top, colours)]
    figure.update_layout(
        title=title,
        height=height,
        margin={"t": TITLE, "b": 0, "l": 8, "r": 28},
        barmode="overlay",
        bargap=0,
        showlegend=False,
        hovermode="closest",
        shapes=shapes,
        annotations=notes,
        **axes,
    )
    ranks = units.scores.argsort(kind="stable").argsort() + 1
    data = pd.DataFrame(
        {"unit": np.arange(len(ranks)), "score": units.scores, "rank": ranks, "goes": units.gone}
    )
    return figure, data


def _spans(panels: Sequence[Panel], room: float) -> list[tuple[float, float]]:
    """Left and right of each panel in a row, as shares of the width, which holds `room` matrices."""
    each = (1 - LEFT - GAP * (room - 1)) / room
    found, left = [], LEFT
    for panel in panels:
        found.append((left, min(1.0, left + _share(panel) * each)))
        left += _share(panel) * each + GAP
    return found


def _share(panel: Panel) -> float:
    """Width of a panel, in matrices: vectors side by side are narrow."""
    return min(0.5, max(0.34, 0.035 * panel.size[1])) if panel.labels else 1.0


def _says(units: Units) -> list[str]:
    """What the pointer shows, for each unit."""
    order = units.scores.argsort(kind="stable").argsort() + 1
    return [
        f"<b>{units.word} {place}</b> {'goes' if gone else 'stays'}<br>"
        f"{units.criterion} score {score:.4g}, {rank:,} of {len(order):,} from below"
        for place, (gone, score, rank) in enumerate(zip(units.gone, units.scores, order, strict=True))
    ]


def _image(panel: Panel, colours: Palette, on: dict[str, str]) -> go.Image:
    """The magnitudes as one picture, stretched over the entries that it stands for."""
    ramp = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in colours.sequential], float)
    spots = panel.strength * (len(ramp) - 1)
    low = np.floor(spots).astype(int).clip(0, len(ramp) - 2)
    pixels = ramp[low] + (ramp[low + 1] - ramp[low]) * (spots - low)[..., None]
    opaque = np.full((*panel.strength.shape, 1), 255)
    steps = [full / drawn for full, drawn in zip(panel.size, panel.strength.shape, strict=True)]
    return go.Image(
        source=picture(np.dstack([pixels, opaque]).round().astype(np.uint8)),
        y0=steps[0] / 2 - 0.5,
        dy=steps[0],
        x0=steps[1] / 2 - 0.5,
        dx=steps[1],
        hoverinfo="skip",
        **on,
    )


def _bars(panel: Panel, units: Units, says: list[str], colours: Palette, on: dict[str, str]) -> go.Bar:
    """One bar for each run of entries of a unit: dark if it goes, else not seen; it answers the pointer."""
    start, count, unit = panel.runs.T
    middle, length = start + (count - 1) / 2, np.full(len(unit), panel.size[1 - panel.along])
    across = {"y": middle, "x": length} if panel.along == 0 else {"x": middle, "y": length}
    gone = units.gone[unit]
    dark = darkened(colours.pruned)
    edge = 0.5 if panel.size[panel.along] <= FINE else 0
    return go.Bar(
        **across,
        base=-0.5,
        width=count,
        orientation="h" if panel.along == 0 else "v",
        marker={
            "color": [dark if goes else "rgba(0,0,0,0)" for goes in gone],
            "line": {"width": [edge if goes else 0 for goes in gone], "color": colours.pruned},
        },
        customdata=unit,
        hovertext=[says[place] for place in unit],
        hovertemplate="%{hovertext}<extra></extra>",
        **on,
    )


def darkened(colour: str) -> str:
    """The colour of what goes: what stands out, nearly black."""
    return "#" + "".join(f"{round(0.23 * int(colour[i : i + 2], 16)):02X}" for i in (1, 3, 5))


def _axes(
    panel: Panel, name: str, x: tuple[float, float], y: tuple[float, float], word: str
) -> dict[str, Any]:
    bare = {
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
        "automargin": False,
        "tickfont": {"size": 10},
    }
    rows, columns = panel.size
    titles = ("output", "input") if panel.role != "norm" else (word, "")
    ticks = {"showticklabels": False} if panel.labels else {"tickvals": _ends(columns)}

    def titled(words: str) -> dict[str, Any]:
        return {"text": words, "standoff": 2, "font": {"size": 11}}

    return {
        f"xaxis{name}": bare
        | ticks
        | {"domain": x, "anchor": f"y{name}", "range": [-0.5, columns - 0.5], "title": titled(titles[1])},
        f"yaxis{name}": bare
        | {"tickvals": _ends(rows), "domain": y, "anchor": f"x{name}", "range": [rows - 0.5, -0.5]}
        | {"scaleanchor": False, "title": titled(titles[0])},
    }


def _ends(length: int) -> list[int]:
    """First, middle and last entry."""
    return sorted({0, length // 2, length - 1})


def _outline(panel: Panel, lit: int, name: str, colours: Palette) -> list[dict[str, Any]]:
    """A frame around the rows or columns of one unit."""
    found = []
    for start, count, _ in panel.runs[panel.runs[:, 2] == lit]:
        ends = {
            panel.along: (start - 0.5, start + count - 0.5),
            1 - panel.along: (-0.5, panel.size[1 - panel.along] - 0.5),
        }
        (y0, y1), (x0, x1) = ends[0], ends[1]
        box = {"x0": x0, "x1": x1, "y0": y0, "y1": y1, "xref": f"x{name}", "yref": f"y{name}"}
        found.append({"type": "rect", **box, "line": {"color": colours.pruned, "width": 2}})
    return found


def _header(panel: Panel, left: float, top: float, colours: Palette) -> dict[str, Any]:
    shape = " × ".join(map(str, panel.shape))
    under = f"{shape}, {WORDS[panel.role] if not panel.labels else _vectors(len(panel.labels))}"
    words = f'<b>{_short(panel.name)}</b><br><span style="color:{colours.muted}">{under}</span>'
    return {
        "text": words,
        "x": left,
        "y": top,
        "xref": "paper",
        "yref": "paper",
        "xanchor": "left",
        "yanchor": "bottom",
        "align": "left",
        "showarrow": False,
        "font": {"size": 11, "color": role_colours(colours)[panel.role]},
    }


def _vectors(count: int) -> str:
    return f"{count} vector{'s' * (count != 1)}"


def _short(name: str, letters: int = 32) -> str:
    """A parameter's name without ".weight", its beginning cut where it is long."""
    name = name.removesuffix(".weight")
    return text(name if len(name) <= letters else f"…{name[-letters + 1 :]}")
