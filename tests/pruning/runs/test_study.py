"""Studies: which cells there are, that a restart skips what is done, and what the table says."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import pytest
from in_process import here
from queued_runs import row

from pruning import load_model
from pruning.history import About, Figures, History, Measured, Run
from pruning.models import LoadedModel
from pruning.recover.settings import Fit, Pruning, Recovery
from pruning.runs import study_work
from pruning.runs.control import SERVER_ENDED, Control, Stopped
from pruning.runs.study import MOST_CELLS, Cell, StudySettings, cells, summary
from pruning.runs.submit import submit

BRIEF = Recovery(pruning=Pruning(schedule="one-shot", prune=0, recover=1), fit=Fit(batch_size=256))


def settings(**more: object) -> StudySettings:
    given = {"model": "digits-mlp", "criteria": ["l1"], "granularities": ["weight"], "ratios": [0.9]}
    return StudySettings.model_validate({**given, **more})


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_model("digits-mlp")


def test_random_pruning_is_always_there_and_measured_for_every_seed() -> None:
    study = settings(criteria=["random", "l1", "l1", "l2"], ratios=[0.5, 0.9], seeds=[4, 2])
    assert study.criteria == ("l1", "l2", "random")
    found = cells(study)
    assert len(found) == len(set(found)) == 2 * 2 + 2 * 2
    assert [cell.seed for cell in found if cell.criterion == "l1"] == [4, 4]
    assert [cell.seed for cell in found if cell.criterion == "random"] == [4, 4, 2, 2]
    tuned = cells(settings(seeds=[4, 2], recovery=BRIEF))
    assert [(c.criterion, c.seed) for c in tuned if c.tuned] == [
        ("l1", 4),
        ("random", 4),
        ("l1", 2),
        ("random", 2),
    ]
    recovery = tuned[-1].recovery(settings(recovery=BRIEF), BRIEF.recipe)
    assert (recovery.fit.seed, recovery.pruning) == (2, BRIEF.pruning)


def test_what_a_criterion_cannot_score_is_left_out() -> None:
    found = cells(settings(criteria=["l1", "bn_scale"], granularities=["weight", "channel"], seeds=[0]))
    assert {(c.criterion, c.granularity) for c in found} == {
        ("l1", "weight"),
        ("l1", "channel"),
        ("bn_scale", "channel"),
        ("random", "weight"),
        ("random", "channel"),
    }


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"ratios": [i / 1000 for i in range(1, 33)], "seeds": list(range(14))}, f"at most {MOST_CELLS}"),
        ({"criteria": ["bn_scale"]}, "None of the chosen criteria scores weight"),
        ({"criteria": ["nothing"]}, "no criterion 'nothing'"),
        ({"model": "nothing"}, "no model 'nothing'"),
        ({"granularities": ["atoms"]}, "atoms"),
        ({"ratios": [0.0]}, "greater than 0"),
        ({"ratios": []}, "at least 1"),
        ({"seeds": [-1]}, "greater than or equal to 0"),
        ({"criteria": "l1"}, "criteria"),
        ({"criteria": [["l1"]]}, "criteria"),
    ],
)
def test_what_cannot_be_is_one_sentence(more: dict[str, object], says: str) -> None:
    import json

    given = {"model": "digits-mlp", "criteria": ["l1"], "granularities": ["weight"], "ratios": [0.9], **more}
    with pytest.raises(ValueError, match=says) as error:
        StudySettings.from_json(json.dumps(given))
    assert "\n" not in str(error.value)
    good = settings(recovery=BRIEF)
    assert StudySettings.from_json(good.to_json()) == good


def test_a_study_goes_on_where_it_was_interrupted_and_comes_to_the_same(
    history: History, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_work, "LATENCY_S", 0.01)
    study = settings(seeds=[0, 1], recovery=BRIEF)
    whole, broken = (submit(history, loaded, study, owner="anna") for _ in range(2))
    assert here(history, whole).state == "done"
    stop_in(monkeypatch, number=6)
    assert here(history, broken).state == "interrupted"
    states = {run.digest: run.state for run in history.runs(study=broken)}
    assert sorted(states.values()) == ["done"] * 5 + ["interrupted"]
    before = {run.id: run.ended for run in history.runs(study=broken, state="done")}
    history.set_state(broken, "queued")
    assert here(history, broken).state == "done"
    after = {run.id: run for run in history.runs(study=broken)}
    assert len(after) == len(cells(study)) == 7
    assert {name: after[name].ended for name in before} == before
    assert figures(history, broken) == figures(history, whole)
    check_rows(history, row(history, broken))
    assert not (history.folder(broken) / study_work.CELLS).exists()


def stop_in(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The server ends in the middle of the training of this cell."""
    step: Callable[..., None] = Control.step

    def stopping(self: Control, done: int, total: int, images: int = 0) -> None:
        if self._progress.phase.startswith(f"cell {number} ") and done % 1000:
            monkeypatch.setattr(Control, "step", step)
            raise Stopped("interrupted", SERVER_ENDED)
        step(self, done, total, images)

    monkeypatch.setattr(Control, "step", stopping)


