"""Figures and tables of the Compare page: true to the runs, hostile names escaped, nothing mixed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from compare_runs import HOSTILE, figures, recipe, run

from pruning.compare import COSTS, Spread, points
from pruning.recover.record import Epoch
from pruning.runs.study import Line
from ui.compare import rows, study, study_form
from ui.compare.pair import figure_rows
from ui.figures import compare
from ui.figures.spec import spec
from ui.figures.theme import LIGHT


def drawn(figure: Any) -> str:
    """Everything that goes to the browser."""
    return json.dumps(spec(figure, dark=False), ensure_ascii=False)


def test_the_front_is_drawn_and_points_carry_their_runs() -> None:
    runs = [run(seed, seed=seed, figures=figures(right, 500)) for seed, right in enumerate((300, 320))]
    other = run(9, kind="export", name=HOSTILE, criterion=HOSTILE, ratio=0.1, figures=figures(290, 900))
    settings = {r.id: recipe(r.seed or 0, fc1=r.ratio or 0).to_json() for r in [*runs, other]}
    found = points(
        [*runs, other], "validation", COSTS["macs"], "digits", settings=lambda run_id: settings[run_id]
    )
    figure, data = compare.pareto(found, "validation", COSTS["macs"], HOSTILE, [runs[0].id], LIGHT)
    front, together, alone, dense = figure.data
    assert list(front.x) == [5000, 10_000]
    assert front.line.shape == "hv"
    assert together.customdata[0][0].split() == [run.id for run in runs]
    assert together.error_y.array[0] == pytest.approx(100 * np.std([300 / 360, 320 / 360], ddof=1))
    assert alone.customdata[0][0] == other.id
    assert dense.customdata[0][0] == ""
    assert together.marker.size[0] > alone.marker.size[0], "the selected one is ringed"
    assert alone.marker.symbol != together.marker.symbol
    assert "<img" not in drawn(figure)
    assert list(data["on the front"]) == [True, True, False]
    assert figure.layout.yaxis.title.text == "validation accuracy, %"


def epoch(number: int, accuracy: float) -> Epoch:
    return Epoch(
        number=number, phase="prune", accuracy=accuracy, low=0.1, high=0.9, n=360, reached=1, sparsity=0.5
    )


def test_curves_and_shares_of_two_runs() -> None:
    first = run(0, figures=figures(removed={HOSTILE: 0.5, "b": 0.25}))
    second = run(1, figures=figures(removed={"b": 0.75}))
    figure, data = compare.removed(first, second, LIGHT)
    assert [list(bar.x) for bar in figure.data] == [[50, 25], [None, 75]]
    assert list(data["part"]) == [HOSTILE, "b"]
    assert "<img" not in drawn(figure)
    figure, data = compare.curves(
        {"first": [epoch(0, 0.5), epoch(1, 0.75)], HOSTILE: [epoch(0, 0.25)]}, LIGHT
    )
    lines = [trace for trace in figure.data if trace.fill is None and trace.line.dash is None]
    assert [list(line.y) for line in lines] == [[50, 75], [25]]
    assert len(data) == 3
    assert "<img" not in drawn(figure)


def test_more_right_answers_are_good_news_and_more_mistakes_are_not() -> None:
    change = np.array([[3, -3], [2, -2]])
    figure, data = compare.confusion(change, ["0", HOSTILE], "difference", LIGHT, change=True)
    (heat,) = figure.data
    assert np.array_equal(heat.z, [[3, 3], [-2, -2]])
    assert (heat.zmin, heat.zmax) == (-3, 3)
    assert list(heat.text[0]) == ["+3", "−3"]
    assert list(data["images"]) == [3, -3, 2, -2]
    plain, _ = compare.confusion(np.array([[30, 0], [4, 26]]), ["0", "1"], "first", LIGHT)
    assert list(plain.data[0].text[0]) == ["30", ""]
    assert "<img" not in drawn(figure)


def line(criterion: str, ratio: float, mean: float, tuned: bool = False, **given: Any) -> Line:
    found = Spread(mean, 0.02, 3)
    about = {"n": 3, "drawn": True, "validation": found, "test": found, "change": None, "nonzero": found}
    about |= {"macs": None, "file_bytes": None, "ratio_of_times": None, "failed": 0, "problem": ""}
    return Line(criterion, "channel", ratio, tuned, **{**about, **given})


def test_a_study_is_a_line_a_method_with_the_control_dashed() -> None:
    lines = [line("l1", 0.9, 0.5), line("l1", 0.5, 0.9), line("random", 0.5, 0.3)]
    names = study.methods(lines)
    assert list(names.values()) == ["L1 norm", "Random"]
    cells = [(names[each.criterion, "channel", False], each.ratio, each.test) for each in lines if each.test]
    figure, data = compare.methods(cells, "title", "test accuracy", 0.97, LIGHT)
    assert [list(trace.x) for trace in figure.data] == [[50, 90], [50]]
    assert [trace.line.dash for trace in figure.data] == ["solid", "dash"]
    assert list(figure.data[0].error_y.array) == pytest.approx([2, 2])
    assert len(data) == 3
    table = study.table(cells)
    assert table.to_dict("records")[0] == {
        "Method": "L1 norm",
        "50\u00a0%": "90.00 ± 2.00",
        "90\u00a0%": "50.00 ± 2.00",
    }
    assert study.table(cells).iloc[1, 2] == "", "the control was not measured there"


def test_names_of_methods_say_what_differs() -> None:
    lines = [line("l1", 0.5, 0.9), line("l1", 0.5, 0.9, tuned=True), line("random", 0.5, 0.9)]
    assert list(study.methods(lines).values()) == [
        "L1 norm, only pruned",
        "L1 norm, fine-tuned",
        "Random, only pruned",
    ]
    assert "2 could not be measured: Because." in study._unmeasured(
        [line("l1", 0.5, 0.9, failed=2, problem="Because.")]
    )


@pytest.mark.parametrize(("typed", "share"), [(30, 0.3), ("87,5", 0.875), (" 99.9 % ", 0.999)])
def test_ratios_are_read_as_people_write_them(typed: str | int, share: float) -> None:
    assert study_form._share(typed) == pytest.approx(share)


@pytest.mark.parametrize("typed", ["", "0", "100", "abc", "nan", "-3", "1e9"])
def test_what_is_no_ratio_is_said(typed: str) -> None:
    with pytest.raises(ValueError, match="between 0 and 100"):
        study_form._share(typed)


def test_rows_say_how_runs_stand() -> None:
    table = rows.table(
        [
            run(0, starred=True),
            run(1, state="running", kind="fine-tuning", figures={}),
            run(2, kind="scan", figures={"points": 3, "total": 8}),
            run(3, study="0" * 12, state="failed", error="It broke.", figures={}),
        ]
    )
    assert list(table["star"]) == ["★", "☆", "☆", "☆"]
    assert list(table["kind"]) == ["evaluation", "fine-tuning, running", "scan", "cell, only pruned, failed"]
    assert list(table["note"]) == ["", "", "3 of 8 points", "It broke."]
    assert table["validation"][0] == pytest.approx(100 * 340 / 360)
    assert table["validation"].isna().sum() == 3
    assert rows.signature([run(0)]) == rows.signature([run(0)])
    assert rows.signature([run(0)]) != rows.signature([run(0, state="running")])


def test_figures_of_two_runs_are_not_compared_across_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.compare.pair._paired", lambda *_: None)
    one, other = run(0, figures=figures(340)), run(1, figures=figures(349, 250))
    found = {row[0]: row[3] for row in figure_rows(one, other)}
    assert found["Validation accuracy"] == "+2.50 pt, not paired"
    assert found["Parameters, not zero"] == "−50.0 %"
    elsewhere = {row[0]: row[3] for row in figure_rows(one, run(1, task="mnist", figures=figures(349)))}
    assert elsewhere["Validation accuracy"] == "–"
    assert elsewhere["MACs"] == "the same"
