"""Figures of a run: what is drawn comes from the epochs, and names are shown as they are."""

from __future__ import annotations

import pytest

from pruning.recover import Epoch, Histogram, Pruning
from ui.figures import recover as figures
from ui.figures import recover_weights as layers
from ui.figures.theme import DARK

STEPS = Pruning(stabilise=1, prune=2, recover=3)
HOSTILE = "<b>a</b>"


def histogram(zero: int, near: int) -> Histogram:
    return Histogram(counts=(near, 10, 10 - near), edge=1.5, zero=zero, near=near)


def epoch(number: int) -> Epoch:
    """Everything in it follows from its number."""
    share = min(1.0, number / 3)
    return Epoch(
        number=number,
        phase="recover" if number > 3 else "prune" if number > 1 else "stabilise",
        lr=0.1 / (number + 1),
        losses={"labels": 1 / number, "penalty": 0.5} if number else {},
        train_accuracy=0.9 if number else None,
        accuracy=0.95 - 0.01 * number,
        low=0.9 - 0.01 * number,
        high=0.97 - 0.01 * number,
        n=360,
        before=0.94 if number in (2, 3) else None,
        reached=share,
        sparsity=0.5 * share,
        removed={HOSTILE: share, "b": 0.5 * share},
        histograms={HOSTILE: histogram(number, 1), "b": histogram(0, 2)},
    )


EPOCHS = [epoch(number) for number in range(6)]


def test_the_course_shows_what_was_measured_and_has_room_for_the_rest() -> None:
    figure, data = figures.course(EPOCHS, STEPS, DARK, dense=0.96, best=4)
    by_name = {trace.name: trace for trace in figure.data}
    assert list(by_name["validation images"].y) == pytest.approx([95, 94, 93, 92, 91, 90])
    assert list(by_name["training images, as trained on"].x) == [1, 2, 3, 4, 5]
    assert list(by_name["just before a pruning"].x) == [2, 3]
    assert list(by_name["kept: the best with the full ratios"].x) == [4]
    assert list(by_name["parameters gone"].y)[-1] == 50
    assert set(by_name["dense network, 96.0 %".replace(" %", "\N{NO-BREAK SPACE}%")].y) == {96.0}
    assert figure.layout.xaxis.range[1] >= 6
    assert [(shape.x0, shape.x1) for shape in figure.layout.shapes] == [(0, 1), (1, 3), (3, 6)]
    assert data["removed, b"].tolist()[-1] == 0.5


def test_phases_of_no_epoch_are_left_out() -> None:
    assert figures.spans(Pruning(stabilise=0, prune=2, recover=1)) == [("prune", 0, 2), ("recover", 2, 3)]


def test_losses_have_a_line_for_each_part() -> None:
    figure, data = figures.training(EPOCHS, STEPS, DARK)
    assert [trace.name for trace in figure.data] == ["labels", "penalty", "learning rate"]
    assert list(figure.data[0].y) == [1 / number for number in range(1, 6)]
    assert len(data) == 5


def test_the_plan_is_one_area_or_a_line_for_each_key() -> None:
    rates = [(0.0, 0.0), (6.0, 0.1)]
    alone, _ = figures.schedule({"": [(0.0, 0.0), (1.0, 0.4), (6.0, 1.0)]}, rates, STEPS, DARK)
    assert [trace.fill for trace in alone.data] == ["tozeroy", None]
    curves = {key: [(0.0, 0.0), (6.0, 1.0)] for key in ("a", HOSTILE)}
    several, data = figures.schedule(curves, rates, STEPS, DARK)
    assert [trace.fill for trace in several.data] == [None] * 3
    assert several.data[1].name == "&lt;b&gt;a&lt;/b&gt;"
    assert data["key"].tolist() == ["a", "a", HOSTILE, HOSTILE]


def test_shares_gone_are_rows_over_time() -> None:
    figure, data = layers.heat_map(EPOCHS, DARK)
    assert list(figure.data[0].y) == ["&lt;b&gt;a&lt;/b&gt;", "b"]
    assert [row[-1] for row in figure.data[0].z] == [100, 50]
    assert len(data) == 12


def test_a_frame_is_an_epochs_histogram() -> None:
    figure, data = layers.weights(EPOCHS, HOSTILE, DARK)
    (slider,) = figure.layout.sliders
    assert [step.label for step in slider.steps] == [str(number) for number in range(6)]
    frame = figure.frames[2]
    assert [frame.name] == list(slider.steps[2].args[0])
    assert list(frame.data[0].y) == [1, 10, 9]
    assert list(frame.traces) == [1], "the start stays to compare with"
    assert "&lt;b&gt;" in frame.layout.title.text
    assert data["pruned"].tolist() == list(range(6))


def test_long_runs_are_thinned_with_both_ends() -> None:
    long = [EPOCHS[1].model_copy(update={"number": number}) for number in range(500)]
    figure, _ = layers.weights(long, "b", DARK)
    labels = [step.label for step in figure.layout.sliders[0].steps]
    assert len(labels) == layers.STEPS
    assert (labels[0], labels[-1]) == ("0", "499")
    wide, _ = layers.heat_map(long, DARK)
    assert len(wide.data[0].x) == layers.COLUMNS


def test_near_zero_is_a_share_of_what_is_not_pruned() -> None:
    figure, data = layers.near_zero(EPOCHS, DARK)
    assert list(figure.data[0].y) == [100 * 1 / 20] * 6
    assert list(figure.data[1].y) == [100 * 2 / 20] * 6
    assert data["share near zero"].max() == 0.1
