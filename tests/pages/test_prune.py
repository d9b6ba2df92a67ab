"""The Prune page without a browser: controls, presets, recipes, models without data."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ui import cache, latencies
from ui.prune import live

Open = Callable[..., Any]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time is measured, but briefly."""
    monkeypatch.setattr(live, "REST_S", 0.0)
    monkeypatch.setattr(latencies, "BUDGET_S", 0.02)


def html(app: Any) -> str:
    return " ".join(element.proto.body for element in app.get("html"))


def session(app: Any) -> Any:
    return app.session_state["pruning-session"]


def test_opens_with_every_figure_measured(open_page: Open) -> None:
    app = open_page("prune", model="digits-mlp")
    shown = html(app)
    for name in ("Parameters", "MACs", "Sparsity", "File size", "Accuracy", "Latency"):
        assert f">{name}</span>" in shown
    assert "measured on 360 validation images" in shown
    assert "px-refining" not in shown
    assert not app.error


def test_a_preset_prunes_and_locked_rows_stay(open_page: Open) -> None:
    app = open_page("prune", model="digits-mlp")
    session(app).set(locked=frozenset({"hidden.fc1"}))
    app.run()
    app.number_input(key="preset-target").set_value(20.0)
    app.button(key="apply-preset").click().run()
    assert set(session(app).ratios) == {"hidden.fc2"}
    app.number_input(key="preset-target").set_value(99.0)
    app.button(key="apply-preset").click().run()
    assert any("At most" in info.value for info in app.info)
    assert set(session(app).ratios) == {"hidden.fc2"}


def test_single_weights_say_that_no_time_is_saved(open_page: Open) -> None:
    app = open_page("prune", model="digits-mlp", c="fpgm")
    app.selectbox(key="granularity").set_value("weight").run()
    assert (session(app).granularity, session(app).criterion) == ("weight", "l2")
    session(app).set_ratios({"hidden.fc1": 0.5})
    app.run()
    assert live.MASKED in html(app)
    assert "9,600 zeros" in html(app)  # half of 64 x 300
    assert not app.error


@pytest.mark.parametrize(
    ("granularity", "asked", "badge"),
    [("n:4", 0.5, "2:4"), ("16x1", 0.5, "16x1"), ("pattern", 0.6, "pattern")],
)
def test_every_granularity_of_masks_is_offered_counted_and_measured(
    open_page: Open, granularity: str, asked: float, badge: str
) -> None:
    app = open_page("prune", model="digits-cnn")
    box = app.selectbox(key="granularity")
    assert {"Channels", "Single weights", "N:M, N of every 4", "Blocks of 16 × 1", "Kernel patterns"} <= set(
        box.options
    )
    box.set_value(granularity).run()
    key = session(app).keys[1]
    session(app).set_ratios({key: asked})
    app.run()
    assert not app.error
    assert not app.exception
    assert "measured on 360 validation images" in html(app)
    (entry,) = cache.plan("digits-cnn", session(app).recipe).entries
    assert entry.spelled == badge
    assert f"{entry.size - entry.kept:,} zeros" in html(app)
    assert app.segmented_control(key="scope").disabled == (granularity in ("n:4", "pattern"))


def test_kernel_patterns_are_not_offered_where_there_are_no_kernels(open_page: Open) -> None:
    app = open_page("prune", model="digits-mlp")
    assert "Kernel patterns" not in app.selectbox(key="granularity").options
    assert "N:M, N of every 8" in app.selectbox(key="granularity").options


@pytest.mark.parametrize("criterion", ["taylor", "wanda", "lamp", "random"])
def test_every_kind_of_criterion_scores(open_page: Open, criterion: str) -> None:
    app = open_page("prune", model="digits-mlp")
    app.selectbox(key="draft-criterion").set_value(criterion).run()
    assert not app.error
    assert not app.exception


def test_what_the_criterion_cannot_rank_stays_whole(open_page: Open) -> None:
    app = open_page("prune", model="digits-mlp", c="bn_scale")
    assert not app.error
    assert app.button(key="apply-preset").disabled
    app.selectbox(key="draft-criterion").set_value("l1").run()
    assert not app.button(key="apply-preset").disabled


def test_a_recipe_goes_out_and_comes_in(open_page: Open) -> None:
    app = open_page("prune", model="digits-mlp")
    session(app).set_ratios({"hidden.fc1": 0.5})
    app.session_state["prune-tabs"] = "Recipe"
    app.run()
    rules = json.loads(app.code[0].value)["rules"]
    assert rules["hidden.fc1"]["ratio"] == 0.5
    uploader = app.get("file_uploader")[-1]
    uploader.set_value(("bad.json", b'{"rules": {"x": 1}}', "application/json")).run()
    assert any("not valid at rules" in error.value for error in app.error)
    strange = b'{"rules": {"hidden.fc1": {"ratio": 0.5, "criterion": "nosuch"}}}'
    app.get("file_uploader")[-1].set_value(("strange.json", strange, "application/json")).run()
    assert any("criterion 'nosuch'" in error.value for error in app.error)
    assert not app.exception
    assert dict(session(app).ratios) == {"hidden.fc1": 0.5}


def test_without_data_all_but_accuracy_works(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PRUNING_DATA_DIR", raising=False)
    cache.task_named.clear()
    app = open_page("prune", model="mnist-lenet-300-100")
    shown = html(app)
    assert "not measured" in shown
    assert "mnist.npz" in shown
    assert "266,610" in shown  # its parameters
    assert not app.error


def test_names_out_of_a_file_are_never_markdown(open_page: Open) -> None:
    app = open_page("prune", model="digits-mlp")
    app.session_state["prune-tabs"] = "Recipe"
    app.run()
    rules = {"![x](http://127.0.0.1:1/x.png)": {"ratio": 0.5}}
    text = json.dumps({"rules": rules}).encode()
    app.get("file_uploader")[-1].set_value(("r.json", text, "application/json")).run()
    assert any(r"!\[x\](" in error.value for error in app.error)


def test_a_lock_from_the_board_does_not_make_a_drag_stale(open_page: Open) -> None:
    app = open_page("prune")
    session = app.session_state["pruning-session"]
    before = session.version
    session.lock({"conv": True, "stages.stage1.0.conv1": True})
    session.lock({"conv": False})
    assert session.locked == {"stages.stage1.0.conv1"}
    assert session.version == before
    session.undo()
    assert "conv" in session.locked
