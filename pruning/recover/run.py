"""One run: a network is pruned while it trains, and trained until it has recovered."""

from __future__ import annotations

import hashlib
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
from pruning.models import MODELS, build_model
from pruning.plan import Plan
from pruning.recover.choose import exchange_share
from pruning.recover.data import Feed, seed_of, steps_in
from pruning.recover.epoch import Diverged, Trained, train_epoch
from pruning.recover.histograms import histograms
from pruning.recover.recalibrate import has_batch_norm, recalibrate
from pruning.recover.record import Epoch, Phase
from pruning.recover.schedules import Update, cycle, reached, updates_of
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
        self.feed = Feed.of(task.train, settings.fit, device_of(module))
        self.dense = evaluate(module, task)
        self.pruned = evaluate(shrink(module, self.once, inputs), task) if self.once else self.dense
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
            self.feed,
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
            if not all(bool(value.isfinite().all()) for value in self.trainee.module.parameters()):
                raise Diverged
            self.progress.done += len(due)
            if self._last_in_epoch(step):
                before.append(self._accuracy(step))
            rewinds = self.settings.pruning.rewind is not None
            self.trainee.prune(due[-1].progress, self.progress.rewound if rewinds else None)
        pruning = self.settings.pruning
        begin = pruning.stabilise * self.steps
        every = self.steps / pruning.updates
        inside = begin < step < (pruning.stabilise + pruning.prune) * self.steps
        if pruning.regrow and inside and int((step - begin) / every) != int((step - 1 - begin) / every):
            self.trainee.regrow(exchange_share(pruning.regrow, (step - begin) / (pruning.prune * self.steps)))

    def _accuracy(self, step: int) -> float:
        """Of the network as it is, known already if no step of this epoch was done."""
        if step % self.steps == 0:
            return self.progress.epochs[-1].accuracy
        return evaluate(self.trainee.module, self.subject.task).accuracy

    def _last_in_epoch(self, step: int) -> bool:
        """Whether no update comes after this step's in its epoch."""
        end = (step // self.steps + 1) * self.steps
        return not any(self._step_of(update) < end for update in self.updates[self.progress.done :])

    def _step_of(self, update: Update) -> int:
        return round((self.settings.pruning.stabilise + update.at) * self.steps)

    def _rate_progress(self, step: int) -> float:
        """How far the learning rate's schedule has come; it begins anew where weights went back."""
        rewinds = self.updates if self.settings.pruning.rewind is not None else ()
        begin, end = cycle(list(map(self._step_of, rewinds)), self.settings.epochs * self.steps, step)
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
            reached=reached(recipe, pruning, trainee.progress),
            sparsity=1 - left / dense,
            removed={key: removed.get(key, 0.0) for key in recipe.rules},
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
        plan = trainee.plan
        if plan is not None and progress.best is not None:
            plan = replace(plan, keep=progress.best_keep)
        module = duplicate(contiguous(trainee.module)).eval()
        module = self._recalibrated(module)
        for parameter in module.parameters():
            parameter.grad = None
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
        if name in MODELS and _shapes(fresh := build_model(name)) == _shapes(module):
            return fresh.to(device)
        fresh = duplicate(module).cpu()
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
    return fresh.to(device)


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in module.state_dict().items()}


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
    if settings.pruning.choose == "movement" and updates and updates[-1].at + settings.pruning.stabilise == 0:
        raise ValueError("Nothing has moved before the first epoch; train first: set stabilise to 1 or more.")
    if settings.pruning.choose == "movement" and any(rule.granularity == "layer" for rule in rules):
        raise ValueError("Movement ranks weights and channels, not whole layers; choose by the criterion.")
