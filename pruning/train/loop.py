"""Train a built-in network from its recipe, the same way every time."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning.evaluate import evaluate
from pruning.models import build_model
from pruning.tasks import Split, Task
from pruning.train.augment import augment
from pruning.train.recipes import Training

SAVE_EVERY = 5  # epochs between two states from which an interrupted training goes on


@dataclass(frozen=True)
class EpochReport:
    """What one epoch brought.

    Args:
        epoch: how many are done.
        epochs: how many there will be.
        loss: mean training loss, nats.
        accuracy: on validation, in 0..1; watched, never used to choose among epochs.
        seconds: since the start of this run.
    """

    epoch: int
    epochs: int
    loss: float
    accuracy: float
    seconds: float


Progress = Callable[[EpochReport], None]


def fit(
    name: str,
    task: Task,
    training: Training,
    *,
    state_file: Path | None = None,
    progress: Progress | None = None,
) -> nn.Module:
    """Train one network on the training split and return it after the last epoch, in eval mode.

    The same recipe, data, machine and thread count give the same weights, whether or not the training was
    interrupted in between. The caller's random state is left as it was.

    Args:
        name: of an entry of `MODELS`.
        task: the data.
        training: the recipe.
        state_file: where to keep the state every few epochs; if there is one, training goes on from it.
        progress: called after each epoch.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        module = build_model(name)
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in the stub
    optimizer = make_optimizer(module, training)
    done = _resume(state_file, module, optimizer, training)
    steps = math.ceil(len(task.train) / training.batch_size)
    start = time.perf_counter()
    for epoch in range(done, training.epochs):
        # A generator of its own for each epoch: a training that goes on draws the same numbers.
        generator = torch.Generator().manual_seed(training.seed * 100_003 + epoch)
        module.train()
        total = 0.0
        for step, (x, y) in enumerate(shuffled(task.train, training, generator)):
            for group in optimizer.param_groups:
                group["lr"] = training.lr * rate(
                    (epoch * steps + step + 1) / (training.epochs * steps), training
                )
            total += _step(module, optimizer, x, y, training) * len(y)
        if state_file and ((epoch + 1) % SAVE_EVERY == 0 or epoch + 1 == training.epochs):
            _save(state_file, module, optimizer, training, epoch + 1)
        if progress:
            accuracy = evaluate(module, task).accuracy
            seconds = time.perf_counter() - start
            progress(EpochReport(epoch + 1, training.epochs, total / len(task.train), accuracy, seconds))
    module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return module.eval()


def shuffled(split: Split, training: Training, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of augmented batches in random order."""
    order = torch.randperm(len(split), generator=generator)
    for chosen in order.split(training.batch_size):
        yield augment(split.inputs(chosen), training, generator), split.targets[chosen]


def rate(progress: float, training: Training) -> float:
    """Share of the highest learning rate at a share of all steps: linear up, then half a cosine down.

    Source: Loshchilov and Hutter 2016, arXiv:1608.03983 (one cycle of it); warm-up as in Goyal et al. 2017,
        arXiv:1706.02677.
    """
    if progress < training.warmup:
        return progress / training.warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - training.warmup) / (1 - training.warmup)))


def make_optimizer(module: nn.Module, training: Training) -> torch.optim.Optimizer:
    """The recipe's optimizer; vectors (biases, norms) and tokens are not decayed."""
    decayed = [p for name, p in module.named_parameters() if _is_decayed(name, p)]
    others = [p for name, p in module.named_parameters() if not _is_decayed(name, p)]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": training.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if training.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=training.lr)
    return torch.optim.SGD(groups, lr=training.lr, momentum=0.9, nesterov=True)


def _is_decayed(name: str, parameter: nn.Parameter) -> bool:
    return name.endswith("weight") and parameter.ndim > 1


def _step(
    module: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, training: Training
) -> float:
    """One step of the optimizer; the batch's mean loss."""
    x = x.contiguous(memory_format=torch.channels_last)
    precision = torch.autocast("cpu", torch.bfloat16) if training.low_precision else nullcontext()
    with precision:
        outputs = module(x)
    loss = F.cross_entropy(outputs.float(), y, label_smoothing=training.smoothing)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def _save(
    path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, training: Training, done: int
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "training": asdict(training),
        "done": done,
        "module": module.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    temporary = path.with_suffix(".part")
    torch.save(state, temporary)
    os.replace(temporary, path)


def _resume(
    path: Path | None, module: nn.Module, optimizer: torch.optim.Optimizer, training: Training
) -> int:
    """Take up a kept state of the same recipe; how many epochs it has behind it, 0 without one."""
    if path is None or not path.is_file():
        return 0
    state = torch.load(path, weights_only=True)
    if state["training"] != asdict(training):
        return 0
    module.load_state_dict(state["module"])
    optimizer.load_state_dict(state["optimizer"])
    return state["done"]
