"""Tiny awkward layers, each with an input, for every method that fits it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pruning.lowrank.methods import METHODS

LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "wide": (lambda: nn.Linear(5, 9), (2, 4, 5)),
    "narrow without bias": (lambda: nn.Linear(9, 4, bias=False), (3, 9)),
    "one output": (lambda: nn.Linear(6, 1), (2, 6)),
    "one channel": (lambda: nn.Conv2d(1, 6, 3), (2, 1, 7, 7)),
    "uneven": (
        lambda: nn.Conv2d(3, 7, (3, 5), stride=(2, 1), padding=(2, 1), dilation=(1, 2), bias=False),
        (2, 3, 12, 13),
    ),
    "mirrored": (lambda: nn.Conv2d(4, 5, 3, padding=(1, 2), padding_mode="reflect"), (2, 4, 6, 7)),
    "around": (lambda: nn.Conv2d(4, 5, (2, 3), padding=1, padding_mode="circular"), (1, 4, 6, 6)),
    "same": (lambda: nn.Conv2d(4, 6, (5, 3), padding="same", dilation=(1, 2)), (2, 4, 9, 8)),
    "pointwise, strided": (lambda: nn.Conv2d(6, 4, 1, stride=2), (2, 6, 5, 5)),
    "row": (lambda: nn.Conv2d(4, 6, (1, 3), padding="valid"), (2, 4, 5, 6)),
    "sequence": (lambda: nn.Conv1d(4, 6, 3, stride=2, padding=1), (2, 4, 9)),
    "volume": (lambda: nn.Conv3d(3, 4, (2, 3, 1), padding=1), (1, 3, 4, 5, 3)),
    "unbatched": (lambda: nn.Conv2d(3, 6, 3), (3, 6, 6)),
    "tall kernel": (
        lambda: nn.Conv2d(1, 30, 3, padding=1),
        (2, 1, 5, 5),
    ),  # more outputs than a patch has values
}


def made(name: str) -> tuple[nn.Module, Tensor]:
    """A layer in float64 with random weights, and an input."""
    make, shape = LAYERS[name]
    with torch.random.fork_rng():
        torch.manual_seed(len(name))
        return make().double(), torch.randn(shape, dtype=torch.float64)


PAIRS = [
    (name, method)
    for name, (make, _) in LAYERS.items()
    for method, entry in METHODS.items()
    if not entry.misfit(make())
]
