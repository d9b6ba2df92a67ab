"""Normalisations. Per channel they are exact; over channels the statistics of the others would change."""

from __future__ import annotations

from pruning.groups.record import Call
from pruning.groups.rules.registry import rule
from pruning.groups.tracer import Tracer, Value

# Room for graded exactness: these fix what they average over, with the reason in words.
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
        value = tracer.optional(name)
        if value is not None:
            tracer.union(x.dims[1], value.dims[0])
            tracer.role(value, 0, "norm")
    if call.args.get("training"):  # statistics of this very input, as in InstanceNorm
        for labels in (x.dims[0], *x.dims[2:]):
            tracer.fix(labels, _OVER)
    return [Value(x.dims)]


@rule("native_layer_norm", "_fused_rms_norm", "rms_norm")
def layer_norm(tracer: Tracer, call: Call) -> list[Value | None]:
    """Statistics over the last dimensions: these are fixed."""
    x = tracer.arg("input")
    over = x.dims[-len(call.args["normalized_shape"]) :]
    for name in ("weight", "bias"):
        value = tracer.optional(name)
        if value is not None:
            for dim, (labels, own) in enumerate(zip(over, value.dims, strict=True)):
                tracer.union(labels, own)
                tracer.role(value, dim, "norm")
    for labels in over:
        tracer.fix(labels, _OVER)
    return [Value(x.dims)]


@rule("native_group_norm")
def group_norm(tracer: Tracer, call: Call) -> list[Value | None]:
    """Statistics over blocks of channels and all positions: these are fixed."""
    x = tracer.arg("input")
    for name in ("weight", "bias"):
        value = tracer.optional(name)
        if value is not None:
            tracer.union(x.dims[1], value.dims[0])
            tracer.role(value, 0, "norm")
    for labels in x.dims[1:]:
        tracer.fix(labels, _OVER)
    return [Value(x.dims)]
