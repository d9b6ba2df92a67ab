"""A figure as the browser gets it: in a theme's colours, and so that it is drawn once.

Streamlit hands every chart to Plotly twice. The second time changes nothing, but Plotly compares templates
and typed arrays by identity and draws all over again. So the theme is filled in here instead of sent as a
template, arrays go as lists, and a constant `datarevision` says that these are the same data: a chart with
other data is a new element of the page anyway. And the margins have room for the labels of the axes from the
start: Plotly widens them by itself, but by drawing again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io

from ui.figures.theme import Defaults, defaults

WITHOUT_AXES = {"treemap", "icicle", "sunburst", "pie"}
LETTER = 6.4  # pixels of a letter of a tick's label, on average
NUMBER = 5  # letters of a tick's label where it is a number
_AXIS = re.compile(r"[xy]axis\d*")
_MARKUP = re.compile(r"<[^>]*>")

plotly.io.templates.default = None  # every figure would copy it, at a few milliseconds each


class Ready(go.Figure):
    """A figure that is a specification already; Plotly would check each of its numbers once more."""

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__()
        self._given = given

    def to_dict(self) -> dict[str, Any]:
        """The specification."""
        return self._given


def spec(figure: go.Figure, dark: bool) -> dict[str, Any]:
    """A figure as plain dictionaries and lists, with everything that it leaves open in the theme's look."""
    looks = defaults(dark)
    data = [_filled(trace.to_plotly_json(), looks.traces.get(trace.type, {})) for trace in figure.data]
    own = {**figure.layout.to_plotly_json(), "template": None, "datarevision": 1}
    found = {"data": [_plain(trace) for trace in data], "layout": _plain(_layout(own, data, looks))}
    frames = [_plain(frame.to_plotly_json()) for frame in figure.frames]
    return {**found, "frames": frames} if frames else found


def _layout(own: dict[str, Any], data: list[dict[str, Any]], looks: Defaults) -> dict[str, Any]:
    filled = _filled(own, looks.layout)
    used = [trace for trace in data if trace["type"] not in WITHOUT_AXES]
    axes = {f"{x}axis{trace.get(f'{x}axis', x)[1:]}" for trace in used for x in "xy"}
    axes |= {name for name in own if _AXIS.fullmatch(name)}
    filled |= {name: _filled(own.get(name, {}), looks.axis) for name in axes}
    return filled | {"margin": {**filled["margin"], **_room(filled, used), **own.get("margin", {})}}


def _room(layout: Mapping[str, Any], data: list[dict[str, Any]]) -> dict[str, float]:
    """Margins, in pixels, that hold the labels of the first two axes: a little more than they need."""
    x, y = (layout.get(f"{letter}axis", {"visible": False}) for letter in "xy")
    room: dict[str, float] = {}
    if x.get("visible", True):
        room["b"] = 54 if _titled(x) else 32
    if y.get("visible", True):
        labels = y.get("ticktext") or [name for trace in data for name in _names(trace.get("y", ()))]
        longest = max((len(_MARKUP.sub("", str(label))) for label in labels), default=NUMBER)
        room["l"] = 16 + LETTER * longest + 18 * _titled(y)
    return room


def _names(places: Any) -> Any:
    return places if len(places) and isinstance(places[0], str) else ()


def _titled(axis: Mapping[str, Any]) -> bool:
    return bool(axis.get("title", {}).get("text"))


def _filled(own: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """Both, at every depth; what is its own goes first."""
    both = {
        name: _filled(own[name], value)
        for name, value in default.items()
        if isinstance(value, Mapping) and isinstance(own.get(name), Mapping)
    }
    return {**default, **own, **both}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, np.ndarray):
        return _numbers(value)
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value


def _numbers(values: np.ndarray) -> list[Any]:
    """What is not finite is null, which JSON knows and Plotly leaves empty."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        whole = np.isfinite(values)
        values = values.astype(object)
        values[~whole] = None
    found: list[Any] = values.tolist()
    return found
