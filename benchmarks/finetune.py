"""Throughput of training beside a plain PyTorch loop over the same network, images, optimizer and batches.

The plain loop is what one would write by hand: all images normalised in memory, a random order, forward,
cross-entropy, backward, step; it adds the losses up. Ours also changes the learning rate at each step, counts
hits, looks out for losses that are no number, and can be stopped and paused; with masks it holds 90 % of all
weights at exactly zero. The three take turns, an epoch each, in one process; a ratio is the median over turns
of plain seconds by ours, above 1 = ours is faster. By the clock, and by processor seconds, which other
programs disturb less. The bar is 0.97.

    python benchmarks/finetune.py [NETWORK ...] [--threads N] [--turns N] [--optimizer NAME]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from statistics import median
from time import perf_counter, process_time

import torch
import torch.nn.functional as F
from torch import nn

from pruning import Recipe, Rule, Split, Task, find_layers, load_model, load_task
from pruning.models import LoadedModel
from pruning.recover import Fit, Recovery
from pruning.recover.data import Feed
from pruning.recover.epoch import train_epoch
from pruning.recover.trainee import Subject, Trainee

NETWORKS = ("digits-mlp", "digits-resnet", "mnist-lenet-300-100", "mnist-lenet-5", "cifar10-resnet20")
IMAGES = {"cifar10-resnet20": 1_280, "mnist-lenet-5": 12_800}
MOST = 25_600  # images of an epoch
BAR = 0.97


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--optimizer", choices=("adamw", "sgd"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print("| network | optimizer | plain, images/s | ours | ours by processor | with masks | by processor |")
    print("|---|---|---|---|---|---|---|")
    for name in arguments.networks:
        for optimizer in [arguments.optimizer] if arguments.optimizer else ["adamw", "sgd"]:
            compare(name, Fit(optimizer=optimizer, lr=1e-4), arguments.turns)


def compare(name: str, fit: Fit, turns: int) -> None:
    """One row of the table."""
    loaded = load_model(name)
    task = shorter(load_task(loaded.task), IMAGES.get(name, MOST))
    with ExitStack() as stack:
        ways = [
            plain(loaded, task, fit),
            ours(loaded, task, fit, 0.0, stack),
            ours(loaded, task, fit, 0.9, stack),
        ]
        for way in ways:
            timed(way, 0)
        found = [[timed(way, turn) for way in ways] for turn in range(1, turns + 1)]
    rate = len(task.train) / median(row[0][0] for row in found)
    cells = [
        f"{median(row[0][kind] / row[way][kind] for row in found):.3f}" for way in (1, 2) for kind in (0, 1)
    ]
    print(f"| {name} | {fit.optimizer} | {rate:,.0f} | {' | '.join(cells)} |", flush=True)


def timed(way: Callable[[int], object], epoch: int) -> tuple[float, float]:
    """Seconds of an epoch, by the clock and of the processor."""
    clock, processor = perf_counter(), process_time()
    way(epoch)
    return perf_counter() - clock, process_time() - processor


def shorter(task: Task, images: int) -> Task:
    """A task with fewer images to train on."""
    split = task.train
    return replace(
        task, train=Split(split.name, split.store, split.rows[:images], split.targets[:images].numpy())
    )


def plain(loaded: LoadedModel, task: Task, fit: Fit) -> Callable[[int], object]:
    """Train as by hand."""
    module = load_model(loaded.name).module.train()
    x, y = (torch.cat(parts) for parts in zip(*task.train.batches(1024), strict=True))
    optimizer = by_hand(module, fit)

    def epoch(number: int) -> float:
        total = 0.0
        for chosen in torch.randperm(len(y)).split(fit.batch_size):
            optimizer.zero_grad()
            loss = F.cross_entropy(module(x[chosen]), y[chosen])
            loss.backward()
            optimizer.step()
            total += loss.item()
        return total

    return epoch


def by_hand(module: nn.Module, fit: Fit) -> torch.optim.Optimizer:
    """The optimizer of the plain loop."""
    if fit.optimizer == "adamw":
        return torch.optim.AdamW(module.parameters(), lr=fit.lr, weight_decay=fit.weight_decay)
    return torch.optim.SGD(
        module.parameters(), lr=fit.lr, momentum=fit.momentum, nesterov=True, weight_decay=fit.weight_decay
    )


def ours(
    loaded: LoadedModel, task: Task, fit: Fit, ratio: float, stack: ExitStack
) -> Callable[[int], object]:
    """Train as a run does, with this share of all weights held at zero."""
    layers = [layer.name for layer in find_layers(loaded.module, loaded.example_inputs) if layer.prunable]
    rule = Rule(ratio=ratio, granularity="weight", criterion="l1")
    settings = Recovery(recipe=Recipe(rules=dict.fromkeys(layers, rule) if ratio else {}), fit=fit)
    subject = Subject.of(loaded.module, task, settings, loaded.example_inputs, None)
    trainee = Trainee(subject, loaded.module, stack)
    if ratio:
        trainee.prune(1.0)
    feed = Feed.of(task.train, fit, torch.device("cpu"))
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    return lambda number: train_epoch(
        trainee,
        feed,
        number,
        lambda index: True,
        [],
        rate_at=lambda index: 0.5,
        penalty_at=lambda index: 0.0,
        scaler=scaler,
    )


if __name__ == "__main__":
    main()
