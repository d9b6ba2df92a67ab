"""Normalisations. Per channel they are exact; over channels the statistics are those of what is kept."""

from __future__ import annotations

from pruning.groups.record import Call
from pruning.groups.rules.registry import rule
from pruning.groups.tracer import Tracer, Value

_OVER = "{where} normalises over it, so removing entries would change the statistics of those that stay"


@rule(
    "native_batch_norm",
    "_native_batch_norm_legit_no_training",
    "_native_batch_norm_legit",
    "cudnn_batch_norm",
)
def batch_norm(tracer: Tracer, call: Call) -> list[Value | None]:
    """One scale, shift, mean and variance per channel (dimension 1)."""
    x = tracer.arg("input")
    for name in ("weight", "bias", "running_mean", "running_var"):
        _scaled(tracer, x, 1, tracer.optional(name))
    if call.args.get("training"):  # statistics of this very input, as in InstanceNorm
        for dim in (0, *range(2, len(x.dims))):
            tracer.average("input", dim, _OVER)
    tracer.divides(tracer.optional("running_var"), 0)
    scaled, others = tracer.optional("weight") is not None, (x.dims[0], *x.dims[2:])
    return [Value(x.dims, quiet=(scaled or x.quiet) and not tracer.free(*others))]


@rule("native_layer_norm", "_fused_rms_norm", "rms_norm")
def layer_norm(tracer: Tracer, call: Call) -> list[Value | None]:
    """Statistics over the last dimensions."""
    x = tracer.arg("input")
    count = len(call.args["normalized_shape"])
    for own in range(count):
        dim = len(x.dims) - count + own
        tracer.size(x.dims[dim])
        tracer.average("input", dim, _OVER)
        for name in ("weight", "bias"):
            value = tracer.optional(name)
            if value is not None:
                tracer.union(x.dims[dim], value.dims[own])
                tracer.role(value, own, "norm")
                tracer.along(name, own)
    # A norm over what is kept has no other entries; along other dimensions it adds its bias.
    others = tracer.free(*x.dims[: len(x.dims) - count])
    return [Value(x.dims, quiet=not others or (x.quiet and tracer.optional("bias") is None))]


@rule("native_group_norm")
def group_norm(tracer: Tracer, call: Call) -> list[Value | None]:
    """Statistics over blocks of channels and all positions; the blocks must stay equally wide."""
    x, groups = tracer.arg("input"), call.args["group"]
    for name in ("weight", "bias"):
        if tracer.optional(name) is not None:
            _scaled(tracer, x, 1, tracer.optional(name))
            tracer.along(name, 0)
    tracer.average("input", 1, _OVER)
    for labels in x.dims[2:]:
        tracer.fix(labels, _OVER)
    if groups > 1 and not tracer.labels.all_fixed(x.dims[1]):
        blocks = x.dims[1].reshape(groups, -1)
        tracer.union(blocks[:1], blocks)
        tracer.note("blocks", x.dims[1])
    tracer.size(x.dims[1])
    return [Value(x.dims, quiet=not tracer.free(x.dims[0]))]


@rule("_weight_norm_interface", "_weight_norm")
def weight_norm(tracer: Tracer, call: Call) -> list[Value | None]:
    """A weight as direction and length: lengths go with their directions, norms sum over what is zero."""
    v, g, dim = tracer.arg("v"), tracer.arg("g"), call.args["dim"]
    tracer.union(v.dims[dim], g.dims[dim])
    tracer.role(g, dim, "producer")
    tracer.divides(v, dim)
    return [Value(v.dims, v.origin, quiet=True)]


def _scaled(tracer: Tracer, x: Value, dim: int, value: Value | None) -> None:
    if value is not None:
        tracer.union(x.dims[dim], value.dims[0])
        tracer.role(value, 0, "norm")
