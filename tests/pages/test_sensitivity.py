"""The Sensitivity page without a browser: the scan starts by itself, grows, stops, is found again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from opened import Open, session_of, wait

from pruning import store
from pruning.cli import main
from pruning.sensitivity import Precise
from ui import cache, scans
from ui.jobs import Job


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNING_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(scans, "_known", {})
    cache.jobs.clear()


def asked() -> list[Job]:
    """The scans that this server was asked for."""
    return [job for (kind, _), job in cache.jobs()._jobs.items() if kind == "scan"]


def labels(app: Any) -> set[str]:
    return {button.label for button in app.button}


def test_the_default_scan_starts_by_itself_and_becomes_a_recipe(open_page: Open) -> None:
    app = open_page("sensitivity", model="digits-mlp")
    wait(app)
    (caption,) = (caption.value for caption in app.caption if caption.value.startswith("Measured: 18 points"))
    assert "each on 360 validation images (exact, as usual up to 500); one image is 0.28 points; " in caption
    assert "the dense network has 99.4 % there" in caption
    assert len(app.dataframe[0].value) == 2
    app.slider(key="loss-allowed").set_value(5.0).run()
    session = session_of(app)
    scan = scans.latest(session.model_id, "channel", "l2")
    assert scan is not None
    expected = {key: ratio for key, ratio in scan.prunable(5.0).items() if ratio}
    assert expected
    app.button(key="make-recipe").click().run()
    assert dict(session.ratios) == pytest.approx(expected)
    assert app.title[0].value == "Prune"
    session.undo()
    assert not session.ratios


def test_precision_is_chosen_and_exact_points_have_a_loss(open_page: Open) -> None:
    app = open_page("sensitivity", model="digits-mlp", grid="25, 50, 75 %", precision="Adaptive, ±1 point")
    wait(app)
    (job,) = asked()
    assert job.result.precise == Precise()
    (caption,) = (caption.value for caption in app.caption if caption.value.startswith("Known: "))
    assert "6 points for 360 validation images, to ±1 point or a tenth of the loss, " in caption
    assert "% of what exact takes; the dense network has 99.4 %" in caption
    app.selectbox(key="precision").set_value("Exact, all images").run()
    wait(app)
    assert any("6 points, each on 360 validation images" in caption.value for caption in app.caption)
    exact = asked()[-1].result
    assert exact.complete
    assert exact.mode == "exact"
    assert all(point.loss is not None for point in exact.points)
    for point in job.result.points:
        (same,) = (p for p in exact.curve(point.key) if p.ratio == point.ratio)
        assert point.bounds[0] <= same.accuracy <= point.bounds[1]
    app.selectbox(key="precision").set_value("Adaptive, ±2 points").run()
    wait(app)
    assert any("to ±2 points or" in caption.value for caption in app.caption)


def test_the_usual_precision_goes_by_the_number_of_images(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pruning.sensitivity.usual.FEW", 359)
    app = open_page("sensitivity", model="digits-mlp", grid="25, 50, 75 %")
    wait(app)
    scans.start("somebody-somebody", "digits-mlp", "channel", "l1", ratios=(0.5,))
    wait(app)
    assert [job.result.precise for job in asked()] == [Precise(), Precise()]
    app.selectbox(key="look-channel").set_value("weight").run()
    app.selectbox(key="precision").set_value("Exact, all images").run()
    wait(app)
    assert [job.result.precise for job in asked()[2:]] == [Precise(), None]


def test_a_scan_is_found_again_by_a_new_server(open_page: Open) -> None:
    wait(open_page("sensitivity", model="digits-mlp"))
    cache.jobs.clear()  # a restart
    scans._known.clear()
    app = open_page("sensitivity", model="digits-mlp")
    assert "Make this table the recipe" in labels(app)
    assert not asked()


def test_a_scan_of_the_command_line_is_known_to_every_page(open_page: Open) -> None:
    assert main(["scan", "digits-mlp", "--json"]) == 0
    found = scans.latest("digits-mlp", "channel", "l2")
    assert found is not None
    assert found.complete
    open_page("sensitivity", model="digits-mlp")
    assert not asked()


def test_a_stopped_scan_is_kept_and_goes_on(open_page: Open) -> None:
    app = open_page("sensitivity", model="digits-mlp", grid="25, 50, 75 %")
    wait(app)
    (job,) = asked()
    whole = job.result
    half = type(whole)(
        **{**{n: getattr(whole, n) for n in type(whole).model_fields}, "points": whole.points[:2]}
    )
    store.save_scan(job.key, half)
    cache.jobs.clear()
    scans._known.clear()
    app.run()
    assert any("Stopped after 2 of 6 points" in text.value for text in app.markdown)
    next(button for button in app.button if button.label == "Go on").click().run()
    wait(app)
    (again,) = asked()
    assert again.total == 4
    assert again.result == whole


def test_looking_at_single_weights_leaves_the_prune_page_as_it_is(open_page: Open) -> None:
    app = open_page("sensitivity", model="digits-mlp")
    session = session_of(app)
    session.set_ratios({"hidden.fc1": 0.5})
    app.selectbox(key="look-channel").set_value("weight").run()
    wait(app)
    assert len(app.dataframe[0].value) == 3
    assert session.granularity == "channel"
    assert dict(session.ratios) == {"hidden.fc1": 0.5}


@pytest.mark.parametrize("granularity", ["n:4", "16x1"])
def test_other_masks_are_scanned_and_become_the_recipe(open_page: Open, granularity: str) -> None:
    app = open_page("sensitivity", model="digits-mlp", grid="25, 50, 75 %")
    app.selectbox(key="look-channel").set_value(granularity).run()
    wait(app)
    assert len(app.dataframe[0].value) == 3
    found = scans.latest("digits-mlp", granularity, "l2")
    assert found is not None
    assert found.complete
    assert all(p.kept == round((1 - p.ratio) * p.size) for p in found.points if granularity == "n:4")


def test_a_bad_grid_gets_one_sentence(open_page: Open) -> None:
    app = open_page("sensitivity", model="digits-mlp")
    app.selectbox(key="grid").set_value("Own list").run()
    app.text_input(key="own-grid").set_value("ten").run()
    assert [error.value[:10] for error in app.error] == ["Give up to"]
    app.text_input(key="own-grid").set_value("30, 60").run()
    assert not app.error
    wait(app)


def test_without_data_there_is_one_sentence_and_the_time(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRUNING_DATA_DIR", "/nowhere")
    cache.task_named.clear()
    app = open_page("sensitivity", model="mnist-lenet-300-100")
    assert any("PRUNING_DATA_DIR" in info.value for info in app.info)
    assert any(label.startswith("Measure") for label in labels(app))


def test_time_is_measured_and_found_again(open_page: Open) -> None:
    app = open_page("sensitivity", model="digits-mlp", grid="25, 50, 75 %")
    wait(app)
    app.button(key="start-time").click().run()
    wait(app)
    assert any("6 of 6 points" in caption.value for caption in app.caption)
    cache.jobs.clear()
    app.run()
    assert any("6 of 6 points" in caption.value for caption in app.caption)
