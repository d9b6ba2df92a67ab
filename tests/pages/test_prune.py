"""The Prune page without a browser: controls, presets, recipes, models without data."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from opened import Open, html, session_of

from ui import cache, channels, latencies
from ui.prune import facts, live, times
from ui.prune import rows as prune_rows

pytestmark = pytest.mark.usefixtures("quick")


def test_opens_with_every_figure_measured(open_page: Open) -> None:
    app = open_page("prune", model="digits-mlp")
    shown = html(app)
    for name in ("Parameters", "MACs", "Sparsity", "File size", "Accuracy", "Latency"):
        assert f">{name}</span>" in shown
    assert "measured on 360 " in shown
    assert "px-refining" not in shown
    assert not app.error


def test_a_preset_prunes_and_locked_rows_stay(open_page: Open) -> None:
    app = open_page("prune", model="digits-mlp")
    session_of(app).set(locked=frozenset({"hidden.fc1"}))
    app.run()
    app.number_input(key="preset-target").set_value(20.0)
    app.button(key="apply-preset").click().run()
    assert set(session_of(app).ratios) == {"hidden.fc2"}
    app.number_input(key="preset-target").set_value(99.0)
    app.button(key="apply-preset").click().run()
    assert any("At most" in info.value for info in app.info)
    assert set(session_of(app).ratios) == {"hidden.fc2"}


def test_single_weights_say_that_no_time_is_saved(open_page: Open) -> None:
    app = open_page("prune", model="digits-mlp", c="fpgm")
    app.selectbox(key="granularity").set_value("weight").run()
    assert (session_of(app).granularity, session_of(app).criterion) == ("weight", "l2")
    session_of(app).set_ratios({"hidden.fc1": 0.5})
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
    key = session_of(app).keys[1]
    session_of(app).set_ratios({key: asked})
    app.run()
    assert not app.error
    assert not app.exception
    assert "measured on 360 " in html(app)
    (entry,) = cache.plan("digits-cnn", session_of(app).recipe).entries
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
    session_of(app).set_ratios({"hidden.fc1": 0.5})
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
    assert dict(session_of(app).ratios) == {"hidden.fc1": 0.5}


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
    session = session_of(app)
    before = session.version
    session.lock({"conv": True, "stages.stage1.0.conv1": True})
    session.lock({"conv": False})
    assert session.locked == {"stages.stage1.0.conv1"}
    assert session.version == before
    session.undo()
    assert "conv" in session.locked


def test_latency_is_measured_as_chosen(open_page: Open) -> None:
    app = open_page("prune", model="digits-mlp")
    assert "turns, eager; one image" in html(app)
    app.selectbox(key="latency-batch").set_value(8)
    app.selectbox(key="latency-way").set_value("frozen").run()
    shown = html(app)
    assert "turns, frozen; one image" in shown
    assert "Batch 8." in shown  # of the peak memory
    kept = [timing for timing in cache.timings("digits-mlp").values() if timing.way == "frozen"]
    assert [timing.batch_size for timing in kept] == [8]
    assert not app.error


def test_a_network_that_cannot_be_compiled_says_so_on_the_card(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("the dog ate it")

    monkeypatch.setattr("torch.compile", lambda module, **_: refuse)
    app = open_page("prune", model="digits-mlp")
    app.selectbox(key="latency-way").set_value("compiled").run()
    assert "cannot be compiled here (the dog ate it); time it eagerly" in html(app)
    assert not app.error


def open_time(open_page: Open, **query: str) -> Any:
    app = open_page("prune", model="digits-mlp", **query)
    app.session_state["prune-tabs"] = "Time"
    return app.run()


def finished(app: Any, kind: str) -> Any:
    (job,) = cache.jobs().of(session_of(app).owner, kind)
    end = time.monotonic() + 30
    while job.busy and time.monotonic() < end:
        time.sleep(0.05)
    assert job.state == "done", job.error
    return job


def test_good_counts_are_measured_kept_and_marked(
    open_page: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("PRUNING_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(channels, "_known", {})
    monkeypatch.setattr(channels, "CARE", {"Quick": 0.2})
    monkeypatch.setattr("pruning.latency.table.candidate_counts", lambda size, minimum: (8, 9, size))
    app = open_time(open_page)
    assert any("Not measured yet" in caption.value for caption in app.caption)
    app.selectbox(key="channels-row").set_value("hidden.fc2").run()
    app.button(key="channels-start").click().run()
    (table,) = finished(app, channels.KIND).parts
    assert table.key == "hidden.fc2"
    app.run()
    assert any(table.said in caption.value for caption in app.caption)
    monkeypatch.setattr(channels, "_known", {})  # a restart
    found = channels.find("digits-mlp", "hidden.fc2", latencies.USUAL)
    assert found == table
    monkeypatch.setattr(type(table), "good", property(lambda self: (8,)))
    rows = prune_rows.of(session_of(app), facts.of(session_of(app)))
    assert [(row.key, row.good) for row in rows] == [("hidden.fc1", ()), ("hidden.fc2", (8,))]


def test_each_layer_is_timed_in_both_networks(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times, "LAYERS_S", 0.05)
    app = open_time(open_page)
    session_of(app).set_ratios({"hidden.fc1": 0.5})
    app.run()
    app.button(key="layers-start").click().run()
    dense, pruned = finished(app, times.LAYERS).result
    assert [layer.name for layer in dense.layers] == [layer.name for layer in pruned.layers]
    app.run()
    assert any("the bars summed to dense" in caption.value for caption in app.caption)
    assert not app.error