def figures(history: History, study: str) -> dict[str, Figures]:
    return {
        run.digest: run.figures.model_copy(update={"latency": None, "seconds": None})
        for run in history.runs(study=study)
    }


def check_rows(history: History, study: Run) -> None:
    runs = history.runs(study=study.id)
    assert {run.owner for run in runs} == {"anna"}
    tuned = [run for run in runs if run.kind == "fine-tuning"]
    assert [len(history.epochs(run.id)) for run in tuned] == [2, 2, 2, 2]
    lines = {(line.criterion, line.tuned): line for line in summary(history, study.id)}
    assert list(lines) == [("l1", False), ("random", False), ("l1", True), ("random", True)]
    assert [(line.n, line.drawn) for line in lines.values()] == [(1, False), (2, True), (2, True), (2, True)]
    fixed, control = lines["l1", False], lines["random", False]
    assert fixed.test is not None
    assert fixed.test.sd == 0.0
    assert control.test is not None
    values = [
        run.figures.test.accuracy
        for run in runs
        if run.criterion == "random" and run.kind == "evaluation" and run.figures.test
    ]
    assert (control.test.mean, control.test.sd) == (statistics.fmean(values), statistics.stdev(values))
    assert fixed.test.mean > control.test.mean  # magnitude beats chance
    assert control.nonzero is not None
    assert fixed.nonzero is not None
    assert control.nonzero.mean == fixed.nonzero.mean  # the same number of weights is left
    assert (study.figures.points, study.figures.total) == (7, 7)


def test_finish_ends_a_study_with_what_is_done(
    history: History, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_work, "LATENCY_S", 0.0)
    step: Callable[..., None] = Control.step

    def finishing(self: Control, done: int, total: int, images: int = 0) -> None:
        if self._progress.phase.startswith("cell 2 "):
            self.finish.set()
        step(self, done, total, images)

    monkeypatch.setattr(Control, "step", finishing)
    run = here(history, submit(history, loaded, settings(seeds=[0, 1])))
    assert (run.state, run.figures.points, run.figures.total) == ("done", 2, 3)


def test_a_cell_that_cannot_be_measured_does_not_stop_the_others(
    history: History, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(study_work, "LATENCY_S", 0.0)
    # An MLP has no BatchNorm whose scales could rank its neurons.
    study = settings(criteria=["bn_scale"], granularities=["channel"], seeds=[0])
    run = here(history, submit(history, loaded, study))
    assert run.state == "done"
    refused, control = summary(history, run.id)
    assert (refused.criterion, refused.n, refused.failed, refused.test) == ("bn_scale", 0, 1, None)
    assert "BatchNorm" in refused.problem
    assert (control.n, control.failed) == (1, 0)
    monkeypatch.setattr(study_work, "uniform_recipe", refuse)
    failed = here(history, submit(history, loaded, study))
    assert (failed.state, failed.error) == (
        "failed",
        "No cell of the study could be measured. The first one: Nothing fits.",
    )
    capsys.readouterr()


def refuse(*_: object, **__: object) -> None:
    raise ValueError("Nothing fits.")


def test_a_study_is_of_its_own_network(history: History, loaded: LoadedModel) -> None:
    with pytest.raises(ValueError, match="of digits-cnn, not of digits-mlp"):
        submit(history, loaded, settings(model="digits-cnn"))


def test_a_table_of_one_seed_has_no_deviation(history: History) -> None:
    study = history.add(About(kind="study"))
    known = Figures(test=Measured(accuracy=0.5, low=0.4, high=0.6, n=10))
    for seed in (0, 1):
        about = About(
            kind="fine-tuning", study=study, criterion="l1", granularity="weight", ratio=0.5, seed=seed
        )
        history.add(about, figures=known, state="done" if seed == 0 else "running")
    (line,) = summary(history, study)
    assert line.test is not None
    assert (line.n, line.test.mean, line.test.sd) == (1, 0.5, None)
    assert Cell("l1", "weight", 0.5, 0, False).digest != Cell("l1", "weight", 0.5, 0, True).digest
