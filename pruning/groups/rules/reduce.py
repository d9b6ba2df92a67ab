"""Operations that mix the entries of a dimension without weights: what is mixed is fixed."""

from __future__ import annotations

from pruning.groups.labels import fixed
from pruning.groups.record import Call
from pruning.groups.rules.registry import rule
from pruning.groups.tracer import Tracer, Unsupported, Value

_MIXED = "{where} computes `%s` over it, which depends on how many entries there are"


@rule("mean", "sum", "amax", "amin", "max", "min", "prod", "var", "std", "argmax", "argmin", "logsumexp")
def reduction(tracer: Tracer, call: Call) -> list[Value | None]:
    """Reduced dimensions are fixed, the others go on."""
    x = tracer.arg("self")
    if isinstance(call.args.get("other"), Value) or "other" in call.args:
        raise Unsupported("elementwise maximum")
    over = _dims(call.args.get("dim"), len(x.dims))
    for dim in over:
        tracer.fix(x.dims[dim], _MIXED % call.op)
    keeps = call.args.get("keepdim", False)
    dims = [fixed(1) if d in over else labels for d, labels in enumerate(x.dims) if keeps or d not in over]
    return [Value(tuple(dims))] * len(call.outputs)


@rule("_softmax", "_log_softmax", "softmax", "_safe_softmax", "cumsum", "flip")
def along(tracer: Tracer, call: Call) -> Value:
    """Same shape, but each entry depends on the others of that dimension."""
    x = tracer.arg("self")
    for dim in _dims(call.args.get("dim", call.args.get("dims")), len(x.dims)):
        tracer.fix(x.dims[dim], _MIXED % call.op.strip("_"))
    return Value(x.dims)


def _dims(given: object, rank: int) -> set[int]:
    if given is None or given == []:
        return set(range(rank))
    if isinstance(given, int):
        return {given % rank} if rank else set()
    if isinstance(given, (list, tuple)):
        return {dim % rank for dim in given}
    raise Unsupported("dimensions not understood")
