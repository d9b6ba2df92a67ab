"""The Export page without a browser: files for channels and for single weights, checked, and without data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Open = Callable[..., Any]
SESSION = "pruning-session"


def metric(app: Any, label: str) -> Any:
    return next(found for found in app.metric if found.label == label)


def test_opens_with_the_dense_network(open_page: Open) -> None:
    app = open_page("export")
    assert any("Nothing is pruned yet" in info.value for info in app.info)
    assert metric(app, "MACs").delta == "same as dense"
    assert any("360 of 360 predictions the same" in found.value for found in app.success)


def test_channels_give_a_smaller_file_that_loads(open_page: Open) -> None:
    app = open_page("export")
    app.session_state[SESSION].set_ratios({"stages.stage3.0.conv1": 0.5})
    app.run()
    assert not app.exception
    assert not app.error
    assert metric(app, "File").delta.startswith("-")
    assert metric(app, "MACs").delta.startswith("-")
    assert any("identical bit for bit" in found.value for found in app.success)
    assert any("load_checkpoint" in code.value for code in app.code)


def test_single_weights_offer_a_compact_form(open_page: Open) -> None:
    app = open_page("export", model="digits-mlp")
    app.session_state[SESSION].set(granularity="weight")
    app.session_state[SESSION].set_ratios({"hidden.fc1": 0.9, "hidden.fc2": 0.9})
    app.run()
    assert app.segmented_control(key="export-form").value == "sparse"
    compact = metric(app, "File").value
    app.segmented_control(key="export-form").set_value("dense").run()
    assert not app.exception
    assert metric(app, "File").value != compact
    assert any("360 of 360 predictions the same" in found.value for found in app.success)


def test_without_its_data_a_network_is_exported_all_the_same(
    open_page: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PRUNING_DATA_DIR", str(tmp_path))
    app = open_page("export", model="mnist-lenet-300-100")
    assert metric(app, "Test accuracy").value == "not measured"
    assert any("not checked" in info.value for info in app.info)
    assert any("load_checkpoint" in code.value for code in app.code)
