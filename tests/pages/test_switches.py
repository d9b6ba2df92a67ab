"""Whole layers and single units through the pages, without a browser."""

from __future__ import annotations

import json

import pytest
from opened import Open, html, session_of

from pruning.checkpoint import load_checkpoint
from ui import cache

pytestmark = pytest.mark.usefixtures("quick")


def test_whole_layers_from_the_choice_to_every_page(open_page: Open) -> None:
    app = open_page("prune", model="digits-vit")
    app.selectbox(key="granularity").set_value("layer").run()
    assert (session_of(app).granularity, session_of(app).criterion) == ("layer", "influence")
    assert app.query_params["g"] == "layer"
    app.number_input(key="drop-count").set_value(2)
    app.button(key="apply-preset").click().run()
    dropped = sorted(session_of(app).ratios)
    assert len(dropped) == 2
    shown = html(app)
    assert "measured on 360 " in shown
    assert not app.error
    session_of(app).undo()
    assert not session_of(app).ratios
    session_of(app).redo()

    app.switch_page("pages/weights.py").run()
    app.selectbox(key="layer").set_value(f"{dropped[0]}.fc1").run()
    assert any(f"{dropped[0]}, which is dropped" in caption.value for caption in app.caption)
    app.segmented_control(key="weights-side").set_value("Pruned").run()
    assert not app.exception
    assert not app.error
    for page in ("export", "explain", "sensitivity"):
        app.switch_page(f"pages/{page}.py").run()
        assert not app.exception
        assert not app.error
    recipe = session_of(app).recipe
    loaded = load_checkpoint(cache.exported("digits-vit", recipe, "dense"))
    assert loaded.recipe == recipe
    assert json.loads(recipe.to_json())["rules"][dropped[0]]["granularity"] == "layer"


@pytest.mark.parametrize("page", ["prune", "sensitivity"])
def test_a_network_without_such_layers_says_why(open_page: Open, page: str) -> None:
    app = open_page(page, model="digits-mlp", g="layer")
    assert any("No layer of this network adds to its input" in info.value for info in app.info)
    assert any("cannot be dropped, and why" in expander.label for expander in app.expander)
    assert not app.error


def test_the_honest_sentence_stands_on_the_page(open_page: Open) -> None:
    app = open_page("prune", model="digits-mlp")
    assert not any("Asked" in caption.value for caption in app.caption)
    session_of(app).set_ratios({"hidden.fc1": 0.5, "hidden.fc2": 0.5})
    app.run()
    said = next(caption.value for caption in app.caption if caption.value.startswith("Asked"))
    assert "Asked 50.0 % of 400 units in 2 rows, got 64.8 % of all parameters" in said
    assert "shrink on both sides and fall by 75.0 %" in said


def test_heads_by_hand_are_planned_measured_and_exported(open_page: Open) -> None:
    app = open_page("prune", model="digits-vit")
    session_of(app).switch({"blocks.0.attention.qkv": (0, 3)})
    app.run()
    assert "measured on 360 " in html(app)
    recipe = session_of(app).recipe
    assert cache.plan("digits-vit", recipe).entries[0].note == "by hand, without 0, 3"
    app.switch_page("pages/export.py").run()
    assert not app.error
    loaded = load_checkpoint(cache.exported("digits-vit", recipe, "dense"))
    assert loaded.recipe.rules["blocks.0.attention.qkv"].removed == (0, 3)
