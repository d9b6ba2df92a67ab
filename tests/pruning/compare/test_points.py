"""Runs as points: one split at a time, seeds together, the dense network beside them."""

from __future__ import annotations

import math

import pytest
from compare_runs import figures, measured, recipe, run, speed

from pruning.compare import COSTS, points, spread, tasks_of, together, ways_timed
from pruning.recover.settings import Fit, Recovery


def test_spread_is_that_of_a_sample() -> None:
    found = spread([1.0, 2.0, 4.0])
    assert found is not None
    assert (found.mean, found.n) == (pytest.approx(7 / 3), 3)
    assert found.sd == pytest.approx(math.sqrt(((4 / 3) ** 2 + (1 / 3) ** 2 + (5 / 3) ** 2) / 2))
    alone = spread([0.5])
    assert alone is not None
    assert alone.sd is None
    assert spread([]) is None
    assert spread([1.0, math.nan]) is None


def test_only_the_seed_may_differ() -> None:
    made = {
        0: Recovery(recipe=recipe(0, fc1=0.5), fit=Fit(seed=0)),
        1: Recovery(recipe=recipe(1, fc1=0.5), fit=Fit(seed=1)),
        2: Recovery(recipe=recipe(1, fc1=0.5), fit=Fit(seed=1, lr=0.5)),
        3: Recovery(recipe=recipe(1, fc1=0.25), fit=Fit(seed=1)),
    }
    runs = [run(number) for number in made]
    settings = {run.id: made[number].to_json() for number, run in enumerate(runs)}
    assert [[r.title for r in group] for group in together(runs, settings.__getitem__)] == [
        ["run 0", "run 1"],
        ["run 2"],
        ["run 3"],
    ]
    assert len(together(runs, lambda _: "no JSON")) == 4
    on_other_data = [run(0), run(1, task="mnist")]
    assert len(together(on_other_data, lambda _: "{}")) == 2


def test_a_layer_that_is_called_seed_is_no_seed() -> None:
    runs = [run(0), run(1)]
    settings = {run.id: recipe(fc1=0.5).to_json().replace("hidden.fc1", "seed") for run in runs}
    settings[runs[1].id] = settings[runs[1].id].replace("0.5", "0.25")
    assert len(together(runs, settings.__getitem__)) == 2


def test_validation_and_test_are_never_mixed() -> None:
    one, both = run(0), run(1, figures=figures(330, test=measured(400, 450), dense_test=measured(440, 450)))
    costs = COSTS["macs"]
    validation = points([one, both], "validation", costs, "digits", settings=lambda _: "")
    test = points([one, both], "test", costs, "digits", settings=lambda _: "")
    assert [point.accuracy.mean for point in validation] == pytest.approx([350 / 360, 340 / 360, 330 / 360])
    assert [point.accuracy.mean for point in test] == pytest.approx([440 / 450, 400 / 450])
    assert [point.kind for point in validation] == ["dense", "evaluation", "evaluation"]
    assert tasks_of([one, both, run(2, task="mnist")], "test") == ["digits"]


def test_seeds_become_one_point_with_its_spread_and_the_front_is_marked() -> None:
    runs = [run(seed, seed=seed, figures=figures(right, 500)) for seed, right in enumerate((300, 310, 320))]
    worse = run(9, ratio=0.1, figures=figures(290, 900))
    settings = {r.id: recipe(r.seed or 0, fc1=r.ratio or 0).to_json() for r in [*runs, worse]}
    dense, together, alone = points(
        [*runs, worse], "validation", COSTS["parameters"], "digits", settings=settings.__getitem__
    )
    assert (together.accuracy.n, len(together.runs)) == (3, 3)
    assert together.accuracy.mean == pytest.approx(310 / 360)
    assert together.accuracy.sd == pytest.approx(10 / 360)
    assert together.cost.sd == 0
    assert together.measured is None
    assert alone.measured == worse.figures.validation
    assert [dense.on_front, together.on_front, alone.on_front] == [True, True, False]


def test_times_that_were_measured_otherwise_are_left_out() -> None:
    runs = [
        run(0, figures=figures(latency=speed(1.0))),
        run(1, figures=figures(latency=speed(3.0))),
        run(2, figures=figures(latency=speed(0.1, threads=4))),
        run(3),
    ]
    ways = ways_timed(runs)
    assert ways == ["batch 1, 1 thread, CPU", "batch 1, 4 threads, CPU"]
    usual = points(runs, "validation", COSTS["latency"], "digits", settings=lambda run: run)
    assert [point.cost.mean for point in usual] == pytest.approx([4.0, 1.0, 3.0])  # the dense one: 2 and 6
    other = points(runs, "validation", COSTS["latency"], "digits", settings=lambda run: run, way=ways[1])
    assert [point.cost.mean for point in other] == pytest.approx([0.2, 0.1])
