"""The choice of a device: offered where there are several, kept in the address, results kept apart."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from opened import session_of
from streamlit.testing.v1 import AppTest

from pruning import device
from pruning.device import Device
from ui import cache

# The CPU under a second name: what runs there is real, only where it lies cannot be told apart.
SECOND = Device("cpu:0", "Second CPU, 1 thread")


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two devices; the names of those that networks were moved to."""
    monkeypatch.setattr(device, "devices", lambda: (Device("cpu", "CPU, 2 threads"), SECOND))
    seen: list[str] = []
    move = device.on_device

    def noted(loaded: Any, name: str) -> Any:
        seen.append(name)
        return move(loaded, name)

    monkeypatch.setattr("ui.cache.networks.on_device", noted)
    return seen


def test_one_device_is_no_choice(open_page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "devices", lambda: (Device("cpu", "CPU, 2 threads"),))
    app = open_page("model", model="digits-mlp")
    assert not app.sidebar.selectbox
    assert "d" not in app.query_params
    assert session_of(app).model_id == "digits-mlp"


def test_a_gpu_is_taken_where_there_is_one_and_can_be_left(open_page: Any, moves: list[str]) -> None:
    app = open_page("prune", model="digits-mlp", r="")
    session = session_of(app)
    session.set_ratios(dict.fromkeys(session.keys, 0.25))
    assert app.sidebar.selectbox("device").value == SECOND.name
    assert app.sidebar.selectbox("device").options == ["CPU, 2 threads", SECOND.label]
    assert session.model_id == f"digits-mlp/{SECOND.name}"
    assert SECOND.name in moves
    app.sidebar.selectbox("device").set_value("cpu").run()
    assert not app.exception
    assert session.model_id == "digits-mlp"
    assert set(session.ratios.values()) == {0.25}  # decisions go along
    assert app.query_params["d"] == "cpu"
    assert cache.model("digits-mlp") is not cache.model(f"digits-mlp/{SECOND.name}")
    again = open_page("prune", **dict(app.query_params))
    assert again.sidebar.selectbox("device").value == "cpu"


def test_times_say_where(open_page: Any, moves: list[str]) -> None:
    app = open_page("prune", model="digits-mlp")
    assert any(SECOND.short in button.proto.popover.label for button in popovers(app))


def popovers(app: AppTest) -> list[Any]:
    def within(block: Any) -> list[Any]:
        own = [block] if getattr(block, "type", "") == "popover" else []
        return own + [found for child in getattr(block, "children", {}).values() for found in within(child)]

    return within(app._tree)


@pytest.mark.parametrize("asked", ["cuda:7", "cpu:0", "x", "CPU", "../cpu", "cuda:0/../x"])
def test_a_link_to_a_device_that_is_not_here_opens(open_page: Any, asked: str) -> None:
    app = open_page("model", model="digits-mlp", d=asked)
    session = session_of(app)
    assert session.model_id == "digits-mlp"
    assert ("PyTorch has no device" in session.note) == (asked in ("cuda:7", "cpu:0"))
    assert torch.device(session.device) == torch.device("cpu")
