"""The Fine-tune page without a browser: plan, start, every state of a run, and what cannot be."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pruning import evaluate
from pruning.history import Figures, Measured, Size
from pruning.recover import Epoch, Histogram, Pruning, Recovery
from pruning.recover.recalibrate import recalibrate
from pruning.runs import Dispatcher
from ui import address, cache
from ui.finetune import files

Open = Callable[..., Any]
SESSION = "pruning-session"


@pytest.fixture(autouse=True)
def nothing_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A history of its own, and nobody who starts what waits in it."""
    monkeypatch.setenv("PRUNING_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(Dispatcher, "start", lambda self: None)
    for kept in (cache.history, cache.dispatcher, cache.jobs):
        kept.clear()
    yield
    for kept in (cache.history, cache.dispatcher, cache.jobs):
        kept.clear()


def button(app: Any, label: str) -> Any:
    return next(found for found in app.button if found.label.startswith(label))


def labels(app: Any) -> set[str]:
    return {found.label for found in app.button}


def select(app: Any, label: str) -> Any:
    return next(found for found in app.selectbox if found.label == label)


def texts(app: Any) -> str:
    return " ".join(each.value for kind in (app.markdown, app.caption, app.info, app.error) for each in kind)


def started(open_page: Open, model: str = "digits-mlp") -> tuple[Any, str]:
    """A page after a click on Start, and the id of the run."""
    app = open_page("finetune", model=model)
    button(app, "Start").click().run()
    assert not app.exception
    return app, app.session_state[SESSION].run


def epoch(number: int) -> Epoch:
    histogram = Histogram(counts=(1, 2, 3), edge=1.0, zero=4, near=1)
    return Epoch(
        number=number,
        phase="prune",
        losses={"labels": 0.1} if number else {},
        accuracy=0.9,
        low=0.85,
        high=0.93,
        n=360,
        reached=1.0 if number else 0.0,
        sparsity=0.5,
        removed={"hidden.fc1": 0.5},
        histograms={"hidden.fc1": histogram},
    )


def test_the_first_look_suggests_a_recipe_and_trains_nothing(open_page: Open) -> None:
    app = open_page("finetune")
    assert "The recipe is empty; suggested:" in texts(app)
    assert select(app, "Way to recover").value == "gradual"
    assert not button(app, "Start").disabled
    assert "arXiv" in select(app, "Schedule").help
    assert cache.history().count() == 0
    button(app, "Make it the recipe").click().run()
    assert set(app.session_state[SESSION].ratios.values()) == {0.5}
    assert "Recipe of the Prune page" in texts(app)


def test_a_preset_sets_everything_and_a_change_makes_it_ones_own(open_page: Open) -> None:
    app = open_page("finetune", model="digits-mlp")
    select(app, "Way to recover").select("iterative").run()
    assert select(app, "Schedule").value == "iterative"
    rounds = next(field for field in app.number_input if field.label == "Rounds")
    assert rounds.value == 5
    rounds.set_value(7).run()
    assert app.session_state[SESSION].recovery.pruning.rounds == 7
    assert select(app, "Way to recover").value == "own"
    again = open_page("finetune", **dict(app.query_params))
    assert again.session_state[SESSION].recovery.pruning.rounds == 7
    select(app, "Way to recover").select("slimming").run()
    assert "does not have" in texts(app)
    assert button(app, "Start").disabled


def test_what_is_not_possible_changes_nothing_and_says_why(open_page: Open) -> None:
    app = open_page("finetune", model="digits-mlp")
    before = app.session_state[SESSION].recovery
    next(field for field in app.number_input if field.label == "Rewind to epoch").set_value(9).run()
    assert "Weights cannot go back to epoch 9" in texts(app)
    assert app.session_state[SESSION].recovery == before
    assert next(field for field in app.number_input if field.label == "Rewind to epoch").value is None


def test_what_a_run_would_refuse_is_said_before_it_starts(open_page: Open) -> None:
    nothing_moved = Recovery(pruning=Pruning(schedule="one-shot", choose="movement"))
    app = open_page("finetune", model="digits-mlp", f=address.pack_recovery(nothing_moved))
    assert "Nothing has moved before the first epoch" in texts(app)
    assert button(app, "Start").disabled


def test_settings_come_back_from_their_file_with_their_recipe(open_page: Open) -> None:
    app = open_page("finetune", model="digits-mlp")
    session = app.session_state[SESSION]
    good = Recovery(recipe=session.recipe_of({"hidden.fc1": 0.25}))
    files.read(session, good.to_json())
    assert dict(session.ratios) == {"hidden.fc1": 0.25}
    assert session.recovery.pruning == good.pruning
    kept = session.recovery, dict(session.ratios)
    strange = json.loads(good.to_json())
    strange["fit"]["layer_lr"] = {"<b>nowhere</b>": 1.0}
    for text, sentence in (
        (json.dumps(strange), "does not have"),
        ("{", "not valid at"),
        ("[]", "not valid at"),
    ):
        with pytest.raises(ValueError, match=sentence):
            files.read(session, text)
    assert (session.recovery, dict(session.ratios)) == kept


def test_start_queues_a_run_that_the_address_finds_again(open_page: Open) -> None:
    app, run_id = started(open_page)
    run = cache.history().get(run_id)
    assert run is not None
    assert (run.state, run.owner) == ("queued", app.session_state[SESSION].owner)
    assert "Cancel" not in labels(app)  # it is a popover, whose button asks once more
    assert "Yes, cancel it" in labels(app)
    second, _ = started(open_page)
    assert cache.dispatcher().waiting_before(second.session_state[SESSION].run) == 1
    again = open_page("finetune", **dict(app.query_params))
    assert again.session_state[SESSION].run == run_id
    button(again, "Yes, cancel it").click().run()
    assert "This run was cancelled" in texts(again.run())
    stranger = open_page("finetune", model="digits-mlp", run=second.session_state[SESSION].run)
    assert "Yes, cancel it" not in labels(stranger)
    assert "another visitor" in texts(stranger)


def test_charts_of_a_run_under_way_change_places(open_page: Open) -> None:
    """The one before stays beside the new one, hidden by the style as soon as that is drawn."""
    app, run_id = started(open_page)

    def slots() -> list[str]:
        return [
            found.proto.body for found in app.get("html") if found.proto.body.startswith('<i class="live-now')
        ]

    seen = []
    for number in range(3):
        cache.history().add_epoch(run_id, epoch(number))
        app.run()
        seen.append((len(app.get("plotly_chart")), slots()))
    first, second = (['<i class="live-now-0"></i>'] * 2, ['<i class="live-now-1"></i>'] * 2)
    assert seen == [(2, first), (4, second), (4, first)]
    app.run()
    assert slots() == first, "nothing new, nothing drawn anew"


def test_an_interrupted_run_says_so_and_resumes(open_page: Open) -> None:
    app, run_id = started(open_page)
    history = cache.history()
    for number in range(3):
        history.add_epoch(run_id, epoch(number))
    history.set_state(run_id, "interrupted", error="The power <b>failed</b>.")
    app.run()
    assert any("The power" in warning.value for warning in app.warning)
    assert app.get("plotly_chart")
    button(app, "Resume").click().run()
    run = history.get(run_id)
    assert run is not None
    assert run.state == "queued"


def test_a_finished_run_shows_three_cards_and_every_chart(open_page: Open, tmp_path: Path) -> None:
    app, run_id = started(open_page)
    history = cache.history()
    for number in range(3):
        history.add_epoch(run_id, epoch(number))

    def measured(accuracy: float) -> Measured:
        return Measured(accuracy=accuracy, low=accuracy - 0.02, high=accuracy + 0.02, n=360)

    size = Size(parameters=100, nonzero=50, macs=1000, file_bytes=4000)
    figures = {"dense": 0.95, "before": 0.31, "validation": 0.92, "test": 0.91}
    made = Figures(**{name: measured(value) for name, value in figures.items()}, size=size, best=2, epochs=2)
    history.set_figures(run_id, made)
    history.set_state(run_id, "done")
    assert "have been removed to make room" in texts(app.run())
    (history.folder(run_id) / "digits-mlp-recovered.safetensors").write_bytes(b"weights")
    app.run()
    cards = "".join(found.proto.body for found in app.get("html"))
    assert all(f"{value:.1f}\N{NO-BREAK SPACE}%" in cards for value in (95.0, 31.0, 92.0, 91.0))
    assert "best epoch, 2" in cards
    assert "Ended after 2 of 63 epochs." in texts(app)
    assert "All as .zip" in {found.proto.label for found in app.get("download_button")}
    for shown in ("Weights", "Near zero", "Losses", "Layers"):
        app.segmented_control(key="ft-details").set_value(shown).run()
        assert not app.exception
        assert len(app.get("plotly_chart")) == 2
    button(app, "New run").click().run()
    assert "Start" in labels(app)


def test_a_link_to_a_run_that_is_gone_says_so(open_page: Open) -> None:
    app = open_page("finetune", model="digits-mlp", run="0123456789ab")
    assert "not in this app's history" in texts(app)
    assert "Start" in labels(app)


def test_recalibration_is_one_click(open_page: Open) -> None:
    app = open_page("finetune", model="digits-cnn")
    button(app, "Recalibrate BatchNorm").click().run()
    (job,) = (job for job in cache.jobs()._jobs.values() if job.kind == "recalibrate")
    end = time.monotonic() + 60
    while job.busy:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert job.state == "done", job.error
    found, task = job.result, cache.task("digits-cnn")
    session = app.session_state[SESSION]
    recipe = session.recipe_of(dict.fromkeys(session.free, 0.5))
    anew = recalibrate(cache.pruned("digits-cnn", recipe), task.calibration.batches())
    assert found.after.accuracy == evaluate(anew, task).accuracy > found.before.accuracy + 0.3
    assert "calibration" not in texts(app)
    assert f"{100 * found.after.accuracy:.1f}" in texts(app.run())


def test_without_data_everything_is_there_but_start(
    open_page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRUNING_DATA_DIR", str(tmp_path))
    cache.task_named.clear()
    app = open_page("finetune", model="mnist-lenet-5")
    assert button(app, "Start").disabled
    assert "mnist.npz" in texts(app)
    assert select(app, "Schedule").value == "cubic"
    cache.task_named.clear()
