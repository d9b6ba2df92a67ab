"""Figures that move: frames, a slider through them, and buttons that play and stop them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from ui.figures.theme import Palette

BOTTOM = 118  # pixels below the axes, for the slider and the buttons beside it
_PLAY, _PAUSE = "▶ Play", "❚❚ Pause"


def animate(
    figure: go.Figure, frames: Sequence[go.Frame], colours: Palette, *, redraw: bool, step_ms: int = 450
) -> None:
    """Give a figure its frames; it shows what the last one shows.

    Args:
        frames: named by their epochs, in order.
        redraw: whether each frame is drawn anew, as titles and bars need; else marks glide to their places.
        step_ms: from one frame to the next while it plays.
    """
    glide = {"duration": 0 if redraw else round(0.8 * step_ms), "easing": "cubic-in-out"}
    jump = {"mode": "immediate", "frame": {"duration": 0, "redraw": redraw}, "transition": {"duration": 0}}
    steps = [{"label": frame.name, "method": "animate", "args": [[frame.name], jump]} for frame in frames]
    play = {"frame": {"duration": step_ms, "redraw": redraw}, "transition": glide, "mode": "immediate"}
    figure.frames = list(frames)
    figure.update_layout(
        sliders=[_slider(steps, colours)],
        updatemenus=[_buttons([(_PLAY, [None, play]), (_PAUSE, [[None], jump])], colours)],
        margin={"b": BOTTOM},
    )


def _slider(steps: list[dict[str, Any]], colours: Palette) -> dict[str, Any]:
    return {
        "active": len(steps) - 1,
        "steps": steps,
        "currentvalue": {"prefix": "epoch ", "font": {"size": 12, "color": colours.text}},
        "pad": {"t": 34, "b": 0},
        "x": 0.16,
        "len": 0.84,
        "font": {"size": 10, "color": colours.muted},
        "bgcolor": colours.surface,
        "activebgcolor": colours.pruned,
        "bordercolor": colours.grid,
        "tickcolor": colours.grid,
        "ticklen": 4,
        "minorticklen": 2,
    }


def _buttons(labels: Sequence[tuple[str, list[Any]]], colours: Palette) -> dict[str, Any]:
    return {
        "type": "buttons",
        "direction": "left",
        "showactive": False,
        "x": 0,
        "xanchor": "left",
        "y": 0,
        "yanchor": "top",
        "pad": {"t": 56, "r": 8},
        "font": {"size": 11, "color": colours.text},
        "bgcolor": colours.surface,
        "bordercolor": colours.grid,
        "buttons": [{"label": label, "method": "animate", "args": args} for label, args in labels],
    }
