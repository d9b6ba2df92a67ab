"""One epoch of training."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning.recover.data import Feed, seed_of
from pruning.recover.optimise import rate, set_rate
from pruning.recover.regularise import REGULARISERS
from pruning.recover.settings import Fit
from pruning.recover.trainee import Trainee, arranged

LOOK = 16  # steps between two looks at the loss on a GPU, which has to be waited for


@dataclass(frozen=True)
class Trained:
    """What training brought in one epoch.

    Args:
        seconds: of training, without what came in between.
        images_per_s: of it.
        lr: of the last step.
        losses: part -> mean over the images.
        accuracy: share right as they were trained on, in 0..1.
        before: validation accuracy before the last pruning of the epoch, None if there was none.
    """

    seconds: float
    images_per_s: float
    lr: float
    losses: dict[str, float]
    accuracy: float
    before: float | None


class Diverged(Exception):
    """The loss, or a weight, is no number any more."""


class _Sums:
    """Losses and hits, added up; on a GPU where they are, because reading a number waits for it."""

    def __init__(self, device: torch.device) -> None:
        self.wait = device.type == "cpu"
        self.losses: dict[str, Tensor | float] = {}
        self.hits: Tensor | int = 0
        self.images = self.steps = 0

    def add(self, parts: dict[str, Tensor], outputs: Tensor, y: Tensor) -> None:
        """Add a step.

        Raises:
            Diverged: if a loss is no number; on a GPU a few steps later.
        """
        for name, part in parts.items():
            value = part.item() if self.wait else part.detach()
            self.losses[name] = self.losses.get(name, 0.0) + value * len(y)
        self.hits = self.hits + (outputs.detach().argmax(1) == y).sum()
        self.images += len(y)
        self.steps += 1
        if (self.wait or self.steps % LOOK == 0) and not all(map(math.isfinite, self.losses.values())):
            raise Diverged


def train_epoch(
    trainee: Trainee,
    feed: Feed,
    number: int,
    before_step: Callable[[int], bool],
    before: list[float],
    *,
    rate_at: Callable[[int], float],
    penalty_at: Callable[[int], float],
    scaler: torch.amp.GradScaler,
) -> Trained | None:
    """Train for one pass over the images.

    Args:
        trainee: the network, changed.
        feed: the images.
        number: of the epoch, from 1.
        before_step: given the step's index; may prune; False ends the epoch.
        before: accuracies that it measured before pruning.
        rate_at: index -> progress of the learning rate's schedule, in (0, 1].
        penalty_at: index -> progress of the penalty, in (0, 1].
        scaler: of gradients; not enabled unless the precision is float16.
    Returns:
        None if it was ended.
    Raises:
        Diverged: if the loss is no number any more.
    """
    fit = trainee.settings.fit
    device = feed.device
    sums, lr, between = _Sums(device), 0.0, 0.0
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        # Not torch.manual_seed, which takes as long as a step of a small network.
        torch.default_generator.manual_seed(seed_of(fit, number))
        if device.type == "cuda":
            torch.cuda.manual_seed(seed_of(fit, number))
        begin = time.perf_counter()
        for index, (x, y) in enumerate(feed.epoch(number)):
            paused = time.perf_counter()
            if not before_step(index):
                return None
            between += time.perf_counter() - paused
            lr = fit.lr * rate(rate_at(index), fit)
            set_rate(trainee.optimizer, lr)
            sums.add(*_step(trainee, x, y, penalty_at(index), scaler), y)
    images, spent = sums.images, time.perf_counter() - begin - between
    return Trained(
        seconds=spent,
        images_per_s=images / spent,
        lr=lr,
        losses={name: float(value) / images for name, value in sums.losses.items()},
        accuracy=float(sums.hits) / images,
        before=before[-1] if before else None,
    )


def _step(
    trainee: Trainee, x: Tensor, y: Tensor, progress: float, scaler: torch.amp.GradScaler
) -> tuple[dict[str, Tensor], Tensor]:
    """One step of the optimizer; the parts of the batch's loss, and the outputs."""
    fit, module, optimizer = trainee.settings.fit, trainee.module, trainee.optimizer
    if not module.training:  # at first, and when it has just been made smaller
        module.train()
    x = arranged(x)
    optimizer.zero_grad()
    with _precision(fit, x.device):
        outputs = module(x)
        labels = F.cross_entropy(outputs.float(), y, label_smoothing=fit.smoothing)
        parts = trainee.teacher.loss(x, outputs, y, labels) if trainee.teacher else {"labels": labels}
    if trainee.penalty is not None:
        view = trainee.penalty.at(progress)
        parts["penalty"] = REGULARISERS[trainee.settings.regularise.name].penalty(view)  # type: ignore[union-attr]
    scaler.scale(reduce(torch.add, parts.values())).backward()
    scaler.unscale_(optimizer)
    if trainee.movement:
        trainee.movement.add()
    trainee.held.before_step()
    if fit.clip is not None:
        torch.nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], fit.clip)
    scaler.step(optimizer)
    scaler.update()
    trainee.held.after_step()
    return parts, outputs


def _precision(fit: Fit, device: torch.device) -> AbstractContextManager[object]:
    """What multiplications are done in; weights and the optimizer stay as they are."""
    if fit.precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, getattr(torch, fit.precision))
