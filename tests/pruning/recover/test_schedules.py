"""Schedules: where they begin and end, how often they prune, and that what is drawn is what is run."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruning.recipe import Recipe, Rule
from pruning.recover import LR_SCHEDULES, SCHEDULES, Fit, Pruning, Recovery, preview
from pruning.recover.optimise import rate
from pruning.recover.schedules import asked_by, depth_first, updates_of

RECIPE = Recipe(
    rules={
        "a": Rule(ratio=0.5),
        "b": Rule(ratio=0.9, granularity="weight", criterion="l1"),
        "c": Rule(ratio=1.0, granularity="layer", criterion="influence"),
        "d": Rule(ratio=0.5, removed=(1, 2)),
    }
)


@pytest.mark.parametrize("name", list(SCHEDULES))
@given(ratio=st.floats(0, 1), place=st.floats(0.01, 1), steps=st.integers(1, 9))
def test_ratios_rise_from_nothing_to_what_is_asked(name: str, ratio: float, place: float, steps: int) -> None:
    asked = SCHEDULES[name].asked
    values = [asked(ratio, (step + 1) / steps, place) for step in range(steps)]
    assert values[-1] == pytest.approx(ratio)
    assert all(0 <= value <= ratio + 1e-9 for value in values)
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(values))


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_updates_lie_within_the_pruning_epochs_and_end_with_all(name: str) -> None:
    pruning = Pruning(schedule=name, prune=4, updates=2, rounds=3)
    updates = updates_of(pruning, keys=5)
    counts = {"one-shot": 1, "iterative": 3, "layer-by-layer": 5}
    assert len(updates) == counts.get(name, 8)
    assert updates[-1].progress == 1
    assert updates[0].at == 0
    assert all(0 <= update.at < 4 for update in updates)
    assert len(updates_of(Pruning(schedule=name, prune=0), keys=5)) == 1


def test_the_cubic_schedule_is_the_papers() -> None:
    # Zhu and Gupta 2017: s_f + (s_i - s_f)(1 - t)^3 with s_i = 0.
    for t in (0.25, 0.5, 0.75):
        assert SCHEDULES["cubic"].asked(0.8, t, 1) == pytest.approx(0.8 + (0 - 0.8) * (1 - t) ** 3)


def test_iterative_rounds_remove_the_same_share_of_what_is_left() -> None:
    left = [1 - SCHEDULES["iterative"].asked(0.973, round_ / 3, 1) for round_ in range(4)]
    assert [b / a for a, b in itertools.pairwise(left)] == pytest.approx([0.3, 0.3, 0.3])


def test_layers_and_units_by_hand_go_at_the_end() -> None:
    pruning = Pruning(schedule="linear")
    half = asked_by(RECIPE, pruning, 0.5)
    assert {key: rule.ratio for key, rule in half.rules.items()} == {"a": 0.25, "b": 0.45}
    assert asked_by(RECIPE, pruning, 1) is RECIPE


def test_layer_by_layer_prunes_one_key_after_the_other() -> None:
    recipe = Recipe(rules={key: Rule(ratio=0.5) for key in "abcd"})
    pruning = Pruning(schedule="layer-by-layer", prune=4)
    asked = [asked_by(recipe, pruning, update.progress) for update in updates_of(pruning, 4)]
    assert [sum(rule.ratio > 0 for rule in one.rules.values()) for one in asked] == [1, 2, 3, 4]


def test_a_preview_ends_with_the_run() -> None:
    settings = Recovery(
        recipe=RECIPE, pruning=Pruning(schedule="layer-by-layer", stabilise=1, prune=3, recover=2)
    )
    curves, rates = preview(settings, list(RECIPE.rules))
    assert list(curves) == list(RECIPE.rules)
    assert curves["a"][:2] == [(0.0, 0.0), (1.0, 1.0)]
    assert all(curve[-1] == (6.0, 1.0) for curve in curves.values())
    assert rates[0][0] == 0
    assert rates[-1][0] == 6
    alike, _ = preview(settings.model_copy(update={"pruning": Pruning()}), ["a", "b"])
    assert list(alike) == [""]


def test_rules_come_in_the_order_of_depth() -> None:
    rules = {key: Rule(ratio=0.5) for key in ("x", "late", "early")}
    assert list(depth_first(rules, ["early", "late"])) == ["early", "late", "x"]


@pytest.mark.parametrize("name", list(LR_SCHEDULES))
def test_learning_rates_stay_between_nothing_and_the_highest(name: str) -> None:
    fit = Fit(lr_schedule=name, warmup=0.1)
    shares = [rate((step + 1) / 200, fit) for step in range(200)]
    assert all(0 <= share <= 1 + 1e-9 for share in shares)
    assert max(shares) == pytest.approx(1, abs=0.01)
    assert rate(0.05, fit) == pytest.approx(0.5)  # half way through the warm-up


def test_the_cosine_is_at_half_in_the_middle() -> None:
    assert rate(0.5, Fit(warmup=0.0)) == pytest.approx(0.5)
    assert rate(1.0, Fit(warmup=0.0)) == pytest.approx(0.0)
    assert math.isclose(rate(1.0, Fit(warmup=1.0)), 0.0, abs_tol=1e-9)
