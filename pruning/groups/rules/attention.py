"""Scaled dot-product attention as one operation; written out it is made of products and a softmax."""

from __future__ import annotations

from pruning.groups.record import Call
from pruning.groups.rules.matmul import WIDTH
from pruning.groups.rules.registry import rule
from pruning.groups.tracer import Tracer, Unsupported, Value

_SCORE = "attention in {where} multiplies queries and keys over it, scaled by its width"
_TOKEN = "attention in {where} weighs it against the other tokens"


@rule(
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_fused_attention_overrideable",
)
def attention(tracer: Tracer, call: Call) -> list[Value | None]:
    """(b, h, n, d), (b, h, m, d), (b, h, m, e) -> (b, h, n, e): heads go together, tokens and d are fixed."""
    query, key, value = tracer.arg("query"), tracer.arg("key"), tracer.arg("value")
    if not len(query.dims) == len(key.dims) == len(value.dims) == 4:
        raise Unsupported("not of four dimensions")
    for other in (key, value):
        for dim in (0, 1):
            if len(other.dims[dim]) != len(query.dims[dim]):
                raise Unsupported("grouped queries")
            tracer.union(query.dims[dim], other.dims[dim])
    for labels in (query.dims[3], key.dims[3]):
        tracer.fix(labels, _SCORE)
    tracer.fix(value.dims[3], WIDTH)
    for labels in (query.dims[2], key.dims[2], value.dims[2]):
        tracer.fix(labels, _TOKEN)
    for name in ("attn_mask", "attn_bias"):
        _mask(tracer, tracer.optional(name), query, key)
    if not tracer.labels.all_fixed(query.dims[1]):
        tracer.note("head", query.dims[1])
    batch, heads, tokens, width = query.dims
    tracer.work("attention", batch, heads, tokens, width, key.dims[2])
    tracer.work("attention", batch, heads, tokens, key.dims[2], value.dims[3])
    return [Value((batch, heads, tokens, value.dims[3]))]


def _mask(tracer: Tracer, mask: Value | None, query: Value, key: Value) -> None:
    """A mask is broadcast to (b, h, n, m)."""
    if mask is None:
        return
    scores = (*query.dims[:3], key.dims[2])
    for dim, labels in enumerate(mask.dims):
        target = scores[dim - len(mask.dims)]
        if len(labels) == len(target):
            tracer.union(labels, target)
            tracer.role(mask, dim, "norm")
        elif len(labels) != 1:
            raise Unsupported("the mask does not fit")
