"""The Weights page without a browser: every layer kind, dense beside pruned, ratios to look at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from opened import Open, session_of

from pruning.groups.choices import DEFAULT
from ui import cache


def labels(app: Any) -> set[str]:
    return {metric.label for metric in app.metric}


def test_opens_on_the_first_layer(open_page: Open) -> None:
    app = open_page("weights")
    assert app.selectbox(key="layer").value == "conv"
    assert {"Weights", "Kurtosis", "Near zero", "Exactly zero"} <= labels(app)
    assert not app.error


@pytest.mark.parametrize("model", ["digits-mlp", "digits-vit", "digits-mobilenet"])
def test_every_layer_of_a_network_can_be_shown(open_page: Open, model: str) -> None:
    app = open_page("weights", model=model)
    box = app.selectbox(key="layer")
    for name in (box.options[0], box.options[len(box.options) // 2], box.options[-1]):
        app.selectbox(key="layer").set_value(name).run()
        assert not app.exception
        assert not app.error


def test_the_ratio_to_look_at_says_how_many_go(open_page: Open) -> None:
    app = open_page("weights")
    slider = next(s for s in app.slider if s.label == "Pruning ratio to look at")
    slider.set_value(25).run()
    assert any("At 25\u00a0%: 6 of 24 go" in caption.value for caption in app.caption)


def test_pruned_beside_dense(open_page: Open) -> None:
    app = open_page("weights")
    assert app.segmented_control[0].disabled
    session_of(app).set_ratios({"conv": 0.5})
    app.run()
    for side in ("Pruned", "Both"):
        app.segmented_control(key="weights-side").set_value(side).run()
        assert not app.exception
    app.segmented_control(key="weights-side").set_value("Pruned").run()
    count = next(metric for metric in app.metric if metric.label == "Weights")
    assert count.value == "108"  # 12 of 24 filters of 9 weights


@pytest.mark.parametrize(("granularity", "gone"), [("weight", "144"), ("n:4", "128"), ("pattern", "160")])
def test_a_threshold_is_drawn_only_where_there_is_one(open_page: Open, granularity: str, gone: str) -> None:
    app = open_page("weights", model="digits-cnn", g=granularity)
    assert any(f"At 50\u00a0%: {gone} of 288 go" in caption.value for caption in app.caption)
    without = any("no threshold" in caption.value for caption in app.caption)
    assert without == (granularity != "weight")
    app.selectbox(key="layer").set_value("head").run()  # no kernels
    assert any("do not fit" in caption.value for caption in app.caption) == (granularity == "pattern")
    assert not app.error
    assert not app.exception


def test_scores_of_the_layer_on_show_are_those_of_the_whole_network() -> None:
    """They are made for this layer alone, and neither they nor sorting them touch the network."""
    model = "digits-mlp"
    name = next(one.name for one in cache.layers(model) if one.prunable)
    before = cache.model(model).module.get_submodule(name).weight.clone()
    for criterion in ("l1", "random", "lamp"):
        found = cache.sorted_scores(model, "weight", criterion, 3, DEFAULT, name)
        whole = cache.scores(model, "weight", criterion, 3)[f"{name}.weight"]
        assert np.array_equal(found.ordered, np.sort(whole.numpy(), axis=None))
    assert torch.equal(cache.model(model).module.get_submodule(name).weight, before)
    assert cache.stops(model, "weight", "l1") == {}
