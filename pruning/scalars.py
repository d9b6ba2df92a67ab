"""The numbers that a forward pass computes with: a smaller network has to use the same ones.

Attention divides its scores by the root of a width. If the smaller copy took its new width there, a network
whose scores are all near zero would hardly show it in its outputs; the number itself does.
"""

from __future__ import annotations

from typing import Any

import torch

from pruning.groups.record import Watch

_SAME = 1e-5  # as a share; numbers that the data decides differ by rounding
_FILLED = ("full", "full_like", "new_full", "scalar_tensor")


class Scalars(Watch):
    """Collects the Python numbers that operations on single entries were given, in `found`."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[float] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.pointwise in func.tags or func._opname in _FILLED:
            given = [*args, *(kwargs or {}).values()]
            self.found += [float(value) for value in given if type(value) in (int, float)]
        return func(*args, **(kwargs or {}))


def agree(left: list[float], right: list[float]) -> bool:
    """Whether two passes used the same numbers; passes of other lengths went other ways, and tell nothing."""
    if len(left) != len(right):
        return True
    a, b = torch.tensor([left, right], dtype=torch.float64)
    return torch.allclose(a, b, rtol=_SAME, atol=0, equal_nan=True)
