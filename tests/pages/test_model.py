"""The Model page without a browser: every built-in network, the switch of the treemap, the sample images."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from opened import Open

from ui.model import measured


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No browser draws beside the measurement, and it is short."""
    monkeypatch.setattr(measured, "SETTLE_S", 0.0)
    monkeypatch.setattr(measured, "LATENCY_S", 0.1)


def card(app: Any, label: str) -> Any:
    return next(metric for metric in app.metric if metric.label == label)


def run_until(app: Any, done: Callable[[], bool]) -> None:
    """Rerun as the browser's polling does."""
    end = time.monotonic() + 40
    while not done() and time.monotonic() < end:
        time.sleep(0.2)
        app.run()
    assert done()


def test_opens_with_every_figure(open_page: Open) -> None:
    app = open_page("model")
    assert card(app, "Parameters").delta == "392,242"
    assert card(app, "Accuracy").value.endswith("%")
    assert "(95\u00a0%)" in card(app, "Accuracy").delta
    assert "images" in card(app, "Accuracy").delta
    run_until(app, lambda: card(app, "Latency").value.endswith(" ms"))
    assert "batch 1" in card(app, "Latency").delta
    assert not app.error


@pytest.mark.parametrize("model", ["digits-mlp", "digits-mobilenet", "digits-vit", "mnist-lenet-5"])
def test_opens_for_every_kind_of_network(
    open_page: Open, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PRUNING_DATA_DIR", raising=False)
    app = open_page("model", model=model)
    assert not app.exception
    assert not app.error
    assert (card(app, "Accuracy").value == "no data") == model.startswith("mnist")
    layers = app.dataframe[1].value
    assert f"{layers['parameters'].sum():,}" == card(app, "Parameters").delta
    assert f"{layers['MACs'].sum():,} for one image" == card(app, "MACs").delta


def test_time_is_measured_when_asked_for(open_page: Open) -> None:
    app = open_page("model", model="digits-mlp")
    app.segmented_control(key="model-area").set_value("Time").run()
    assert not app.exception
    run_until(app, lambda: any("single modules scatter" in caption.value for caption in app.caption))


def test_latency_follows_its_settings(open_page: Open) -> None:
    app = open_page("model", model="digits-mlp")
    app.selectbox(key="latency-batch").set_value(32).run()
    run_until(app, lambda: card(app, "Latency").value.endswith(" ms"))
    assert "batch 32" in card(app, "Latency").delta
    again = next(button for button in app.button if button.label == "Measure again")
    again.click().run()
    assert "measuring" in card(app, "Latency").delta
    run_until(app, lambda: card(app, "Latency").value.endswith(" ms"))


def test_wrong_images_can_come_first(open_page: Open) -> None:
    app = open_page("model", model="digits-mlp")
    app.segmented_control(key="model-images").set_value("Wrong ones first").run()
    assert not app.exception
