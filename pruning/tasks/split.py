"""One part of a task's images with their classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset


@dataclass(frozen=True)
class ImageStore:
    """All images of one array, kept as bytes and normalised as they are read.

    Args:
        pixels: (N, H, W) or (N, H, W, C), uint8; may be mapped from a file.
        white: the largest value a pixel can have (255; 16 for the digits).
        mean: of each channel over the training images, in 0..1.
        std: of each channel over the training images, in 0..1.
    """

    pixels: np.ndarray
    white: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def read(self, rows: np.ndarray) -> Tensor:
        """Images as (n, C, H, W), uint8; only these rows are read."""
        pixels = torch.from_numpy(self.pixels[rows])
        return pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()

    def normalise(self, images: Tensor) -> Tensor:
        """(n, C, H, W) in 0..white -> float32 with mean 0 and deviation 1 over the training images."""
        mean = torch.tensor(self.mean).view(1, -1, 1, 1) * self.white
        std = torch.tensor(self.std).view(1, -1, 1, 1) * self.white
        return (images.float() - mean) / std


class Split(Dataset[tuple[Tensor, int]]):
    """A task's train, calibration, validation or test images.

    `split[i]` is (x, y): x (C, H, W), float32, normalised; y the class, int.

    Args:
        name: "train", "calibration", "validation" or "test".
        store: the array that the images lie in.
        rows: (n,) which images of the store are ours.
        targets: (n,) their classes, int64.
    """

    def __init__(self, name: str, store: ImageStore, rows: np.ndarray, targets: np.ndarray) -> None:
        self.name = name
        self.store = store
        self.rows = rows
        self.targets = torch.from_numpy(targets.astype(np.int64))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"The {self.name} split has {len(self)} images; there is no number {index}.")
        return self._inputs(self.rows[[index]])[0], int(self.targets[index])

    def batches(self, size: int = 256) -> Iterator[tuple[Tensor, Tensor]]:
        """The images in order, `size` at a time (the last batch may be smaller).

        Returns:
            An iterator of (x (b, C, H, W) float32 normalised, y (b,) int64).
        """
        for start in range(0, len(self), size):
            rows = self.rows[start : start + size]
            yield self._inputs(rows), self.targets[start : start + size]

    def inputs(self, indices: Tensor) -> Tensor:
        """What a network is given of these images, in their order: (n, C, H, W) float32, normalised."""
        return self._inputs(self.rows[indices.numpy()])

    def images(self, indices: Sequence[int] | Tensor | None = None) -> Tensor:
        """Images to look at: (n, C, H, W), float32 in 0..1; all of them if no indices are given."""
        rows = self.rows if indices is None else self.rows[np.asarray(indices, dtype=np.int64)]
        return self.store.read(rows).float() / self.store.white

    def _inputs(self, rows: np.ndarray) -> Tensor:
        return self.store.normalise(self.store.read(rows))


def stratified_order(targets: np.ndarray, seed: int) -> np.ndarray:
    """An order of all samples in which every run of neighbours has nearly the classes' overall shares.

    Each class is shuffled and spread evenly over the whole length, so that cutting the order anywhere gives
    stratified, disjoint parts.

    Args:
        targets: (n,) classes.
        seed: of the shuffle.
    Returns:
        (n,) a permutation of the row numbers.
    """
    # RandomState and not default_rng: NumPy promises that its numbers never change between versions.
    shuffled = np.random.RandomState(seed).permutation(len(targets))
    place = np.empty(len(targets))
    for label in np.unique(targets):
        members = shuffled[targets[shuffled] == label]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.argsort(place, kind="stable")


def cut(order: np.ndarray, sizes: dict[str, int]) -> dict[str, np.ndarray]:
    """Consecutive parts of an order by name; each keeps the order: its first images are stratified."""
    parts: dict[str, np.ndarray] = {}
    start = 0
    for name, size in sizes.items():
        parts[name] = order[start : start + size]
        start += size
    return parts
