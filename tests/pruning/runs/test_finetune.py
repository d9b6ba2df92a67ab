"""Real fine-tunings: what they leave, and that one whose process was killed ends with the same numbers."""

from __future__ import annotations

import os
import runpy
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from in_process import here
from queued_runs import row, until

from pruning import evaluate, load_checkpoint, load_model, load_task
from pruning.history import Figures, History, Run
from pruning.models import LoadedModel
from pruning.recipe import Recipe, Rule
from pruning.recover import Epoch
from pruning.recover.settings import Fit, Pruning, Recovery
from pruning.runs import Dispatcher, finetune
from pruning.runs.leave import result_files
from pruning.runs.submit import submit
from pruning.store import weights_digest

RULE = Rule(ratio=0.9, granularity="weight", criterion="l1")
SETTINGS = Recovery(
    recipe=Recipe(rules={"hidden.fc1": RULE, "hidden.fc2": RULE}, model="digits-mlp"),
    pruning=Pruning(schedule="cubic", prune=2, recover=2),
    fit=Fit(batch_size=128, seed=3),
)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_model("digits-mlp")


def without_times(epochs: list[Epoch]) -> list[Epoch]:
    return [epoch.model_copy(update={"seconds": 0.0, "images_per_s": 0.0}) for epoch in epochs]


def without_latency(figures: Figures) -> Figures:
    return figures.model_copy(update={"latency": None, "seconds": None})


@pytest.fixture
def dispatcher(history: History) -> Iterator[Dispatcher]:
    made = Dispatcher(history)
    yield made
    made.close()


def test_a_killed_fine_tuning_ends_as_an_uninterrupted_one(
    dispatcher: Dispatcher, history: History, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = dispatcher.submit(loaded, SETTINGS, owner="anna")
    other = submit(history, loaded, SETTINGS)
    history.set_state(other, "interrupted")
    dispatcher.start()
    until(lambda: len(history.epochs(run_id)) >= 2)
    dispatcher.pause(run_id)
    until(lambda: row(history, run_id).state in ("paused", "done"))
    assert row(history, run_id).state == "paused"
    os.kill(dispatcher._children[run_id].pid, signal.SIGKILL)
    until(lambda: row(history, run_id).state == "interrupted")
    killed_at = len(history.epochs(run_id))
    assert killed_at < SETTINGS.epochs + 1
    assert dispatcher.resume(run_id)
    until(lambda: not row(history, run_id).busy)
    history.set_state(other, "queued")
    dispatcher.close()
    monkeypatch.setattr(finetune, "LATENCY_S", 0.1)
    one, two = row(history, run_id), here(history, other)
    assert (one.state, two.state) == ("done", "done")
    assert without_times(history.epochs(run_id)) == without_times(history.epochs(other))
    assert len(history.epochs(run_id)) == SETTINGS.epochs + 1
    assert without_latency(one.figures) == without_latency(two.figures)
    files = [history.folder(i) / "digits-mlp-recovered.safetensors" for i in (run_id, other)]
    assert files[0].read_bytes() == files[1].read_bytes()
    check_result(history, one, loaded)


def check_result(history: History, run: Run, loaded: LoadedModel) -> None:
    """What the row says is what comes out of the files that were left."""
    folder, figures, task = history.folder(run.id), run.figures, load_task("digits")
    names = {path.name for path in folder.iterdir()}
    left = {path.name for path in result_files(folder, run.model)}
    assert left == {
        "digits-mlp-recovered.safetensors",
        "recipe.json",
        "settings.json",
        "load.py",
        "README.md",
    }
    assert names - left - {"alive.lock", "log.txt"} == {"dense.safetensors", "answers.safetensors"}
    module = load_checkpoint(folder / "digits-mlp-recovered.safetensors").module
    assert weights_digest(runpy.run_path(str(folder / "load.py"))["network"]) == weights_digest(module)
    assert weights_digest(load_model("digits-mlp", folder / "dense.safetensors").module) == run.weights
    found = {
        split: (evaluate(module, task, split).accuracy, evaluate(loaded.module, task, split).accuracy)
        for split in ("validation", "test")
    }
    assert figures.validation is not None
    assert figures.test is not None
    assert figures.dense is not None
    assert figures.dense_test is not None
    assert found == {
        "validation": (figures.validation.accuracy, figures.dense.accuracy),
        "test": (figures.test.accuracy, figures.dense_test.accuracy),
    }
    assert figures.before is not None
    assert figures.before.accuracy < figures.validation.accuracy
    assert figures.size is not None
    zeros = sum(int((parameter == 0).sum()) for parameter in module.parameters())
    assert figures.size.nonzero == sum(parameter.numel() for parameter in module.parameters()) - zeros
    assert figures.size.file_bytes == (folder / "digits-mlp-recovered.safetensors").stat().st_size
    assert figures.removed == {"hidden.fc1": 0.9, "hidden.fc2": 0.9}
    assert sum(map(sum, figures.confusion)) == figures.validation.n == len(task.validation)
    assert (figures.epochs, figures.ended) == (4, "done")
    assert figures.latency is not None
    assert figures.latency.ratio is not None
    assert "predictions the same" in figures.check
    card = (folder / "README.md").read_text()
    assert "How it was trained" in card
    assert loaded.provenance in card
    assert Recovery.from_json((folder / "settings.json").read_text()) == SETTINGS
    assert Recipe.from_json((folder / "recipe.json").read_text()) == SETTINGS.recipe
    assert (run.criterion, run.granularity, run.schedule, run.ratio) == ("l1", "weight", "cubic", 0.9)


def test_settings_that_do_not_fit_are_a_failed_run_with_a_sentence(
    history: History, loaded: LoadedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = SETTINGS.model_copy(update={"recipe": Recipe(rules={"nowhere": RULE})})
    run = here(history, submit(history, loaded, wrong))
    assert run.state == "failed"
    assert "nowhere" in run.error
    damaged = submit(history, loaded, SETTINGS)
    (history.folder(damaged) / "dense.safetensors").write_bytes(b"nothing")
    assert here(history, damaged).state == "failed"
    assert capsys.readouterr().err.count("Traceback") == 2


def test_what_cannot_be_kept_is_refused(
    history: History, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setenv("PRUNING_RUNS_MB", "0.1")
    first = submit(history, loaded, SETTINGS)
    with pytest.raises(ValueError, match="raise PRUNING_RUNS_MB"):
        submit(history, loaded, SETTINGS)
    history.set_state(first, "done")
    second = submit(history, loaded, SETTINGS)
    assert not history.folder(first).exists()
    assert row(history, second).state == "queued"
    monkeypatch.delenv("PRUNING_RUNS_MB")
    monkeypatch.setattr("pruning.runs.submit.MOST_WAITING", 1)
    with pytest.raises(ValueError, match="1 runs are waiting"):
        submit(history, loaded, SETTINGS)
    monkeypatch.setattr("pruning.runs.submit.MOST_WAITING", 2)
    history.set_state(submit(history, loaded, SETTINGS, owner="anna"), "done")
    monkeypatch.setattr("pruning.runs.submit.MOST_OF_ONE", 0)
    with pytest.raises(ValueError, match="0 of your runs"):
        submit(history, loaded, SETTINGS, owner="anna")
    (folder / "runs").rename(folder / "away")
    (folder / "runs").write_text("no folder")
    with pytest.raises(ValueError, match="cannot be written"):
        submit(history, loaded, SETTINGS)
    assert history.count() == 3
