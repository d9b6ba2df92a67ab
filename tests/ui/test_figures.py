"""What a figure is sent to the browser as, and figures whose parts are drawn as one."""

from __future__ import annotations

import io
import json
from base64 import b64decode

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image

from pruning.weights import Histogram
from ui.figures import model, weights
from ui.figures.pixels import picture, strip
from ui.figures.spec import spec
from ui.figures.theme import DARK, LIGHT

HOSTILE = "<a href='x'>&"


def test_a_theme_fills_in_what_a_figure_leaves_open() -> None:
    figure = go.Figure(go.Bar(x=["a"], y=[1], marker={"color": "red"}))
    figure.update_layout(title={"text": "T", "font": {"size": 30}}, xaxis={"title": "x", "gridcolor": "blue"})
    drawn = spec(figure, dark=True)
    layout = drawn["layout"]
    assert layout["title"]["text"] == "T"
    assert layout["title"]["font"] == {"size": 30, "weight": 600}
    assert layout["xaxis"]["gridcolor"] == "blue"
    assert layout["yaxis"]["gridcolor"] == DARK.grid
    assert layout["paper_bgcolor"] == DARK.background
    assert drawn["data"][0]["marker"] == {"color": "red", "line": {"width": 0}}
    assert figure.layout.paper_bgcolor is None  # the figure itself is as it was
    assert go.Figure(drawn).to_dict()["data"] == drawn["data"]  # Plotly knows all of it


def test_nothing_in_a_spec_makes_plotly_draw_twice() -> None:
    values = np.array([1.0, np.nan, np.inf])
    drawn = spec(go.Figure(go.Scatter(x=np.arange(3, dtype=np.int8), y=values)), dark=False)
    assert drawn["data"][0]["x"] == [0, 1, 2]
    assert drawn["data"][0]["y"] == [1.0, None, None]
    assert drawn["layout"]["template"] is None
    assert drawn["layout"]["datarevision"] == 1
    json.dumps(drawn, allow_nan=False)


def test_every_axis_has_the_theme_and_only_charts_with_axes_have_any() -> None:
    two = go.Figure([go.Scatter(y=[1]), go.Heatmap(z=[[1]], xaxis="x2", yaxis="y2")])
    layout = spec(two, dark=False)["layout"]
    assert {name for name in layout if "axis" in name} - {"coloraxis"} == {
        "xaxis",
        "yaxis",
        "xaxis2",
        "yaxis2",
    }
    assert layout["yaxis2"]["tickfont"]["color"] == LIGHT.muted
    areas = spec(go.Figure(go.Treemap(labels=["a"], parents=[""])), dark=False)["layout"]
    assert "xaxis" not in areas
    assert areas["margin"]["l"] == 8


def test_margins_have_room_for_labels() -> None:
    def left(**axis: object) -> float:
        drawn = spec(go.Figure(go.Scatter(y=[1])).update_layout(yaxis=axis), dark=False)
        return float(drawn["layout"]["margin"]["l"])

    assert left(tickvals=[0], ticktext=["<b>a long name</b>"]) > left() > left(visible=False)
    assert left(title="units") > left()
    own = go.Figure(go.Scatter(y=[1])).update_layout(margin={"l": 3})
    assert spec(own, dark=False)["layout"]["margin"]["l"] == 3


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_holds_the_pixels(channels: int) -> None:
    images = [np.full((channels, 2, 3), value, np.float32) for value in (0.0, 1.0)]
    pixels = strip(images, 1, "#102030", "#405060")
    assert pixels.shape == (2, 7, 4)
    data = b64decode(picture(pixels).removeprefix("data:image/png;base64,"))
    read = np.asarray(Image.open(io.BytesIO(data)))
    assert (read == pixels).all()
    low, high = ((16, 32, 48), (64, 80, 96)) if channels == 1 else ((0,) * 3, (255,) * 3)
    assert tuple(read[0, 0]) == (*low, 255)
    assert tuple(read[0, 4]) == (*high, 255)
    assert read[0, 3, 3] == 0


