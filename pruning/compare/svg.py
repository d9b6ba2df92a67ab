"""Small charts as SVG text, for a report that is one file: axes, points with bars, lines, bars.

Everything that comes from outside is escaped; colours are CSS variables of the page that they stand in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

WIDTH, HEIGHT = 720, 340
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 34, 46
COLOURS = 8  # CSS variables --c0 .. --c7
Place = Callable[[float, float], tuple[float, float]]  # units of the axes -> pixels


@dataclass(frozen=True)
class Mark:
    """A point.

    Args:
        x, y: in units of the axes.
        about: said when the pointer rests on it.
        bar_x, bar_y: half lengths of its error bars, 0 for none.
        colour: number of its colour.
        hollow: whether it is drawn as a ring.
    """

    x: float
    y: float
    about: str = ""
    bar_x: float = 0.0
    bar_y: float = 0.0
    colour: int = 0
    hollow: bool = False


@dataclass(frozen=True)
class Line:
    """Points that are joined.

    Args:
        points: (x, y) in units of the axes.
        name: for the legend; "" for none.
        colour: number of its colour.
        steps: whether it goes along the axes, as a front does.
    """

    points: Sequence[tuple[float, float]]
    name: str = ""
    colour: int = 0
    steps: bool = False


@dataclass(frozen=True)
class Axes:
    """A chart before it is drawn.

    Args:
        title, x, y: in words, with units.
        marks, lines: what is drawn.
        legend: (name, number of a colour).
    """

    title: str
    x: str
    y: str
    marks: Sequence[Mark] = ()
    lines: Sequence[Line] = ()
    legend: Sequence[tuple[str, int]] = field(default_factory=tuple)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`, evenly spaced."""
    span = (high - low) or abs(high) or 1.0
    rough = span / max(1, most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * number, 12) for number in range(first, max(last, first + 1) + 1)]


def draw(axes: Axes) -> str:
    """The chart as an <svg> element; "" if there is nothing to draw."""
    xs = [v for m in axes.marks for v in (m.x - m.bar_x, m.x + m.bar_x)]
    ys = [v for m in axes.marks for v in (m.y - m.bar_y, m.y + m.bar_y)]
    xs += [x for line in axes.lines for x, _ in line.points]
    ys += [y for line in axes.lines for _, y in line.points]
    if not xs or not all(map(math.isfinite, [*xs, *ys])):
        return ""
    across, up = ticks(min(xs), max(xs)), ticks(min(ys), max(ys))

    def place(x: float, y: float) -> tuple[float, float]:
        right = LEFT + (x - across[0]) / (across[-1] - across[0]) * (WIDTH - LEFT - RIGHT)
        down = HEIGHT - BOTTOM - (y - up[0]) / (up[-1] - up[0]) * (HEIGHT - TOP - BOTTOM)
        return round(right, 1), round(down, 1)

    parts = [*_frame(axes, across, up, place)]
    parts += [_line(line, place) for line in axes.lines]
    parts += [_mark(mark, place) for mark in axes.marks]
    return _element(axes.title, HEIGHT, parts) + _legend(axes.legend)


def bars(title: str, keys: Sequence[str], series: Sequence[tuple[str, Sequence[float | None]]]) -> str:
    """Shares in [0, 1] of several series side by side, a row a key.

    Args:
        series: (name, a share a key; None where there is none).
    """
    if not keys or not series:
        return ""
    row, thick = 6 + 11 * len(series), 9
    left, height = 230, TOP + row * len(keys) + BOTTOM
    width = WIDTH - left - 60
    parts = []
    for place, key in enumerate(keys):
        top = TOP + row * place
        shown = key if len(key) <= 34 else f"…{key[-33:]}"
        parts.append(
            f'<text class="tick" x="{left - 8}" y="{top + row / 2 + 2:.1f}" text-anchor="end">'
            f"{escape(shown)}<title>{escape(key)}</title></text>"
        )
        for number, (name, shares) in enumerate(series):
            share = shares[place]
            if share is not None:
                y, length = top + 3 + 11 * number, max(0.0, min(1.0, share)) * width
                about = escape(f"{key}, {name}: {100 * share:.1f} % removed")
                parts.append(
                    f'<rect class="fill c{number % COLOURS}" x="{left}" y="{y}" width="{length:.1f}" '
                    f'height="{thick}"><title>{about}</title></rect>'
                    f'<text class="tick" x="{left + length + 5:.1f}" y="{y + 8}">{100 * share:.0f}</text>'
                )
    parts.append(f'<text class="axis" x="{left}" y="{height - 14}">removed, %</text>')
    return _element(title, height, parts) + _legend([(name, n) for n, (name, _) in enumerate(series)])


def _element(title: str, height: float, parts: Sequence[str]) -> str:
    name = escape(title)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{name}">'
        f'<text class="title" x="0" y="16">{name}</text>{"".join(parts)}</svg>'
    )


def _frame(axes: Axes, across: Sequence[float], up: Sequence[float], place: Place) -> list[str]:
    """Grid, ticks and the names of the axes."""
    parts = []
    for tick in up:
        x, y = place(across[0], tick)
        parts.append(f'<line class="grid" x1="{x}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="tick" x="{x - 8}" y="{y + 4}" text-anchor="end">{_number(tick)}</text>')
    for tick in across:
        x, y = place(tick, up[0])
        parts.append(f'<text class="tick" x="{x}" y="{y + 17}" text-anchor="middle">{_number(tick)}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"{escape(axes.x)}</text>"
        f'<text class="axis" transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">'
        f"{escape(axes.y)}</text>"
    )
    return parts


def _line(line: Line, place: Place) -> str:
    points = [place(x, y) for x, y in line.points]
    if line.steps:
        stairs = (((after[0], before[1]), after) for before, after in pairwise(points))
        points = [points[0], *(corner for step in stairs for corner in step)]
    path = " ".join(f"{x},{y}" for x, y in points)
    dashed = " front" if line.steps else ""
    return f'<polyline class="line c{line.colour % COLOURS}{dashed}" points="{path}"/>'


def _mark(mark: Mark, place: Place) -> str:
    x, y = place(mark.x, mark.y)
    colour = f"c{mark.colour % COLOURS}"
    parts = []
    if mark.bar_y:
        low, high = place(mark.x, mark.y - mark.bar_y)[1], place(mark.x, mark.y + mark.bar_y)[1]
        parts.append(f'<line class="line {colour}" x1="{x}" x2="{x}" y1="{low}" y2="{high}"/>')
    if mark.bar_x:
        left, right = place(mark.x - mark.bar_x, mark.y)[0], place(mark.x + mark.bar_x, mark.y)[0]
        parts.append(f'<line class="line {colour}" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>')
    shape = "ring" if mark.hollow else "fill"
    parts.append(
        f'<circle class="{shape} {colour}" cx="{x}" cy="{y}" r="4.5">'
        f"<title>{escape(mark.about)}</title></circle>"
    )
    return "".join(parts)


def _legend(entries: Sequence[tuple[str, int]]) -> str:
    items = (
        f'<li><i class="c{number % COLOURS}"></i>{escape(name)}</li>' for name, number in entries if name
    )
    found = "".join(items)
    return f'<ul class="legend">{found}</ul>' if found else ""


def _number(value: float) -> str:
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e4, " K")):
        if abs(value) >= limit:
            return f"{value / (1e3 if unit == ' K' else limit):g}{unit}"
    return f"{value:g}"
