"""The figures' colours are the page's, and stay apart for every kind of eye."""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

from ui.figures.theme import DARK, LIGHT, Palette, defaults, fade, scale

CONFIG = Path(__file__).parents[2] / ".streamlit" / "config.toml"
THEMES = {"light": LIGHT, "dark": DARK}

# Björn Ottosson 2020: linear sRGB -> LMS, cube root, -> OKLab.
TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
# Machado, Oliveira and Fernandes 2009, doi:10.1109/TVCG.2009.113: severity 1.0, on linear sRGB.
EYES = {
    "usual": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def linear(colour: str) -> np.ndarray:
    value = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def oklab(colour: str, eye: str = "usual") -> np.ndarray:
    seen = np.clip(EYES[eye] @ linear(colour), 0, 1)
    return TO_LAB @ np.cbrt(TO_LMS @ seen)


def contrast(one: str, two: str) -> float:
    """WCAG 2 contrast ratio."""
    weights = np.array([0.2126, 0.7152, 0.0722])
    low, high = sorted(float(weights @ linear(colour)) for colour in (one, two))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", THEMES)
def test_figures_and_page_share_their_colours(name: str) -> None:
    page, colours = tomllib.loads(CONFIG.read_text())["theme"][name], THEMES[name]
    assert tuple(page["chartCategoricalColors"]) == colours.series
    assert tuple(page["chartSequentialColors"]) == colours.sequential
    assert tuple(page["chartDivergingColors"]) == colours.diverging
    assert page["backgroundColor"] == colours.background
    assert page["secondaryBackgroundColor"] == colours.surface
    assert page["textColor"] == colours.text
    assert page["primaryColor"] == colours.dense
    assert (colours.dense, colours.pruned) == colours.series[:2]
    assert len(colours.series) == len(colours.sequential) == len(colours.diverging) == 10


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("colours", THEMES.values(), ids=THEMES)
def test_categories_stay_apart(colours: Palette, eye: str) -> None:
    """In OKLab 0.02 is about one just noticeable difference."""
    pairs = itertools.combinations(colours.series, 2)
    assert min(np.linalg.norm(oklab(one, eye) - oklab(two, eye)) for one, two in pairs) > 0.05


@pytest.mark.parametrize("colours", THEMES.values(), ids=THEMES)
def test_text_is_readable(colours: Palette) -> None:
    for ground in (colours.background, colours.surface):
        assert contrast(colours.text, ground) > 12
        assert contrast(colours.muted, ground) > 4.5
    assert contrast(colours.dense, colours.background) > 5


@pytest.mark.parametrize("colours", THEMES.values(), ids=THEMES)
def test_sequential_scale_moves_one_way(colours: Palette) -> None:
    lightness = np.array([oklab(colour)[0] for colour in colours.sequential])
    steps = np.diff(lightness)
    assert (steps > 0).all() or (steps < 0).all()


@pytest.mark.parametrize("dark", [False, True])
def test_defaults_are_whole(dark: bool) -> None:
    looks = defaults(dark)
    assert looks.layout["paper_bgcolor"] == THEMES["dark" if dark else "light"].background
    assert len(looks.layout["colorway"]) == 10
    assert looks.traces["heatmap"]["colorscale"][0][0] == 0
    go.Figure(layout={**looks.layout, "xaxis": looks.axis})  # refuses a word that Plotly does not know


def test_helpers() -> None:
    assert scale(("#000000", "#888888", "#FFFFFF")) == [(0, "#000000"), (0.5, "#888888"), (1, "#FFFFFF")]
    assert fade("#1E6B4F", 0.2) == "rgba(30, 107, 79, 0.2)"
