"""Pure parts of the Sensitivity page: the grid of ratios, the figures, durations."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pruning.groups.choices import Choices
from pruning.sensitivity import LatencyPoint, Measured, Precise, Sample, Scan, ScanPoint
from ui.figures import sensitivity as figures
from ui.figures.theme import DARK, LIGHT
from ui.jobs import Job
from ui.sensitivity import words
from ui.sensitivity.choice import PRECISIONS, Choice, parse_grid
from ui.sensitivity.status import duration
from ui.sensitivity.work import TimeChoice

HOSTILE = "<b>a</b><img src=x>"


def scan(*, points: bool = True) -> Scan:
    measured = {"interval": (0.4, 0.9), "loss": 0.5, "size": 10}
    found = (
        ScanPoint(key=HOSTILE, ratio=0.5, kept=5, accuracy=0.9, **measured),
        ScanPoint(key=HOSTILE, ratio=0.9, kept=1, accuracy=0.3, **measured),
        ScanPoint(key="b", ratio=0.9, kept=1, accuracy=0.8, **{**measured, "loss": None}),
    )
    return Scan(
        model=None,
        task="digits",
        split="validation",
        granularity="channel",
        criterion="l2",
        seed=0,
        n=100,
        classes=10,
        keys=(HOSTILE, "b"),
        ratios=(0.5, 0.9),
        dense=Measured(accuracy=0.92, interval=(0.85, 0.96), loss=0.3),
        points=found if points else (),
    )


@pytest.mark.parametrize(
    ("text", "ratios"),
    [
        ("10, 25.5, 50", (0.1, 0.255, 0.5)),
        ("50% 10%", (0.1, 0.5)),
        ("10-90/10", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)),
        ("5-95/45", (0.05, 0.5, 0.95)),
        ("100;100", (1.0,)),
    ],
)
def test_a_grid_is_read(text: str, ratios: tuple[float, ...]) -> None:
    assert parse_grid(text) == ratios


@pytest.mark.parametrize("text", ["", "abc", "0, 10", "101", "10-90/0", "nan", "1.2.3", "0.1-99/0.1", "-5"])
def test_a_bad_grid_gets_one_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"^Give up to 40 ratios.*\.$"):
        parse_grid(text)


@pytest.mark.parametrize(("seconds", "text"), [(0.1, "1 s"), (42, "42 s"), (600, "10 min"), (7200, "2.0 h")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("measure", ["accuracy", "close-up", "loss"])
def test_each_key_has_one_curve_from_the_dense_network_on(measure: str) -> None:
    figure, data = figures.curves(scan(), measure, 1.0, LIGHT)
    first = next(trace for trace in figure.data if "img" in trace.name)
    assert list(first.x) == [0, 50, 90]
    assert list(first.y) == pytest.approx([0.3, 0.5, 0.5] if measure == "loss" else [92, 90, 30])
    assert "<img" not in figure.to_json().replace("\\u003c", "<")
    assert len(data) == 4
    assert len([t for t in figure.data if "lost" in t.name]) == (measure != "loss")


def test_the_heat_map_marks_how_far_each_key_can_go() -> None:
    figure, data = figures.heat_map(scan(), {HOSTILE: 0.5, "b": 0.0}, DARK)
    (row, other) = figure.data[0].z
    assert row == pytest.approx((-2, -62))
    assert other[0] is None  # not measured yet
    assert other[1] == pytest.approx(-12)
    assert [shape.x0 for shape in figure.layout.shapes] == [0.5]
    assert data["change, points"].tolist() == pytest.approx([0, -2, -62, -12])


def adaptive() -> Scan:
    """A point of each kind: inferred between likes, measured on some, beyond a collapse, measured on all."""
    ratios, about = (0.2, 0.4, 0.6, 0.8), {"key": HOSTILE, "size": 10, "interval": (0.0, 1.0), "loss": None}
    samples = (
        Sample(n=0, bounds=(0.9, 0.92), how="between", settled=True, neighbours=(0.0, 0.4)),
        Sample(n=64, bounds=(0.89, 0.915), how="partly", settled=False, changed=(1, 0, 0)),
        Sample(n=0, bounds=(0.0, 0.5), how="beyond", settled=True, neighbours=(0.4, 0.8)),
        None,
    )
    found = zip(ratios, (8, 6, 4, 2), (0.915, 0.91, 0.3, 0.1), samples, (0, 0, 0, 7), strict=True)
    points = tuple(
        ScanPoint(ratio=ratio, kept=kept, accuracy=accuracy, sample=sample, invalid=invalid, **about)
        for ratio, kept, accuracy, sample, invalid in found
    )
    return scan(points=False).model_copy(update={"ratios": ratios, "points": points, "precise": Precise()})


def test_a_point_says_how_it_is_known() -> None:
    figure, data = figures.curves(adaptive(), "accuracy", 1.0, LIGHT)
    (line,) = (trace for trace in figure.data if "img" in trace.name)
    assert list(line.marker.symbol) == ["circle", "circle-open", "circle", "circle-open", "circle"]
    assert list(line.error_y.array) == pytest.approx([0, 0, 0.5, 0, 0])
    assert list(line.error_y.arrayminus) == pytest.approx([0, 0, 2, 0, 0])
    said = line.text
    assert "inferred from nearly the same at nothing pruned and 40 %" in said[1]
    assert "91.0 % (89.0 to 91.5)<br>measured on 64 of 100 images so far" in said[2]
    assert "accuracy below 50.0 %<br>not measured: inferred from the collapse" in said[3]
    assert "all 100 images (on other such images 0.0 to 100.0)<br>7 images gave NaN" in said[4]
    assert data["images"].tolist() == [100, 0, 64, 0, 100]
    assert data["how"].tolist() == ["measured", "between", "partly", "beyond", "measured"]
    cells = figures.heat_map(adaptive(), {}, DARK)[0].data[0].text[0]
    assert list(cells) == ["−0.5", "−1.0", "lost", "−82.0"]


def test_what_a_scan_took_is_said() -> None:
    found = adaptive()
    assert words.far(found, Job("scan", "k")) == (
        "3 of 8 points known, 5 open; 164 images evaluated, 41 % of what exact takes"
    )
    assert words.far(scan(), Job("scan", "k", total=4, done=3)) == "3 of 4 points measured"
    assert "to ±1 point or a tenth of the loss, 2 measured and 2 inferred; 164 images" in words.known(found)
    few = "3 points, each on 100 validation images (exact, as usual up to 500); one image is 1 point"
    assert words.known(scan()).endswith(few)
    many = scan().model_copy(update={"n": 5000})
    assert words.known(many).endswith("each on 5,000 validation images; one image is 0.02 points")
    assert [words.mode(how) for how in (None, Precise(0.5))] == ["exact", "adaptive, to ±0.5 points"]
    assert words.invalid(scan()) == ""
    assert "At 1 point some images give NaN" in words.invalid(found)


def test_less_precision_is_guessed_to_take_fewer_images() -> None:
    def images(name: str) -> float:
        return Choice("digits-mlp", "channel", "l2", 0, (0.5,), 5000, precise=PRECISIONS[name]).images

    names = ("Adaptive, ±2 points", "Adaptive, ±1 point", "Adaptive, ±0.5 points", "Exact, all images")
    guesses = [images(name) for name in names]
    assert guesses == sorted(guesses)
    assert guesses[-1] == 5000


def test_all_that_decides_a_time_names_it() -> None:
    base = TimeChoice("digits-mlp", (0.5,), 1, 1, 0.15)
    others = ({"ratios": (0.4,)}, {"batch_size": 8}, {"threads": 2}, {"point_s": 0.5})
    names = {replace(base, **other).digest for other in others}
    names.add(replace(base, choices=Choices(heads="inside")).digest)
    assert len(names | {base.digest}) == 6


def test_a_doubtful_saving_is_said_to_be_one() -> None:
    about = {"ratio": 0.5, "kept": 1, "size": 2, "dense": 1e-3, "turns": 50}
    points = [
        LatencyPoint(key="a", saved=4e-4, interval=(3e-4, 5e-4), **about),
        LatencyPoint(key="b", saved=1e-4, interval=(-1e-4, 2e-4), **about),
    ]
    figure, data = figures.time_saved(["a", "b", "c"], [0.5], points, LIGHT)
    assert [row[0] for row in figure.data[0].text] == ["40", "?", ""]
    assert [row[0] for row in figure.data[0].z] == pytest.approx([40, 0, None])
    assert len(data) == 2


@pytest.mark.parametrize("measure", ["accuracy", "close-up", "loss"])
def test_whole_layers_are_points_with_their_intervals(measure: str) -> None:
    whole = scan()
    dropped = whole.model_copy(update={"granularity": "layer"})
    figure, data = figures.drops(dropped, measure, 1.0, LIGHT)
    points = [dropped.curve(key)[-1] for key in dropped.keys]
    shown = [100 * p.accuracy if measure != "loss" else p.loss for p in points]
    assert list(figure.data[0].x) == shown
    low = figure.data[0].error_x.arrayminus
    assert low[0] == pytest.approx(100 * (points[0].accuracy - points[0].interval[0]))
    assert figure.layout.xaxis.title.text.endswith("nats" if measure == "loss" else "%")
    assert len(data) == 1 + len(dropped.points)
