"""The Explain page without a browser: every method, dense beside pruned, conductance, missing data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from opened import Open, session_of


def metric(app: Any, label: str) -> str:
    return next(found.value for found in app.metric if found.label == label)


def test_opens_and_offers_something_to_look_at(open_page: Open) -> None:
    app = open_page("explain", model="digits-mlp")
    assert any("Nothing is pruned yet" in info.value for info in app.info)
    assert metric(app, "Rank correlation, median") == "1.00"
    next(button for button in app.button if "20 %" in button.label).click().run()
    assert not app.exception
    assert set(session_of(app).ratios.values()) == {0.2}
    assert float(metric(app, "Rank correlation, median")) < 1.0


def test_every_method_that_fits_a_convolutional_network(open_page: Open) -> None:
    app = open_page("explain", model="digits-cnn")
    session_of(app).set_ratios(dict.fromkeys(session_of(app).keys, 0.3))
    methods = app.selectbox(key="method").options
    assert len(methods) == 3  # all but the one for tokens
    for method in ("saliency", "grad-cam"):
        app.selectbox(key="method").set_value(method).run()
        assert not app.exception
        assert not app.error


def test_flipped_predictions_can_be_drawn(open_page: Open) -> None:
    app = open_page("explain", model="digits-mlp")
    session_of(app).set_ratios({"hidden.fc1": 0.9, "hidden.fc2": 0.9})
    app.segmented_control(key="explain-images").set_value("Prediction flipped").run()
    assert not app.exception
    assert not metric(app, "Predictions flipped").startswith("0 ")


def test_conductance_becomes_the_criterion(open_page: Open) -> None:
    app = open_page("explain", model="digits-mlp")
    next(button for button in app.button if button.label == "Prune by conductance").click().run()
    assert session_of(app).criterion == "conductance"


def test_without_data_one_sentence_says_what_to_do(
    open_page: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PRUNING_DATA_DIR", str(tmp_path))
    app = open_page("explain", model="mnist-lenet-5")
    assert any("mnist.npz" in info.value for info in app.info)
