"""A fine-tuning as a run: the network recovers, epochs go to the history, the result into the folder."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

from pruning.compare import answers
from pruning.device import on_device
from pruning.groups import Structure, find_structure
from pruning.history import Figures, Measured
from pruning.models import LoadedModel
from pruning.plan import Plan, make_plan
from pruning.recover.record import Epoch
from pruning.recover.run import Recovered, recover
from pruning.recover.settings import Recovery
from pruning.runs.leave import leave_result
from pruning.runs.measure import Dense, outcome, report
from pruning.runs.submit import read_dense
from pruning.tasks import Task, load_task

if TYPE_CHECKING:
    from pathlib import Path

    from pruning.runs.work import Job

STATE = "state"  # folder in the run's: what it takes to go on
LATENCY_S = 4.0
MOST_HISTOGRAMS = 100  # epochs of a run whose histograms are kept: they are by far the largest part of a row


def fine_tune(job: Job) -> None:
    """Do a run of kind "fine-tuning"."""
    control = job.control
    control.phase("loading")
    settings = Recovery.from_json(job.settings)
    loaded, task = load(job)
    control.phase("training")
    structure = find_structure(loaded.module, loaded.example_inputs, settings.recipe.choices)
    recovered = recover_cell(
        job, job.run.id, loaded, task, settings, job.folder / STATE, _steps(job, settings), structure
    )
    control.phase("measuring")
    dense = Dense(loaded, task, recovered.dense, report(loaded.module, task, "test", control.check))
    found = outcome(
        dense,
        recovered.module,
        recovered.plan or _nothing(loaded, settings, structure),
        settings.recipe,
        latency_s=LATENCY_S,
        check=control.check,
    )
    answers.keep(job.folder, found.validation, found.test)
    check = leave_result(job.folder, loaded, task, found, settings, recovered.epochs, recovered.best)
    figures = with_training(found.figures(len(task.classes)), recovered)
    job.history.set_figures(job.run.id, figures.model_copy(update={"check": str(check)}))
    shutil.rmtree(job.folder / STATE, ignore_errors=True)


def load(job: Job) -> tuple[LoadedModel, Task]:
    """The network and data of a run."""
    loaded = read_dense(job.folder, job.run.model)
    return on_device(loaded, job.run.device or "cpu"), load_task(job.run.task)


def recover_cell(
    job: Job,
    run_id: str,
    loaded: LoadedModel,
    task: Task,
    settings: Recovery,
    state: Path,
    on_step: Callable[[int, int], None],
    structure: Structure,
) -> Recovered:
    """Recover a network, its epochs kept with a row; goes on where an earlier process was interrupted.

    Args:
        job: whose control can stop it.
        run_id: the row that the epochs belong to.
        loaded, task, settings, structure: as for `recover`.
        state: folder of what it takes to go on.
        on_step: called after each step.
    """
    every = math.ceil((settings.epochs + 1) / MOST_HISTOGRAMS)

    def keep(epoch: Epoch) -> None:
        shown = epoch.number % every == 0 or epoch.number == settings.epochs
        job.history.add_epoch(run_id, epoch if shown else epoch.model_copy(update={"histograms": {}}))

    recovered = recover(
        loaded.module,
        task,
        settings,
        example_inputs=loaded.example_inputs,
        structure=structure,
        folder=state,
        on_epoch=keep,
        on_step=on_step,
        stop=job.control.finish,
    )
    known = {epoch.number for epoch in job.history.epochs(run_id)}
    for epoch in recovered.epochs:  # a process may die between an epoch's state and its row
        if epoch.number not in known:
            keep(epoch)
    job.history.drop_epochs(run_id, after=recovered.epochs[-1].number)
    return recovered


def with_training(figures: Figures, recovered: Recovered) -> Figures:
    """Figures with what only a training has."""
    return figures.model_copy(
        update={
            "before": Measured.of(recovered.pruned),
            "epochs": recovered.epochs[-1].number,
            "best": recovered.best,
            "ended": recovered.ended,
            "seconds": sum(epoch.seconds for epoch in recovered.epochs),
        }
    )


def _nothing(loaded: LoadedModel, settings: Recovery, structure: Structure) -> Plan:
    """The plan of a recipe without rules."""
    return make_plan(
        loaded.module, settings.recipe, example_inputs=loaded.example_inputs, structure=structure
    )


def _steps(job: Job, settings: Recovery) -> Callable[[int, int], None]:
    def told(done: int, total: int) -> None:
        job.control.step(done, total, settings.fit.batch_size)

    return told
