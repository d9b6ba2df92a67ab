"""Measure how accuracy falls when each key alone is pruned."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pruning.criteria import CRITERIA
from pruning.device import device_of
from pruning.evaluate import split_batches
from pruning.groups import find_structure
from pruning.groups.choices import DEFAULT
from pruning.recipe import Granularity
from pruning.sensitivity.adaptive import Precise
from pruning.sensitivity.result import Scan, ScanPoint
from pruning.sensitivity.targets import blocks_of, groups_of, layers_of
from pruning.sensitivity.walk import Walk
from pruning.sparsity import masks_weights, scored_as

if TYPE_CHECKING:
    from pruning.groups import Structure
    from pruning.tasks import Task

OnPoint = Callable[[ScanPoint, int, int], object]
BATCH = 256


def scan_sensitivity(
    module: nn.Module,
    task: Task,
    ratios: Sequence[float],
    granularity: Granularity = "channel",
    criterion: str = "l2",
    *,
    example_inputs: Sequence[Tensor] | None = None,
    structure: Structure | None = None,
    scores: Mapping[str, Tensor] | None = None,
    split: str = "validation",
    limit: int | None = None,
    seed: int = 0,
    known: Scan | None = None,
    precise: Precise | None = None,
    on_point: OnPoint | None = None,
    stop: threading.Event | None = None,
) -> Scan:
    """Prune each key alone at each ratio, and measure.

    Args:
        on_point: called with (point, points settled, points in all) after each point.
        All others: see `iter_scan`.
    Returns:
        The scan; not `complete` if it was stopped.
    Raises:
        ValueError: as `iter_scan`.
    """
    walk = iter_scan(
        module,
        task,
        ratios,
        granularity,
        criterion,
        example_inputs=example_inputs,
        structure=structure,
        scores=scores,
        split=split,
        limit=limit,
        seed=seed,
        known=known,
        precise=precise,
        stop=stop,
    )
    for point in walk:
        if on_point is not None:
            on_point(point, walk.settled, walk.total)
    return walk.scan()


def iter_scan(
    module: nn.Module,
    task: Task,
    ratios: Sequence[float],
    granularity: Granularity = "channel",
    criterion: str = "l2",
    *,
    example_inputs: Sequence[Tensor] | None = None,
    structure: Structure | None = None,
    scores: Mapping[str, Tensor] | None = None,
    split: str = "validation",
    limit: int | None = None,
    seed: int = 0,
    known: Scan | None = None,
    precise: Precise | None = None,
    stop: threading.Event | None = None,
) -> Walk:
    """A sensitivity scan to be walked point by point: `for point in iter_scan(...)`.

    The whole network is walked once, and each point is run from the first operation that it changes on: see
    `pruning.sensitivity.answers`, also for networks that do not allow that. The accuracies are those of
    running each pruned network whole.

    Args:
        module: the dense network; never changed.
        task: the data.
        ratios: fractions to remove, each in [0, 1].
        granularity: "channel" scans coupled groups, "layer" whole blocks (at ratios 0 and 1), a name of
            `pruning.sparsity` ("weight", "n:4", "16x1", "pattern") the weights of layers.
        criterion: name of an entry of `CRITERIA`; the lowest scores go first.
        example_inputs: of the network's forward; the task's first image if None.
        structure: of the network, by the choices that the scan is for; found by the default ones if None.
            Only for "channel" and "layer".
        scores: as `score_groups` or `score_weights` gives them; computed if None.
        split: what to measure on. Scans are for tuning, so the test split is refused.
        limit: measure only the first `limit` images; all that there are, if fewer.
        seed: of criteria that draw numbers, and of the order of images of an adaptive scan.
        known: an earlier scan of the same network by the same arguments, whose points are not measured again:
            one that was stopped, or that had other ratios.
        precise: how well to know each point, which is then measured on as many images as that takes
            (`pruning.sensitivity.adaptive`); None measures each on all images.
        stop: ends the walk early when set, within one batch.
    Raises:
        ValueError: if a ratio or a name is wrong, or nothing can be pruned.
    Source: one layer at a time, the others untouched: Li et al. 2016, arXiv:1608.08710, section 3.2.
    """
    _check(ratios, split, granularity, criterion)
    if example_inputs is None:
        example_inputs = (task.validation[0][0].unsqueeze(0),)
    if granularity == "layer":
        targets = blocks_of(module, ratios, example_inputs, structure, scores)
    elif masks_weights(granularity):
        targets = layers_of(module, task, granularity, criterion, example_inputs, scores, seed)
    else:
        structure = structure or find_structure(module, example_inputs)
        targets = groups_of(module, task, criterion, structure, scores, seed)
    if not targets:
        raise ValueError(
            f"Nothing in this network can be pruned by {granularity}, or the criterion {criterion!r} can "
            "rank none of it; choose another."
        )
    n, batches = split_batches(task, split, batch_size=BATCH, limit=limit)
    wanted = tuple(sorted(set(map(float, ratios))))
    about = {
        "model": getattr(module, "architecture", None),
        "task": task.name,
        "split": split,
        "granularity": granularity,
        "criterion": criterion,
        "seed": seed,
        "n": n,
        "classes": len(task.classes),
        "keys": tuple(target.key for target in targets),
        "ratios": wanted,
        **asdict(structure.choices if granularity == "channel" and structure else DEFAULT),
    }
    points = [point for point in known.points if point.ratio in wanted] if known else []
    stop = stop or threading.Event()
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    x = x.to(device_of(module))
    return Walk(module, targets, x, y, about, stop, points, structure, tuple(example_inputs), precise)


def _check(ratios: Sequence[float], split: str, granularity: Granularity, criterion: str) -> None:
    if not ratios or not all(0 <= ratio <= 1 for ratio in ratios):
        raise ValueError("A scan needs at least one ratio, and each must lie between 0 and 1.")
    if split == "test":
        raise ValueError("Test data is for final results only; scan on validation data.")
    if scored_as(granularity) not in CRITERIA[criterion].granularities:
        raise ValueError(f"The criterion {criterion!r} cannot score a {granularity}; choose another.")
