"""One run: a network is pruned while it trains, and trained until it has recovered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from pruning.device import device_of
from pruning.evaluate import Report, evaluate
from pruning.groups import Structure
from pruning.layers import duplicate
from pruning.plan import Plan
from pruning.recover.begin import check_settings, first_weights, run_name
from pruning.recover.data import Feed, steps_in
from pruning.recover.epoch import Diverged, Trained, train_epoch
from pruning.recover.held import Constraint
from pruning.recover.histograms import histograms
from pruning.recover.recalibrate import has_batch_norm, recalibrate
from pruning.recover.record import Epoch
from pruning.recover.schedules import reached
from pruning.recover.settings import Recovery
from pruning.recover.state import Progress, find_state, keep_state
from pruning.recover.timeline import Timeline
from pruning.recover.trainee import Subject, Trainee, calibration, contiguous
from pruning.shrink import is_graph, shrink
from pruning.tasks import Task

Ended = Literal["done", "early", "stopped", "diverged"]


class Stop(Protocol):
    """Something that says when to stop, such as a `threading.Event`."""

    def is_set(self) -> bool:
        """Whether to stop at the next step."""


@dataclass(frozen=True)
class Recovered:
    """What a run comes to.

    Args:
        module: the network of the best epoch, in eval mode: really smaller where channels or layers went,
            zeros in place where weights did.
        plan: what stays, of the network at full size; None if the recipe has no rules.
        epochs: their records, the first of the state before the first step.
        best: number of the epoch that the module is of; the last finished one if the recipe was not reached
            by then, and what was left was pruned at the end.
        dense: of the network given, on validation images.
        pruned: of the same pruned at once by the recipe, before any training.
        recovered: of `module`.
        ended: "done"; "early" when patience ran out; "stopped" when it was asked to; "diverged" when the loss
            was no number any more: what was best until then is kept.
    """

    module: nn.Module
    plan: Plan | None
    epochs: tuple[Epoch, ...]
    best: int
    dense: Report
    pruned: Report
    recovered: Report
    ended: Ended


def recover(
    module: nn.Module,
    task: Task,
    settings: Recovery,
    *,
    example_inputs: Sequence[Any],
    structure: Structure | None = None,
    folder: str | Path | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
    stop: Stop | None = None,
    constrain: Callable[[nn.Module], Constraint] | None = None,
    teacher: nn.Module | None = None,
) -> Recovered:
    """Prune a network by a schedule while it trains, and train what is left.

    The same network, settings, data, machine and thread count give the same result, also when the run was
    interrupted in between. The caller's random state is left as it was. Validation images choose the epoch;
    test images are not looked at.

    Args:
        module: the network, never changed.
        task: training images to learn from, calibration images for criteria, validation images to measure on.
        settings: every decision.
        example_inputs: positional arguments of its forward.
        structure: its groups by the recipe's choices, if already found.
        folder: where the state is kept after each epoch; a run of the same settings and weights goes on
            there.
        on_epoch: called with each finished epoch once its state is kept, also with that before the first
            step.
        on_step: called before each step with the steps done and to do, counted over the whole run. It may
            wait; what it raises ends the run, and the state of the last epoch stays.
        stop: ends the run at the next step; what was best until then is the result.
        constrain: makes what training has to keep to besides masks, such as shared weights; called with the
            network in training. What a constraint holds beside the weights is not kept in a folder.
        teacher: who teaches, if the settings ask for it: the network itself unless another is given.
    Raises:
        ValueError: settings that do not fit the network, a loss that is no number before the recipe was
            reached, or a folder together with `constrain` or `teacher`.
    """
    if folder is not None and (constrain is not None or teacher is not None):
        raise ValueError("A run with a constraint or a teacher cannot be kept; leave the folder out.")
    subject = Subject.of(module, task, settings, tuple(example_inputs), structure, constrain, teacher)
    with ExitStack() as stack:
        run = _Run(subject, folder, stack)
        ended = run.train(on_epoch or (lambda epoch: None), on_step or (lambda done, steps: None), stop)
        return run.result(ended)


class _Run:
    def __init__(self, subject: Subject, folder: str | Path | None, stack: ExitStack) -> None:
        self.subject = subject
        module, task, settings, inputs = subject.dense, subject.task, subject.settings, subject.example_inputs
        self.settings = self.subject.settings
        rules = self.settings.recipe.rules
        self.timeline = Timeline(self.settings, steps_in(task.train, settings.fit))
        once = self.subject.plan(module) if rules else None
        check_settings(self.settings, device_of(module), lambda: once.grade if once else "exact")
        self.name = run_name(module, settings, task)
        self.folder = None if folder is None else Path(folder)
        self.trainee = Trainee(self.subject, first_weights(module, settings), stack)
        self.feed = Feed.of(task.train, settings.fit, device_of(module))
        self.dense = evaluate(module, task)
        self.pruned = evaluate(shrink(module, once, inputs), task) if once else self.dense
        self.scaler = torch.amp.GradScaler(
            device_of(module).type, enabled=settings.fit.precision == "float16"
        )
        found = find_state(self.folder, self.name, self.trainee) if self.folder else None
        self.progress = found[0] if found else Progress([], None, {}, {}, 0, 0, {})
        if found and found[1]:
            self.scaler.load_state_dict(found[1])

    def train(
        self, on_epoch: Callable[[Epoch], None], on_step: Callable[[int, int], None], stop: Stop | None
    ) -> Ended:
        """Train epoch after epoch; what is known of each is kept before it is told."""
        if not self.progress.epochs:
            self._finish(0, None, None, on_epoch)
        total = self.settings.epochs
        while (number := len(self.progress.epochs)) <= total:
            if self._impatient():
                return "early"
            self.trainee.begin_epoch(number)
            try:
                trained = self._epoch(number, on_step, stop)
            except Diverged:
                if self.progress.best is None:
                    raise ValueError(
                        f"The loss is no number any more in epoch {number}; choose a smaller learning rate, "
                        "or clip gradients."
                    ) from None
                return "diverged"
            if trained is None:
                return "stopped"
            self._finish(number, trained, trained.before, on_epoch)
        return "done"

    def _epoch(self, number: int, on_step: Callable[[int, int], None], stop: Stop | None) -> Trained | None:
        timeline = self.timeline
        first = (number - 1) * timeline.steps
        before: list[float] = []

        def step(index: int) -> bool:
            """Before each step: prune if it is time. False ends the epoch."""
            if stop is not None and stop.is_set():
                return False
            on_step(first + index, timeline.total)
            self._update(first + index, before)
            return True

        return train_epoch(
            self.trainee,
            self.feed,
            number,
            step,
            before,
            rate_at=lambda index: timeline.rate_progress(first + index),
            penalty_at=lambda index: timeline.penalty_progress(first + index),
            scaler=self.scaler,
        )

    def _update(self, step: int, before: list[float]) -> None:
        """Raise ratios, or exchange weights, if it is time at this step of the run."""
        timeline, progress = self.timeline, self.progress
        if due := timeline.due(step, progress.done):  # several at once are as good as the last of them
            if not all(bool(value.isfinite().all()) for value in self.trainee.module.parameters()):
                raise Diverged
            progress.done += len(due)
            if timeline.last_in_epoch(step, progress.done):
                before.append(self._accuracy(step))
            rewinds = self.settings.pruning.rewind is not None
            self.trainee.prune(due[-1].progress, progress.rewound if rewinds else None)
        if share := timeline.exchange(step):
            self.trainee.regrow(share)

    def _accuracy(self, step: int) -> float:
        """Of the network as it is, known already if no step of this epoch was done."""
        if step % self.timeline.steps == 0:
            return self.progress.epochs[-1].accuracy
        return evaluate(self.trainee.module, self.subject.task).accuracy

    def _finish(
        self, number: int, trained: Trained | None, before: float | None, on_epoch: Callable[[Epoch], None]
    ) -> None:
        """Measure, keep and tell an epoch."""
        progress, trainee = self.progress, self.trainee
        # A constraint may have changed the weights when it was set.
        untouched = (
            number == 0 and self.settings.pruning.start == "trained" and self.subject.constrain is None
        )
        report = self.dense if untouched else evaluate(trainee.module, self.subject.task)
        epoch = self._record(number, report, trained, before)
        progress.epochs.append(epoch)
        if trainee.progress >= 1:
            if progress.best is None or report.accuracy > progress.epochs[progress.best].accuracy:
                progress.best, progress.best_values, progress.waited = number, _values(trainee.module), 0
                progress.best_keep = dict(trainee.plan.keep) if trainee.plan else {}
            else:
                progress.waited += epoch.phase == "recover"
        if self.settings.pruning.rewind == number:
            progress.rewound = _values(trainee.module)
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            keep_state(self.folder, self.name, trainee, progress, self.scaler.state_dict())
        on_epoch(epoch)

    def _record(self, number: int, report: Report, trained: Trained | None, before: float | None) -> Epoch:
        trainee, first = self.trainee, self.progress.epochs[:1]
        edges = {name: found.edge for name, found in first[0].histograms.items()} if first else None
        plan = trainee.plan
        dense = sum(parameter.numel() for parameter in self.subject.dense.parameters())
        left = sum(int(parameter.count_nonzero()) for parameter in trainee.module.parameters())
        removed = {key: 1 - float(keep.float().mean()) for key, keep in plan.keep.items()} if plan else {}
        recipe, pruning = self.settings.recipe, self.settings.pruning
        return Epoch(
            number=number,
            phase=self.timeline.phase(number),
            round=self.timeline.rounds(self.progress.done),
            seconds=trained.seconds if trained else 0.0,
            images_per_s=trained.images_per_s if trained else 0.0,
            lr=trained.lr if trained else 0.0,
            losses=trained.losses if trained else {},
            train_accuracy=trained.accuracy if trained else None,
            accuracy=report.accuracy,
            low=report.interval[0],
            high=report.interval[1],
            n=report.n,
            before=before,
            reached=reached(recipe, pruning, trainee.progress),
            sparsity=1 - left / dense,
            removed={key: removed.get(key, 0.0) for key in recipe.rules},
            histograms=histograms(trainee.module, edges),
        )

    def _impatient(self) -> bool:
        patience = self.settings.fit.patience
        return patience is not None and self.progress.waited >= patience

    def result(self, ended: Ended) -> Recovered:
        """The network of the best epoch; if the recipe was not reached, that of now, pruned to the end."""
        progress, trainee = self.progress, self.trainee
        if progress.best is not None:
            trainee.module.load_state_dict(progress.best_values)
        elif trainee.progress < 1:
            trainee.prune(1.0)
        trainee.close()
        plan = trainee.plan
        if plan is not None and progress.best is not None:
            plan = replace(plan, keep=progress.best_keep)
        module = duplicate(contiguous(trainee.module)).eval()
        module = self._recalibrated(module)
        for parameter in module.parameters():
            parameter.grad = None
            parameter.detach().add_(
                0.0
            )  # what a mask made of a negative weight is -0.0, which is not all bits 0
            parameter.requires_grad_(parameter.is_floating_point())
        return Recovered(
            module=module,
            plan=plan,
            epochs=tuple(progress.epochs),
            best=progress.epochs[-1].number if progress.best is None else progress.best,
            dense=self.dense,
            pruned=self.pruned,
            recovered=evaluate(module, self.subject.task),
            ended=ended,
        )

    def _recalibrated(self, module: nn.Module) -> nn.Module:
        """The same with BatchNorm measured anew, where that is better on calibration images."""
        if not self.settings.recalibrate or is_graph(module) or not has_batch_norm(module):
            return module
        other, task = recalibrate(module, calibration(self.subject)), self.subject.task
        reports = [evaluate(one, task, "calibration") for one in (module, other)]
        return other if reports[1].accuracy > reports[0].accuracy else module


def _values(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}
