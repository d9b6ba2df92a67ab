"""What is measured of a network that a run made, beside the dense one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from pruning.checkpoint import checkpoint_size, dense_size
from pruning.checkpoint.layout import Form
from pruning.cost import Cost, CostModel
from pruning.evaluate import Report, evaluate_batches
from pruning.history import Figures, Measured, Size, Speed
from pruning.history.figures import MOST_KEYS, confusion_of
from pruning.latency import Timing, measure_latency
from pruning.models import LoadedModel
from pruning.plan import Plan
from pruning.recipe import Recipe
from pruning.tasks import Task

Check = Callable[[], None]  # called now and then; may block or raise


@dataclass(frozen=True)
class Outcome:
    """A network that came out of a run, and what was measured.

    Args:
        module: in eval mode.
        plan: what was removed.
        recipe: what was decided.
        validation, test: reports on it.
        dense_validation, dense_test: reports on the dense network.
        cost, dense_cost: of both.
        form: of its smaller checkpoint.
        file_bytes, dense_bytes: of the checkpoints.
        timing: in turns with the dense network; None if nobody asked for it.
    """

    module: nn.Module
    plan: Plan
    recipe: Recipe
    validation: Report
    test: Report
    dense_validation: Report
    dense_test: Report
    cost: Cost
    dense_cost: Cost
    form: Form
    file_bytes: int
    dense_bytes: int
    timing: Timing | None

    def figures(self, classes: int) -> Figures:
        """What the history keeps of it."""
        return Figures(
            validation=Measured.of(self.validation),
            test=Measured.of(self.test),
            dense=Measured.of(self.dense_validation),
            dense_test=Measured.of(self.dense_test),
            size=Size.of(self.cost, self.file_bytes),
            dense_size=Size.of(self.dense_cost, self.dense_bytes),
            latency=Speed.of(self.timing) if self.timing else None,
            sparsity=1 - self.cost.nonzero / self.dense_cost.parameters,
            removed={e.key: 1 - e.kept / e.size for e in self.plan.entries[:MOST_KEYS]},
            confusion=confusion_of(self.validation, classes),
            test_confusion=confusion_of(self.test, classes),
        )


@dataclass(frozen=True)
class Dense:
    """The dense network and its reports, measured once for all that is made of it."""

    loaded: LoadedModel
    task: Task
    validation: Report
    test: Report

    @classmethod
    def measured(cls, loaded: LoadedModel, task: Task, check: Check) -> Dense:
        """Evaluate it on both splits."""
        found = (report(loaded.module, task, split, check) for split in ("validation", "test"))
        return cls(loaded, task, *found)


def outcome(
    dense: Dense, module: nn.Module, plan: Plan, recipe: Recipe, *, latency_s: float, check: Check
) -> Outcome:
    """Measure a network that was made of a dense one.

    Args:
        dense: what it was made of.
        module: the network, possibly trained since.
        plan: what was removed.
        recipe: what was decided.
        latency_s: seconds for measuring latency; 0 = none.
        check: called now and then; may block or raise.
    """
    costs = CostModel(dense.loaded.module, dense.loaded.example_inputs, plan.structure)
    forms: tuple[Form, ...] = ("dense", "sparse") if plan.weights else ("dense",)
    sizes = {form: checkpoint_size(module, plan, recipe, form=form) for form in forms}
    form = min(forms, key=sizes.__getitem__)
    validation, test = (report(module, dense.task, split, check) for split in ("validation", "test"))
    timing = None
    if latency_s:
        timing = measure_latency(
            module, dense.loaded.example_inputs, baseline=dense.loaded.module, budget_s=latency_s
        )
    return Outcome(
        module=module,
        plan=plan,
        recipe=recipe,
        validation=validation,
        test=test,
        dense_validation=dense.validation,
        dense_test=dense.test,
        cost=costs.of_plan(plan),
        dense_cost=costs.dense,
        form=form,
        file_bytes=sizes[form],
        dense_bytes=dense_size(dense.loaded.module),
        timing=timing,
    )


def report(module: nn.Module, task: Task, split: str, check: Check) -> Report:
    """The accuracy on all images of a split."""
    found: Report | None = None
    for each in evaluate_batches(module, task, split):
        found = each
        check()
    assert found is not None  # an empty split raises
    return found
