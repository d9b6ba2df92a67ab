"""Scaled dot-product attention as one operation; written out it is made of products and a softmax."""

from __future__ import annotations

from pruning.groups.record import Call
from pruning.groups.rules.matmul import SUMMED, WIDTH
from pruning.groups.rules.registry import rule
from pruning.groups.tracer import Tracer, Unsupported, Value

_TEMPERATURE = "attention in {where} is scaled by its width, which would change the statistics of the scores"
_TOKEN = "attention in {where} weighs it against the other tokens"


@rule(
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_fused_attention_overrideable",
)
def attention(tracer: Tracer, call: Call) -> list[Value | None]:
    """(b, h, n, d), (b, h, m, d), (b, h, m, e) -> (b, h, n, e): tokens are fixed, heads go together."""
    query, key, value = tracer.arg("query"), tracer.arg("key"), tracer.arg("value")
    if not len(query.dims) == len(key.dims) == len(value.dims) == 4:
        raise Unsupported("not of four dimensions")
    for other in (key, value):
        tracer.union(query.dims[0], other.dims[0])
        _heads(tracer, query, other)
    _widths(tracer, call, query, key, value)
    for labels in (query.dims[2], key.dims[2], value.dims[2]):
        tracer.fix(labels, _TOKEN)
    for name in ("attn_mask", "attn_bias"):
        _mask(tracer, tracer.optional(name), query, key)
    if tracer.free(query.dims[1]):
        tracer.note("head", query.dims[1])
    batch, heads, tokens, width = query.dims
    tracer.work("attention", batch, heads, tokens, width, key.dims[2])
    tracer.work("attention", batch, heads, tokens, key.dims[2], value.dims[3])
    return [Value((batch, heads, tokens, value.dims[3]), quiet=value.quiet)]


def _heads(tracer: Tracer, query: Value, other: Value) -> None:
    """As many heads of queries, or several to one of keys and values, which then go as a whole."""
    mine, theirs = query.dims[1], other.dims[1]
    if len(mine) % len(theirs):
        raise Unsupported("heads do not line up")
    if len(mine) != len(theirs):
        tracer.note("grouped heads", mine)
    tracer.union(theirs[:, None], mine.reshape(len(theirs), -1))


def _widths(tracer: Tracer, call: Call, query: Value, key: Value, value: Value) -> None:
    """Inside of heads: the code of an attention layer has one number for all three widths."""
    widths = (query.dims[3], key.dims[3], value.dims[3])
    if tracer.choices.heads == "whole":
        for labels in widths:
            tracer.fix(labels, WIDTH)
    elif not (query.quiet or key.quiet):
        for labels in widths:
            tracer.fix(labels, SUMMED)
    else:
        tracer.union(widths[0], widths[1])
        if len(widths[0]) == len(widths[2]):
            tracer.union(widths[0], widths[2])
        if tracer.free(widths[0]):
            tracer.note("inside", widths[0])
        if call.args.get("scale") is None:
            tracer.average("query", 3, _TEMPERATURE)
            tracer.average("key", 3, _TEMPERATURE)
        tracer.size(widths[0])


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