def test_samples_are_two_traces_a_row_and_say_what_is_wrong() -> None:
    image = np.zeros((1, 8, 8), np.float32)
    shown = [model.Sample(i, image, HOSTILE, "b" if i == 3 else HOSTILE, 0.5) for i in range(11)]
    figure, data = model.samples("title", shown, LIGHT)
    assert [trace.type for trace in figure.data] == ["image", "scatter"] * 2
    assert [len(trace.text) for trace in figure.data[1::2]] == [8, 3]
    assert len(figure.layout.annotations) == 11
    assert [LIGHT.pruned in note.text for note in figure.layout.annotations].index(True) == 3
    assert all("<a" not in note.text for note in figure.layout.annotations)
    assert list(data["right"]) == [i != 3 for i in range(11)]


def test_a_ridgeline_keeps_layers_apart_and_says_whose_a_point_is() -> None:
    edges = np.linspace(-1, 1, 5)
    dense = {name: Histogram(edges, np.array([0, 2, 1, 0])) for name in ("a", HOSTILE, "c")}
    figure, data = weights.ridgeline(dense, {}, "c", LIGHT)
    others, chosen = figure.data
    assert list(others.x).count(None) == 2
    assert max(y for y in chosen.y if y is not None) == pytest.approx(weights.OVERLAP)
    assert max(y for y in others.y if y is not None) == pytest.approx(2 + weights.OVERLAP)
    shown = [(whose, n) for whose, n in zip(others.text, others.customdata, strict=True) if n]
    assert [n for _, n in shown] == [2, 1, 2, 1]
    assert {whose for whose, _ in shown} == {"a", weights.text(HOSTILE)}
    assert chosen.line.width > others.line.width
    assert data.groupby("layer")["count"].sum().to_dict() == dict.fromkeys(dense, 3)
    both, _ = weights.ridgeline(dense, dense, "c", LIGHT)
    assert [trace.name for trace in both.data if trace.showlegend] == ["dense", "pruned"]


def sent(figure: go.Figure) -> int:
    """Bytes of a figure on its way to the browser."""
    return len(json.dumps(spec(figure, dark=True)))


def test_figures_of_huge_networks_stay_small_and_say_what_they_leave_out() -> None:
    draw = np.random.default_rng(0)
    names = [f"{'block.' * 60}{i}" for i in range(500)]
    part = weights.around(names, names[490], 80)
    assert part == names[420:]
    assert weights.around(names, names[100], 80) == names[60:140]
    assert weights.around(names[:3], None, 80) == names[:3]
    edges = np.linspace(-0.123456789, 0.123456789, 51)
    side = {name: Histogram(edges, draw.integers(0, 10**6, 50)) for name in part}
    ridges, _ = weights.ridgeline(side, side, names[490], LIGHT, every=False)
    assert "these layers" in ridges.layout.title.text

    values = np.sort(draw.random(50_000).astype(np.float32))[::-1]
    bars, data = weights.norms("wide", values, np.arange(50_000), draw.random(50_000) < 0.3, LIGHT)
    drawn = np.concatenate([trace.x for trace in bars.data])
    assert len(drawn) == weights.MOST_BARS
    assert {0, 49_999} <= set(drawn)
    assert len(data) == 50_000

    scales = {name: draw.random(2048).astype(np.float32) for name in names[:200]}
    curves, data = weights.batch_norm(scales, names[0], LIGHT)
    assert sum(len(trace.x) for trace in curves.data) < weights.MOST_POINTS + 400
    assert len(data) == 200 * 2048

    cells = draw.normal(size=(256, 256)).astype(np.float32)
    heat = weights.matrix("m", cells, (512, 512), LIGHT)
    np.testing.assert_allclose(heat.data[0].z, cells, atol=1e-4)
    sizes = [sent(figure) for figure in (ridges, bars, curves, heat)]
    assert sum(sizes) < 1_700_000, sizes
