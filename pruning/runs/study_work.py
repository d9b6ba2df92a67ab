"""A study as a run: cell after cell, each a row of its own that a restart finds again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from pruning.compare import answers
from pruning.groups import Structure, find_structure
from pruning.history import About, Figures, Measured, RunState
from pruning.plan import Plan, make_plan
from pruning.recipe import Recipe
from pruning.recover.settings import Recovery
from pruning.runs.finetune import load, recover_cell, with_training
from pruning.runs.measure import Dense, Outcome, outcome
from pruning.runs.study import MOST_CELLS, Cell, StudySettings, cells
from pruning.runs.work import Job
from pruning.shrink import shrink
from pruning.uniform import uniform_recipe

LATENCY_S = 1.0  # of each cell
CELLS = "cells"  # folder in the run's: what it takes to go on inside a cell
_FINE = 1000  # steps that a cell is told as
_OVER: tuple[RunState, ...] = ("done", "failed")


def run_study(job: Job) -> None:
    """Do a run of kind "study".

    A cell that cannot be measured is a failed row, and the others go on; "finish" ends the study after the
    cells that are done.

    Raises:
        ValueError: if no cell could be measured.
    """
    job.control.phase("loading")
    settings = StudySettings.from_json(job.settings)
    study = _Study.of(job, settings)
    every = cells(settings)
    known = {run.digest for run in job.history.runs(study=job.run.id, state=_OVER, limit=MOST_CELLS)}
    weights = [_weight(cell, settings) for cell in every]
    for number, cell in enumerate(every):
        if cell.digest not in known:
            job.control.phase(f"cell {number + 1} of {len(every)}: {cell.title}", go_on=True)
            study.tell(sum(weights[:number]), weights[number], sum(weights))
            study.do(cell)
            study.show(len(every))
        if job.control.finish.is_set():
            break
    study.close()


def _weight(cell: Cell, settings: StudySettings) -> float:
    """How much longer a cell takes than one that is not fine-tuned; roughly, for the time left."""
    return 1.0 + 10.0 * settings.recovery.epochs if cell.tuned and settings.recovery else 1.0


@dataclass
class _Study:
    """What all cells share.

    Args:
        job: of the study.
        settings: its decisions.
        dense: the network, measured once.
        structure: its groups.
        told: what is called with the share of the present cell that is done.
    """

    job: Job
    settings: StudySettings
    dense: Dense
    structure: Structure
    told: Callable[[float], None] = lambda share: None

    @classmethod
    def of(cls, job: Job, settings: StudySettings) -> _Study:
        """Load and measure what all cells share."""
        loaded, task = load(job)
        structure = find_structure(loaded.module, loaded.example_inputs)
        return cls(job, settings, Dense.measured(loaded, task, job.control.check), structure)

    def tell(self, before: float, weight: float, total: float) -> None:
        """A cell begins: so much of the whole is done before it, and so much is its own."""

        def told(share: float) -> None:
            self.job.control.step(int(_FINE * (before + weight * share)), int(_FINE * total))

        self.told = told
        told(0.0)

    def do(self, cell: Cell) -> None:
        """Measure a cell, and keep it or why it cannot be."""
        history = self.job.history
        try:
            recipe = self._recipe(cell)
        except ValueError as error:
            history.set_state(self._row(cell, ""), "failed", error=str(error))
            return
        settings = cell.recovery(self.settings, recipe) if cell.tuned else recipe
        row = self._row(cell, settings.to_json())
        history.set_state(row, "running")
        try:
            figures = self._figures(row, settings)
        except ValueError as error:
            history.set_state(row, "failed", error=str(error))
        except BaseException:
            history.set_state(row, "interrupted")
            raise
        else:
            if figures:
                history.set_figures(row, figures)
            history.set_state(row, "done" if figures else "cancelled")

    def show(self, total: int) -> None:
        """How far the study is."""
        done = self.job.history.count(study=self.job.run.id, state=_OVER)
        figures = Figures(
            dense=Measured.of(self.dense.validation),
            dense_test=Measured.of(self.dense.test),
            points=done,
            total=total,
        )
        self.job.history.set_figures(self.job.run.id, figures)

    def close(self) -> None:
        """The study is over."""
        shutil.rmtree(self.job.folder / CELLS, ignore_errors=True)
        runs = self.job.history.runs(study=self.job.run.id, state=_OVER, limit=MOST_CELLS)
        if runs and all(run.state == "failed" for run in runs):
            raise ValueError(f"No cell of the study could be measured. The first one: {runs[-1].error}")

    def _recipe(self, cell: Cell) -> Recipe:
        return uniform_recipe(
            self.dense.loaded,
            self.structure,
            ratio=cell.ratio,
            granularity=cell.granularity,
            criterion=cell.criterion,
            seed=cell.seed,
            scope=self.settings.scope,
            task=self.dense.task,
        )

    def _row(self, cell: Cell, settings: str) -> str:
        """The row of a cell; a restart finds the same."""
        run, recovery = self.job.run, self.settings.recovery
        about = About(
            kind="fine-tuning" if cell.tuned else "evaluation",
            title=cell.title,
            owner=run.owner,
            model=run.model,
            weights=run.weights,
            device=run.device,
            task=run.task,
            split="" if cell.tuned else "validation",
            study=run.id,
            digest=cell.digest,
            criterion=cell.criterion,
            granularity=cell.granularity,
            schedule=recovery.pruning.schedule if cell.tuned and recovery else "",
            ratio=cell.ratio,
            seed=cell.seed,
        )
        same = f"{run.id} {cell.digest}"
        return self.job.history.add(about, settings=settings, state="interrupted", same=same)

    def _figures(self, row: str, settings: Recovery | Recipe) -> Figures | None:
        """What is measured of a cell; None if it was cut short, which would be no fair comparison."""
        classes = len(self.dense.task.classes)
        if isinstance(settings, Recipe):
            found = self._pruned(settings)
            figures = found.figures(classes)
        else:
            state = self.job.folder / CELLS / row
            recovered = recover_cell(
                self.job,
                row,
                self.dense.loaded,
                self.dense.task,
                settings,
                state,
                lambda done, total: self.told(done / total),
                self.structure,
            )
            if recovered.ended == "stopped":
                return None
            plan = recovered.plan or self._plan(settings.recipe)
            found = self._measured(recovered.module, plan, settings.recipe)
            figures = with_training(found.figures(classes), recovered)
            shutil.rmtree(state, ignore_errors=True)
        answers.keep(self.job.history.folder(row), found.validation, found.test)
        return figures

    def _pruned(self, recipe: Recipe) -> Outcome:
        plan = self._plan(recipe)
        loaded = self.dense.loaded
        return self._measured(shrink(loaded.module, plan, loaded.example_inputs), plan, recipe)

    def _plan(self, recipe: Recipe) -> Plan:
        loaded = self.dense.loaded
        return make_plan(
            loaded.module,
            recipe,
            example_inputs=loaded.example_inputs,
            task=self.dense.task,
            structure=self.structure,
        )

    def _measured(self, module: nn.Module, plan: Plan, recipe: Recipe) -> Outcome:
        return outcome(self.dense, module, plan, recipe, latency_s=LATENCY_S, check=self.job.control.check)
