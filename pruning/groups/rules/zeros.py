"""Does an entry of zero stay zero? The operation itself is asked, on single numbers."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from pruning.groups.record import Call, Ref
from pruning.groups.tracer import Tracer, Value

_DRAWS = (-1.7, 0.6, 2.3)  # what operands that are not zero may be


def stays_zero(tracer: Tracer, call: Call, dims: list[int], rank: int) -> bool:
    """Whether the result of a pointwise call is zero wherever removed entries of its operands are zero.

    Args:
        tracer: at this call.
        call: of a pointwise operation.
        dims: the dimensions of the result whose entries may go.
        rank: of the result.
    """
    if call.op.startswith("empty"):
        return False  # whatever lay in memory
    return all(_zero_at(tracer, call, dim, rank) for dim in dims)


def _zero_at(tracer: Tracer, call: Call, dim: int, rank: int) -> bool:
    """Operands that have the dimension and are quiet are zero, all others may be anything."""
    size = tracer.shape()[dim]

    def zero(value: Value) -> bool:
        own = dim - (rank - len(value.dims))
        return value.quiet and own >= 0 and len(value.dims[own]) == size

    def stand_in(item: Any) -> Any:
        if not isinstance(item, Ref):
            return item
        value = tracer.value(item)
        return _StandIn(len(value.dims), tracer.recording.tensors[item.index].dtype, zero(value))

    args = tree_map(stand_in, call.args)
    try:
        return _asked(call.function, tuple(args), tuple(_frozen(value) for value in args.values()))
    except (TypeError, RuntimeError):  # an argument without a hash, or one that a single number does not fit
        return False


class _StandIn(tuple[Any, ...]):
    """A tensor of one entry: its rank, its type, and whether the entry is zero."""

    def __new__(cls, rank: int, dtype: torch.dtype, zero: bool) -> _StandIn:
        return super().__new__(cls, (rank, dtype, zero))

    def tensor(self, draw: float) -> Tensor:
        rank, dtype, zero = self
        number = 0.0 if zero else draw > 0 if dtype is torch.bool else draw
        return torch.full((1,) * rank, float(number)).to(dtype)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@lru_cache(maxsize=4096)
@torch.no_grad()
def _asked(function: Any, names: tuple[str, ...], values: tuple[Any, ...]) -> bool:
    for draw in _DRAWS:
        given = {
            name: value.tensor(draw) if isinstance(value, _StandIn) else value
            for name, value in zip(names, values, strict=True)
        }
        result = function(**given)
        first = result[0] if isinstance(result, (tuple, list)) else result
        if not bool((first == 0).all()):
            return False
    return True
