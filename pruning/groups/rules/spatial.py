"""Pooling and resizing: positions change, channels pass."""

from __future__ import annotations

from pruning.groups.record import Call
from pruning.groups.rules.registry import rule
from pruning.groups.tracer import Tracer, Value, constant

_SPACE = "{where} pools or resizes over it"


@rule("max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d", "adaptive_max_pool2d", "max_pool2d")
@rule(
    "upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d", "reflection_pad2d", "replication_pad2d"
)
def planes(tracer: Tracer, call: Call) -> list[Value | None]:
    """The last two dimensions are positions."""
    return _spatial(tracer, call, 2)


@rule("avg_pool1d", "adaptive_avg_pool1d", "_adaptive_avg_pool1d", "upsample_nearest1d", "reflection_pad1d")
def lines(tracer: Tracer, call: Call) -> list[Value | None]:
    """The last dimension is a position."""
    return _spatial(tracer, call, 1)


def _spatial(tracer: Tracer, call: Call, rank: int) -> list[Value | None]:
    x = tracer.value(call.inputs[0])
    for labels in x.dims[-rank:]:
        tracer.fix(labels, _SPACE)
    out = x.carried((*x.dims[:-rank], *constant(tracer.shape()[-rank:])))
    return [out] * len(call.outputs)
