"""Fully connected networks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


class MLP(nn.Module):
    """Linear layers with ReLU between them.

    Args:
        inputs: values of one image.
        hidden: neurons of each hidden layer.
        classes: outputs.
    Source: with hidden (300, 100) the LeNet-300-100 of LeCun et al. 1998, Proc. IEEE 86(11).
    """

    def __init__(self, inputs: int, hidden: Sequence[int] = (300, 100), classes: int = 10) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.hidden = nn.Sequential()
        for i, (before, after) in enumerate(pairwise((inputs, *hidden)), start=1):
            self.hidden.add_module(f"fc{i}", nn.Linear(before, after))
            self.hidden.add_module(f"relu{i}", nn.ReLU())
        self.head = nn.Linear(hidden[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (b, classes) of images (b, C, H, W)."""
        return self.head(self.hidden(self.flatten(x)))
