"""How fast a network trains and is evaluated, from a few steps: what a run will take, before it begins."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from itertools import count, islice
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pruning.recover.data import Feed
from pruning.recover.optimise import make_optimizer
from pruning.recover.settings import Fit, Recovery
from pruning.recover.teach import Teacher
from pruning.recover.trainee import arranged, ready

if TYPE_CHECKING:
    from pruning.tasks import Task

BUDGET_S = 0.8
WARM_UP = 2  # steps that do not count
FEWEST, LONGEST = 5, 6  # steps, unless they take so many times the budget


@dataclass(frozen=True)
class Pace:
    """How fast it goes.

    Args:
        train: images a second that are trained on, at full size; the median over steps.
        evaluate: images a second that are only looked at.
        steps: of training that were timed.
    """

    train: float
    evaluate: float
    steps: int

    def seconds(self, epochs: int, task: Task) -> float:
        """Predicted seconds of so many epochs, each with its evaluation on validation images."""
        return epochs * (len(task.train) / self.train + len(task.validation) / self.evaluate)


def measure_pace(
    dense: nn.Module,
    task: Task,
    settings: Recovery,
    *,
    example_inputs: Sequence[Any],
    budget_s: float = BUDGET_S,
    threads: int | None = None,
) -> Pace:
    """Time a few steps of a run on a copy of the network, at full size, with its teacher.

    Args:
        dense: the network, never changed.
        task: its data.
        settings: of the run; optimizer, batch size, changes of images, precision and teacher count.
        example_inputs: positional arguments of its forward.
        budget_s: seconds of training steps that are timed; several times that, if steps are slow.
        threads: of torch meanwhile, as the run will have; None = as it is.
    """
    module = ready(dense).train()
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    with torch.random.fork_rng(devices=[]), ExitStack() as stack:
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(threads or torch.get_num_threads())
        teach, teacher = settings.teach, None
        if teach is not None and (teach.weight or teach.hints):
            teacher = stack.enter_context(Teacher(dense, module, teach, example_inputs))
        optimizer = make_optimizer(module, settings.fit, teacher.parameters() if teacher else ())
        train, steps = _train(module, optimizer, teacher, task, settings.fit, device, budget_s)
        evaluated = _evaluate(module, task, device)
    return Pace(train, evaluated, steps)


def _train(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    teacher: Teacher | None,
    task: Task,
    fit: Fit,
    device: torch.device,
    budget_s: float,
) -> tuple[float, int]:
    """Images a second, and the steps that were timed."""
    given = _endless(Feed(task.train, fit, device, None, task.train.targets.to(device)))
    for x, y in islice(given, WARM_UP):
        _step(module, optimizer, teacher, x.to(device), y.to(device), fit)
    _wait(device)
    rates: list[float] = []
    start = before = time.perf_counter()
    for x, y in given:
        _step(module, optimizer, teacher, x.to(device), y.to(device), fit)
        _wait(device)
        now = time.perf_counter()
        rates.append(len(y) / (now - before))
        before, elapsed = now, now - start
        if elapsed >= budget_s and (len(rates) >= FEWEST or elapsed >= LONGEST * budget_s):
            break
    return median(rates), len(rates)  # another process may hold up single steps for a second


def _endless(feed: Feed) -> Iterator[tuple[Tensor, Tensor]]:
    for epoch in count():
        yield from feed.epoch(epoch)


def _step(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    teacher: Teacher | None,
    x: Tensor,
    y: Tensor,
    fit: Fit,
) -> None:
    x = arranged(x)
    low = fit.precision != "float32"
    with torch.autocast(x.device.type, getattr(torch, fit.precision)) if low else nullcontext():
        outputs = module(x)
    labels = functional.cross_entropy(outputs.float(), y, label_smoothing=fit.smoothing)
    parts = teacher.loss(x, outputs, y, labels) if teacher else {"labels": labels}
    optimizer.zero_grad()
    torch.stack(list(parts.values())).sum().backward()
    optimizer.step()


@torch.no_grad()
def _evaluate(module: nn.Module, task: Task, device: torch.device) -> float:
    """Images a second of a forward pass."""
    module.eval()
    x, _ = next(iter(task.validation.batches(256)))
    module(x.to(device))
    _wait(device)
    start = time.perf_counter()
    module(x.to(device))
    _wait(device)
    return len(x) / (time.perf_counter() - start)


def _wait(device: torch.device) -> None:
    """Until the device has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
