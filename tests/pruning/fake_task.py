"""A task of random images that needs no data, with the same face as the built-in ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class FakeSplit:
    x: Tensor
    targets: Tensor
    name: str = "validation"

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.x[index], int(self.targets[index])

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(self), size):
            yield self.x[start : start + size], self.targets[start : start + size]

    def inputs(self, indices: Tensor) -> Tensor:
        return self.x[indices]

    def images(self, indices: list[int]) -> Tensor:
        return self.x[indices].sigmoid()


@dataclass(frozen=True)
class FakeTask:
    train: FakeSplit
    calibration: FakeSplit
    validation: FakeSplit
    test: FakeSplit
    name: str = "fake"
    classes: tuple[str, ...] = ("a", "b", "c")


def fake_task(shape: tuple[int, ...] = (1, 6, 6), images: int = 50, seed: int = 0) -> FakeTask:
    """Four splits of random images, each with its own; three classes."""
    random = torch.Generator().manual_seed(seed)

    def split(name: str) -> FakeSplit:
        x = torch.randn(images, *shape, generator=random)
        return FakeSplit(x, torch.randint(3, (images,), generator=random), name)

    return FakeTask(split("train"), split("calibration"), split("validation"), split("test"))
