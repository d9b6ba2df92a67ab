"""One run: a network is pruned while it trains, and trained until it has recovered."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from pruning.device import device_of
from pruning.evaluate import Report, evaluate
from pruning.groups import Structure
from pruning.layers import duplicate
from pruning.models import MODELS, build_model
from pruning.plan import Plan
from pruning.recover.choose import exchange_share
from pruning.recover.data import seed_of, steps_in
from pruning.recover.epoch import Trained, train_epoch
from pruning.recover.histograms import histograms
from pruning.recover.recalibrate import has_batch_norm, recalibrate
from pruning.recover.record import Epoch, Phase
from pruning.recover.schedules import Update, updates_of
from pruning.recover.settings import Recovery
from pruning.recover.state import Progress, find_state, keep_state
from pruning.recover.trainee import Subject, Trainee, calibration, contiguous
from pruning.shrink import is_graph, shrink
from pruning.store import weights_digest
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
        best: number of the epoch that the module is of; 0 if none was finished.
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
) -> Recovered:
    """Prune a network by a schedule while it trains, and train what is left.

    The same network, settings, data, machine and thread count give the same result, also when the run was
    interrupted in between. The caller's random state is left as it was. Validation images choose the epoch;
    test images are not looked at.

    Args:
        module: the network, never changed; it is the teacher, if the settings ask for one.
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
    Raises:
        ValueError: settings that do not fit the network, or a loss that is no number before the recipe was
            reached.
    """
    with ExitStack() as stack:
        run = _Run(module, task, settings, tuple(example_inputs), structure, folder, stack)
        ended = run.train(on_epoch or (lambda epoch: None), on_step or (lambda done, steps: None), stop)
        return run.result(ended)


class _Run:
    def __init__(
        self,
        module: nn.Module,
        task: Task,
        settings: Recovery,
        inputs: tuple[Any, ...],
        structure: Structure | None,
        folder: str | Path | None,
        stack: ExitStack,
    ) -> None:
        self.subject = Subject.of(module, task, settings, inputs, structure)
        self.settings = self.subject.settings
        rules = self.settings.recipe.rules
        self.updates = updates_of(self.settings.pruning, len(rules)) if rules else ()
        self.once = self.subject.plan(module) if rules else None
        _check(self.subject, self.updates, self.once)
        self.name = _name(module, settings, task)
        self.folder = None if folder is None else Path(folder)
        self.trainee = Trainee(self.subject, _start(module, settings), stack)
        self.steps = steps_in(task.train, settings.fit)
        self.dense = evaluate(module, task)
        self.pruned = evaluate(shrink(module, self.once, inputs), task) if self.once else self.dense
        self.scaler = torch.amp.GradScaler(
            device_of(module).type, enabled=settings.fit.precision == "float16"
        )
        found = find_state(self.folder, self.name, self.trainee) if self.folder else None
        self.progress = found[0] if found else Progress([], None, {}, 0, 0, {})
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
            trained = self._epoch(number, on_step, stop)
            if trained is None:
                return "stopped"
            if not math.isfinite(sum(trained.losses.values())):
                if self.progress.best is None:
                    raise ValueError(
                        f"The loss is no number any more in epoch {number}; choose a smaller learning rate, "
                        "or clip gradients."
                    )
                return "diverged"
            self._finish(number, trained, trained.before, on_epoch)
        return "done"

    def _epoch(self, number: int, on_step: Callable[[int, int], None], stop: Stop | None) -> Trained | None:
        first = (number - 1) * self.steps
        before: list[float] = []

        def step(index: int) -> bool:
            """Before each step: prune if it is time. False ends the epoch."""
            if stop is not None and stop.is_set():
                return False
            on_step(first + index, self.settings.epochs * self.steps)
            self._update(first + index, before)
            return True

        return train_epoch(
            self.trainee,
            number,
            step,
            before,
            rate_at=lambda index: self._rate_progress(first + index),
            penalty_at=lambda index: self._penalty_progress(first + index),
            scaler=self.scaler,
        )

    def _update(self, step: int, before: list[float]) -> None:
        """Raise ratios, or exchange weights, if it is time at this step of the run."""
        due = [update for update in self.updates[self.progress.done :] if step >= self._step_of(update)]
        if due:  # several at once are as good as the last of them
            self.progress.done += len(due)
            if self._last_in_epoch(step):
                before.append(evaluate(self.trainee.module, self.subject.task).accuracy)
            rewinds = self.settings.pruning.rewind is not None
            self.trainee.prune(due[-1].progress, self.progress.rewound if rewinds else None)
        pruning = self.settings.pruning
        begin = pruning.stabilise * self.steps
        every = self.steps / pruning.updates
        inside = begin < step < (pruning.stabilise + pruning.prune) * self.steps
        if pruning.regrow and inside and int((step - begin) / every) != int((step - 1 - begin) / every):
            self.trainee.regrow(exchange_share(pruning.regrow, (step - begin) / (pruning.prune * self.steps)))

    def _last_in_epoch(self, step: int) -> bool:
        """Whether no update comes after this step's in its epoch."""
        end = (step // self.steps + 1) * self.steps
        return not any(self._step_of(update) < end for update in self.updates[self.progress.done :])

    def _step_of(self, update: Update) -> int:
        return round((self.settings.pruning.stabilise + update.at) * self.steps)

    def _rate_progress(self, step: int) -> float:
        """How far the learning rate's schedule has come; it begins anew where weights went back."""
        begin, end = 0, self.settings.epochs * self.steps
        if self.settings.pruning.rewind is not None:
            edges = sorted({0, end, *(self._step_of(update) for update in self.updates)})
            begin = max(edge for edge in edges if edge <= step)
            end = min(edge for edge in edges if edge > step)
        return (step - begin + 1) / (end - begin)

    def _penalty_progress(self, step: int) -> float:
        last = self._step_of(self.updates[-1]) if self.updates else self.settings.epochs * self.steps
        return min(1.0, (step + 1) / max(1, last))

    def _finish(
        self, number: int, trained: Trained | None, before: float | None, on_epoch: Callable[[Epoch], None]
    ) -> None:
        """Measure, keep and tell an epoch."""
        progress, trainee = self.progress, self.trainee
        untouched = number == 0 and self.settings.pruning.start == "trained"
        report = self.dense if untouched else evaluate(trainee.module, self.subject.task)
        epoch = self._record(number, report, trained, before)
        progress.epochs.append(epoch)
        if trainee.progress >= 1 and number:
            if progress.best is None or report.accuracy > progress.epochs[progress.best].accuracy:
                progress.best, progress.best_values, progress.waited = number, _values(trainee.module), 0
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
        return Epoch(
            number=number,
            phase=self._phase(number),
            round=len({self._step_of(update) for update in self.updates[: self.progress.done]}),
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
            reached=trainee.progress,
            sparsity=1 - left / dense,
            removed=removed,
            histograms=histograms(trainee.module, edges),
        )

    def _phase(self, number: int) -> Phase:
        pruning = self.settings.pruning
        if number <= pruning.stabilise and pruning.stabilise:
            return "stabilise"
        gradual = len(self.updates) > 1 or pruning.regrow > 0
        return "prune" if gradual and number <= pruning.stabilise + pruning.prune else "recover"

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
        module = duplicate(contiguous(trainee.module)).eval()
        module = self._recalibrated(module)
        for parameter in module.parameters():
            parameter.grad = None
        return Recovered(
            module=module,
            plan=trainee.plan,
            epochs=tuple(progress.epochs),
            best=progress.best or 0,
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


def _name(module: nn.Module, settings: Recovery, task: Task) -> str:
    """Names a run by all that decides it."""
    parts = [weights_digest(module), settings.digest, task.name, str(len(task.train))]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:32]


def _start(module: nn.Module, settings: Recovery) -> nn.Module:
    """The weights to begin with."""
    if settings.pruning.start == "trained":
        return module
    name, device = getattr(module, "architecture", ""), device_of(module)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(settings.fit, 0))
        if name in MODELS:
            return build_model(name).to(device)
        fresh = duplicate(module)
        drawn: set[int] = set()
        for part in fresh.modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()
                drawn |= {id(parameter) for parameter in part.parameters()}
    if any(id(parameter) not in drawn for parameter in fresh.parameters()):
        raise ValueError(
            "Not every layer of this network knows how its weights begin, so it cannot start at random ones; "
            "start at the trained weights."
        )
    return fresh


def _check(subject: Subject, updates: Sequence[Update], once: Plan | None) -> None:
    """Refuse settings that do not fit the network."""
    settings, device = subject.settings, device_of(subject.dense).type
    rules = settings.recipe.rules.values()
    if settings.fit.precision == "float16" and device != "cuda":
        raise ValueError("float16 needs a CUDA device; choose bfloat16 or float32.")
    if settings.pruning.regrow and any(rule.granularity != "weight" for rule in rules):
        raise ValueError("Only single weights can grow back; set regrow to 0, or the granularity to weight.")
    if once is not None and once.grade == "statistics" and len(updates) > 1:
        raise ValueError(
            "The recipe changes what norms average over, which cannot be done little by little; choose the "
            "one-shot schedule."
        )
    if settings.pruning.choose == "movement" and any(rule.granularity == "layer" for rule in rules):
        raise ValueError("Movement ranks weights and channels, not whole layers; choose by the criterion.")
