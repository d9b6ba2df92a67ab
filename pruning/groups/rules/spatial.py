"""Pooling and resizing: positions change, channels pass."""

from __future__ import annotations

from pruning.groups.record import Call
from pruning.groups.rules.registry import rule
from pruning.groups.tracer import Tracer, Value, constant

_SPACE = "{where} pools or resizes over it"


@rule("max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d", "adaptive_max_pool2d", "max_pool2d")
@rule("upsample_nearest2d", "_upsample_nearest_exact2d", "upsample_bilinear2d", "upsample_bicubic2d")
@rule("_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "reflection_pad2d", "replication_pad2d")
def planes(tracer: Tracer, call: Call) -> list[Value | None]:
    """The last two dimensions are positions."""
    return _spatial(tracer, call, 2)


@rule("max_pool3d_with_indices", "avg_pool3d", "_adaptive_avg_pool3d", "adaptive_max_pool3d", "max_pool3d")
@rule("upsample_nearest3d", "_upsample_nearest_exact3d", "upsample_trilinear3d")
@rule("reflection_pad3d", "replication_pad3d")
def volumes(tracer: Tracer, call: Call) -> list[Value | None]:
    """The last three dimensions are positions."""
    return _spatial(tracer, call, 3)


@rule("avg_pool1d", "adaptive_avg_pool1d", "_adaptive_avg_pool1d", "max_pool1d")
@rule("upsample_nearest1d", "_upsample_nearest_exact1d", "upsample_linear1d")
@rule("reflection_pad1d", "replication_pad1d")
def lines(tracer: Tracer, call: Call) -> list[Value | None]:
    """The last dimension is a position."""
    return _spatial(tracer, call, 1)


def _spatial(tracer: Tracer, call: Call, rank: int) -> list[Value | None]:
    x = tracer.value(call.inputs[0])
    for labels in x.dims[-rank:]:
        tracer.fix(labels, _SPACE)
    out = x.carried((*x.dims[:-rank], *constant(tracer.shape()[-rank:])))
    places = Value(out.dims)  # where a maximum lay is no entry that would be zero
    return [out, *[places] * (len(call.outputs) - 1)]
