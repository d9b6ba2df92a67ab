"""Undo and redo: every step can be had back, and a drag is one step."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pruning import Choices
from ui.draft import STEPS, Draft, History, change, clean, hold, redo, undo


def step(ratio: float) -> Draft:
    return Draft(ratios={"conv1": ratio})


def test_undo_and_redo_walk_the_steps() -> None:
    history = History()
    for ratio in (0.1, 0.2, 0.3):
        history = change(history, step(ratio))
    history = undo(undo(history))
    assert history.now == step(0.1)
    assert redo(history).now == step(0.2)
    assert redo(redo(redo(history))).now == step(0.3)
    assert undo(undo(undo(history))).now == Draft()


def test_a_change_after_undo_forgets_what_was_undone() -> None:
    history = undo(change(change(History(), step(0.1)), step(0.2)))
    history = change(history, step(0.5))
    assert not history.future
    assert undo(history).now == step(0.1)


def test_no_change_is_no_step() -> None:
    history = undo(change(History(), step(0.1)))
    assert change(history, history.now) == history


def test_a_drag_is_one_step() -> None:
    history = change(History(), step(0.1))
    for ratio in (0.2, 0.3, 0.4):
        history = hold(history, step(ratio))
    history = change(history, step(0.4))
    assert history.now == step(0.4)
    assert undo(history).now == step(0.1)


def test_a_drag_back_to_its_start_is_no_step() -> None:
    before = change(History(), step(0.1))
    after = change(hold(before, step(0.9)), step(0.1))
    assert after == before


def test_undo_during_a_drag_drops_the_drag() -> None:
    before = change(History(), step(0.1))
    assert undo(hold(before, step(0.7))) == before


def test_steps_are_bounded() -> None:
    history = History()
    for number in range(STEPS + 50):
        history = change(history, replace(history.now, seed=number + 1))
    assert len(history.past) == STEPS


@given(st.lists(st.sampled_from(["change", "hold", "undo", "redo"]), max_size=30), st.data())
def test_redo_reverses_undo(moves: list[str], data: st.DataObject) -> None:
    history = History()
    for move in moves:
        if move in ("change", "hold"):
            draft = step(data.draw(st.floats(0.01, 1)))
            history = (change if move == "change" else hold)(history, draft)
        else:
            history = (undo if move == "undo" else redo)(history)
    settled = change(history, history.now)
    if settled.past:
        assert redo(undo(settled)) == settled


def test_clean_drops_what_is_no_ratio() -> None:
    asked = {"a": 0.5, "b": 0.0, "c": -1.0, "d": 7.0, "e": math.nan, "f": math.inf}
    assert clean(asked) == {"a": 0.5, "d": 1.0, "f": 1.0}


def test_recipe_says_how_groups_are_found_where_channels_go() -> None:
    draft = Draft(heads="inside", norms="statistics")
    assert draft.recipe().choices == draft.choices == Choices("inside", "statistics")
    assert replace(draft, granularity="weight").recipe().choices == Choices()


def test_recipe_carries_every_decision() -> None:
    draft = Draft("weight", "l1", "global", 8, 3, {"conv1": 0.25})
    recipe = draft.recipe("digits-cnn")
    assert recipe.model == "digits-cnn"
    assert (recipe.scope, recipe.multiple_of, recipe.seed) == ("global", 8, 3)
    assert recipe.rules["conv1"].model_dump() == {
        "ratio": 0.25,
        "granularity": "weight",
        "criterion": "l1",
    }
