"""Operations that mix the entries of a dimension without weights."""

from __future__ import annotations

from pruning.groups.labels import fixed
from pruning.groups.record import Call
from pruning.groups.rules.registry import rule
from pruning.groups.tracer import Tracer, Unsupported, Value

_MIXED = "{where} computes `%s` over it, which depends on how many entries there are"
AVERAGES = ("mean", "var", "std", "var_mean", "std_mean")


@rule("mean", "var", "std", "var_mean", "std_mean")
def average(tracer: Tracer, call: Call) -> list[Value | None]:
    """Averages over what is kept, where statistics may change; else what is averaged over is fixed."""
    x = tracer.arg("self")
    over = _dims(call.args.get("dim"), len(x.dims))
    for dim in over:
        tracer.average("self", dim, _MIXED % call.op)
    return _left(call, x, over, quiet=x.quiet)


@rule("sum", "linalg_vector_norm")
def total(tracer: Tracer, call: Call) -> list[Value | None]:
    """What is zero adds nothing, so removing it is exact; else what is summed is fixed."""
    x = tracer.arg("self")
    over = _dims(call.args.get("dim"), len(x.dims))
    for dim in over:
        if not x.quiet:
            tracer.fix(x.dims[dim], _MIXED % call.op)
    return _left(call, x, over, quiet=x.quiet)


@rule("amax", "amin", "max", "min", "prod", "argmax", "argmin", "logsumexp", "any", "all")
def reduction(tracer: Tracer, call: Call) -> list[Value | None]:
    """Reduced dimensions are fixed, the others go on."""
    x = tracer.arg("self")
    if "other" in call.args:
        raise Unsupported("elementwise maximum")
    over = _dims(call.args.get("dim"), len(x.dims))
    for dim in over:
        tracer.fix(x.dims[dim], _MIXED % call.op)
    return _left(call, x, over, quiet=x.quiet and call.op in ("amax", "amin", "max", "min"))


@rule("_softmax", "_log_softmax", "softmax", "_safe_softmax", "cumsum", "cumprod", "flip", "sort")
def along(tracer: Tracer, call: Call) -> list[Value | None]:
    """Same shape, but each entry depends on the others of that dimension."""
    x = tracer.arg("self")
    for dim in _dims(call.args.get("dim", call.args.get("dims")), len(x.dims)):
        tracer.fix(x.dims[dim], _MIXED % call.op.strip("_"))
    quiet = x.quiet and call.op in ("cumsum", "cumprod", "flip")
    return [Value(x.dims, quiet=quiet)] * len(call.outputs)


@rule("roll")
def roll(tracer: Tracer, call: Call) -> Value:
    """Entries move along, as the windows of a shifted attention do."""
    x = tracer.arg("self")
    for dim in _dims(call.args.get("dims"), len(x.dims)):
        tracer.fix(x.dims[dim], _MIXED % "roll")
    return x.carried(x.dims)


def _left(call: Call, x: Value, over: set[int], quiet: bool) -> list[Value | None]:
    keeps = call.args.get("keepdim", False)
    dims = [fixed(1) if d in over else labels for d, labels in enumerate(x.dims) if keeps or d not in over]
    return [Value(tuple(dims), quiet=quiet)] * len(call.outputs)


def _dims(given: object, rank: int) -> set[int]:
    if given is None or given == []:
        return set(range(rank))
    if isinstance(given, int):
        return {given % rank} if rank else set()
    if isinstance(given, (list, tuple)):
        return {dim % rank for dim in given}
    raise Unsupported("dimensions not understood")
