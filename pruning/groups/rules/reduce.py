"""Operations that mix the entries of a dimension without weights."""

from __future__ import annotations

from pruning.groups.labels import fixed
from pruning.groups.record import Call
from pruning.groups.rules.registry import rule
from pruning.groups.tracer import Tracer, Unsupported, Value

_MIXED = "{where} computes `%s` over it, which depends on how many entries there are"


@rule("mean", "var", "std", "var_mean", "std_mean")
def average(tracer: Tracer, call: Call) -> list[Value | None]:
    """Averages over what is kept, where statistics may change; else what is averaged over is fixed."""
    x = tracer.arg("self")
    over = _dims(call.args.get("dim"), len(x.dims))
    for dim in over:
        tracer.average("self", dim, _MIXED % call.op)
    return _left(call, x, over, quiet=x.quiet)


@rule("sum", "linalg_vector_norm", "norm")
def total(tracer: Tracer, call: Call) -> list[Value | None]:
    """What is zero adds nothing, so removing it is exact; else what is summed is fixed."""
    x = tracer.arg("self")
    over = _dims(call.args.get("dim"), len(x.dims))
    order = call.args.get("ord", call.args.get("p"))
    adds = x.quiet and (order is None or order >= 0)  # of a negative order, zeros are what counts
    for dim in over:
        if not adds:
            tracer.fix(x.dims[dim], _MIXED % call.op)
    return _left(call, x, over, quiet=x.quiet)


@rule("amax", "amin", "max", "min", "median", "nanmedian", "mode", "kthvalue")
@rule("prod", "argmax", "argmin", "logsumexp", "any", "all")
def reduction(tracer: Tracer, call: Call) -> list[Value | None]:
    """Reduced dimensions are fixed, the others go on."""
    x = tracer.arg("self")
    if "other" in call.args:
        raise Unsupported("elementwise maximum")
    over = _dims(call.args.get("dim"), len(x.dims))
    for dim in over:
        tracer.fix(x.dims[dim], _MIXED % call.op)
    return _left(call, x, over, quiet=x.quiet and call.op in ("amax", "amin", "max", "min", "median"))


@rule("_softmax", "_log_softmax", "softmax", "_safe_softmax", "cumsum", "cumprod", "flip", "sort")
def along(tracer: Tracer, call: Call) -> list[Value | None]:
    """Same shape, but each entry depends on the others of that dimension."""
    x = tracer.arg("self")
    for dim in _dims(call.args.get("dim", call.args.get("dims")), len(x.dims)):
        tracer.fix(x.dims[dim], _MIXED % call.op.strip("_"))
    quiet = x.quiet and call.op in ("cumsum", "cumprod", "flip")
    return [Value(x.dims, quiet=quiet)] * len(call.outputs)


@rule("topk")
def largest(tracer: Tracer, call: Call) -> list[Value | None]:
    """The largest entries of a dimension, which stays."""
    x = tracer.arg("self")
    dim = call.args["dim"] % len(x.dims)
    tracer.fix(x.dims[dim], _MIXED % "topk")
    dims = (*x.dims[:dim], fixed(tracer.shape()[dim]), *x.dims[dim + 1 :])
    return [Value(dims, quiet=x.quiet), Value(dims)]


@rule("_fft_r2c", "_fft_c2c", "_fft_c2r")
def fourier(tracer: Tracer, call: Call) -> Value:
    """Transformed dimensions stay, the others go on."""
    x, shape = tracer.arg("self"), tracer.shape()
    dims = list(x.dims)
    for dim in _dims(call.args["dim"], len(dims)):
        tracer.fix(dims[dim], _MIXED % "a Fourier transform")
        dims[dim] = fixed(shape[dim])
    return x.carried(dims)


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
