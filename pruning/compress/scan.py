"""How few bits each layer bears, alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from pruning.compress.settings import Sharing
from pruning.compress.weights import shared
from pruning.evaluate import Report, evaluate_batches
from pruning.recover.run import Stop
from pruning.tasks import Task

ALL_BITS = tuple(range(1, 9))


@dataclass(frozen=True)
class BitsPoint:
    """One layer at so many bits, all others as they are.

    Args:
        layer: its path.
        bits: of its weights.
        report: accuracy of the whole network.
        error: squared distance of the layer's weights as a share of their squares; 0 = the same.
    """

    layer: str
    bits: int
    report: Report
    error: float


def bits_scan(
    module: nn.Module,
    task: Task,
    layers: Sequence[str],
    bits: Sequence[int] = ALL_BITS,
    *,
    sharing: Sharing | None = None,
    split: str = "validation",
    limit: int | None = None,
    known: Mapping[tuple[str, int], BitsPoint] | None = None,
    stop: Stop | None = None,
) -> Iterator[BitsPoint]:
    """Measure each layer at each number of bits, without training, point by point.

    Args:
        module: the network, pruned or not; never changed.
        task: its data.
        layers: paths of layers with weights.
        bits: 1..8.
        sharing: how; its own bits do not count.
        split, limit: images that are measured on.
        known: points that need not be measured again.
        stop: ends it before the next point, or in the middle of one.
    """
    sharing = sharing or Sharing()
    for layer in layers:
        for asked in bits:
            point = (known or {}).get((layer, asked))
            if point is None:
                version = shared(module, sharing.model_copy(update={"bits": {layer: asked}}))
                reports = []
                for report in evaluate_batches(version, task, split, limit=limit):
                    if stop is not None and stop.is_set():
                        return
                    reports.append(report)
                point = BitsPoint(layer, asked, reports[-1], _error(module, version, layer))
            yield point


@torch.no_grad()
def _error(module: nn.Module, version: nn.Module, layer: str) -> float:
    before, after = (m.get_submodule(layer).get_parameter("weight").double() for m in (module, version))
    total = float(before.square().sum())
    return float((before - after).square().sum()) / total if total else 0.0
