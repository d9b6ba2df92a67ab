"""Accuracy of a network whose weights share values, while bits are being chosen."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pruning.device import device_of
from pruning.evaluate import Report, measure, split_batches
from pruning.layers import duplicate
from pruning.masks import named_tensors
from pruning.quantise.network import weight_of
from pruning.replay import BUDGET, NotReplayable, Replay

if TYPE_CHECKING:
    from pruning.tasks import Task


class SharingEvaluator:
    """Measures one network with other weights in some layers; may be shared by threads.

    The images stay normalised in memory, and each measurement starts at the first layer whose weight differs
    from the one before (`pruning.replay`); where a network does not allow that, it is run whole.

    Args:
        module: the network before any layer shares values; never changed, and not by others meanwhile.
        task: the data.
        split: what to measure on; choosing bits is tuning, so the test split is refused.
        batch_size: images from one report to the next.
        budget: bytes of activations to keep at most.
    Raises:
        ValueError: if the split is test data or empty, or a number is not positive.
    """

    def __init__(
        self,
        module: nn.Module,
        task: Task,
        *,
        split: str = "validation",
        batch_size: int = 96,
        budget: int = BUDGET,
    ) -> None:
        if split == "test":
            raise ValueError("Test data is for final results only; choose bits on validation data.")
        self.total, batches = split_batches(task, split, batch_size=batch_size)
        device = device_of(module)
        self._batches = tuple((x.to(device), y) for x, y in batches)
        self._module, self._split, self._budget = module, split, budget
        self._lock = threading.Lock()

    def reports(self, weights: Mapping[str, Tensor]) -> Iterator[Report]:
        """Measure, yielding a report after every batch. A caller may stop at any.

        Args:
            weights: layer -> of the shape and dtype of its weight; all other layers keep theirs.
        Raises:
            ValueError: a layer that is not there or has no weight.
        """
        return measure(self.network(weights), self._batches, self.total, self._split)

    def network(self, weights: Mapping[str, Tensor]) -> nn.Module:
        """What answers on this evaluator's images like the network with these weights."""
        given = {self._names[id(weight_of(self._module, layer))]: value for layer, value in weights.items()}
        replay = self.replay
        if isinstance(replay, Replay):
            return replay.network({}, given=given)
        copy = duplicate(self._module)
        tensors = named_tensors(copy)
        with torch.no_grad():
            for name, value in given.items():
                tensors[name].copy_(value)
        return copy

    @property
    def replay(self) -> Replay | NotReplayable:
        """What runs from the first change on, or why that cannot be; made by the first thread that asks."""
        with self._lock:
            return self._replay

    @cached_property
    def _replay(self) -> Replay | NotReplayable:
        try:
            return Replay(self._module, None, self._batches, budget=self._budget)
        except NotReplayable as reason:
            return reason

    @cached_property
    def _names(self) -> dict[int, str]:
        return {id(tensor): name for name, tensor in named_tensors(self._module).items()}
