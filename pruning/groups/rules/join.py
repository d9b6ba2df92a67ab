"""Cutting dimensions apart and putting them together: cat, stack, split, slice, select, pad."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from pruning.groups.labels import fixed
from pruning.groups.record import Call
from pruning.groups.rules.registry import rule
from pruning.groups.tracer import Tracer, Unsupported, Value

_COUNTED = "{where} takes entries of it by their number"


@rule("cat")
def cat(tracer: Tracer, call: Call) -> Value:
    """Along the joined dimension labels follow one another; along the others they are united."""
    parts = [tracer.value(ref) for ref in call.args["tensors"]]
    rank = len(tracer.shape())
    parts = [part for part in parts if len(part.dims) == rank]  # cat skips empty vectors
    joined = call.args["dim"] % rank
    dims = list(parts[0].dims)
    for part in parts[1:]:
        for dim in range(rank):
            if dim != joined:
                tracer.union(dims[dim], part.dims[dim])
    dims[joined] = np.concatenate([part.dims[joined] for part in parts])
    return Value(tuple(dims), quiet=all(part.quiet for part in parts))


@rule("stack")
def stack(tracer: Tracer, call: Call) -> Value:
    """All parts are united; the new dimension is fixed."""
    parts = [tracer.value(ref) for ref in call.args["tensors"]]
    for part in parts[1:]:
        for left, right in zip(parts[0].dims, part.dims, strict=True):
            tracer.union(left, right)
    dims = list(parts[0].dims)
    dims.insert(call.args["dim"] % (len(dims) + 1), fixed(len(parts)))
    return Value(tuple(dims), quiet=all(part.quiet for part in parts))


@rule("split", "unsafe_split", "unsafe_chunk")
def split(tracer: Tracer, call: Call) -> list[Value | None]:
    """Equal pieces, as `chunk` cuts them, must stay equally long: the same entry goes from each."""
    x, dim = tracer.arg("self"), call.args["dim"]
    lengths = [tracer.shape(i)[dim] for i in range(len(call.outputs))]
    if len(set(lengths)) > 1:
        tracer.fix(x.dims[dim], _COUNTED)
    elif not tracer.labels.all_fixed(x.dims[dim]):
        pieces = x.dims[dim].reshape(len(lengths), -1)
        tracer.union(pieces[:1], pieces)
        tracer.note("split", x.dims[dim])
        tracer.size(pieces[0])
    return _pieces(x, dim % len(x.dims), lengths)


@rule("split_with_sizes", "unsafe_split_with_sizes")
def split_with_sizes(tracer: Tracer, call: Call) -> list[Value | None]:
    """Pieces of given lengths: numbers that follow the channels."""
    x, dim = tracer.arg("self"), call.args["dim"] % len(tracer.arg("self").dims)
    pieces = _pieces(x, dim, call.args["split_sizes"])
    for piece in pieces:
        if piece is not None:
            tracer.size(piece.dims[dim])
    return pieces


@rule("unbind")
def unbind(tracer: Tracer, call: Call) -> list[Value | None]:
    """One tensor per entry: these are named one by one in the code, so they stay."""
    x = tracer.arg("self")
    dim = call.args["dim"] % len(x.dims)
    tracer.fix(x.dims[dim], _COUNTED)
    return [x.carried((*x.dims[:dim], *x.dims[dim + 1 :]))] * len(call.outputs)


@rule("select")
def select(tracer: Tracer, call: Call) -> Value:
    """One entry by its number: were others removed, it would be another entry."""
    x = tracer.arg("self")
    dim = call.args["dim"] % len(x.dims)
    tracer.fix(x.dims[dim], _COUNTED)
    return x.carried((*x.dims[:dim], *x.dims[dim + 1 :]))


@rule("slice")
def slice_(tracer: Tracer, call: Call) -> Value:
    """A run of entries; its bounds are numbers that follow the channels before them."""
    x = tracer.arg("self")
    dim, step = call.args["dim"] % len(x.dims), call.args["step"]
    labels = x.dims[dim]
    start, end, _ = slice(call.args["start"], call.args["end"]).indices(len(labels))
    if step != 1:
        tracer.fix(labels, _COUNTED)
    elif (start, end) != (0, len(labels)):
        tracer.size(labels[:start])
        tracer.size(labels[:end])
    return x.carried((*x.dims[:dim], labels[start:end:step], *x.dims[dim + 1 :]))


@rule("constant_pad_nd")
def pad(tracer: Tracer, call: Call) -> Value:
    """Padded entries are new: united with nothing, they go or stay with what they are added to."""
    x, amounts = tracer.arg("self"), call.args["pad"]
    dims = list(x.dims)
    for number in range(len(amounts) // 2):
        dim, before, after = len(dims) - 1 - number, amounts[2 * number], amounts[2 * number + 1]
        if before < 0 or after < 0:
            raise Unsupported("cropping")
        if before or after:
            dims[dim] = _padded(tracer, dims[dim], before, after)
    return Value(tuple(dims), quiet=x.quiet and not call.args.get("value"))


def _padded(tracer: Tracer, labels: np.ndarray, before: int, after: int) -> np.ndarray:
    if tracer.labels.all_fixed(labels):
        return np.concatenate([fixed(before), labels, fixed(after)])
    low, high = _new(tracer, before), _new(tracer, after)
    tracer.note("pad", labels)
    tracer.size(low)
    tracer.size(high)
    return np.concatenate([low, labels, high])


def _new(tracer: Tracer, size: int) -> np.ndarray:
    """Fresh labels even for a single entry: it is one of many in the padded dimension."""
    return tracer.labels.fresh(size + 1)[:size] if size else fixed(0)


def _pieces(x: Value, dim: int, lengths: list[int]) -> list[Value | None]:
    bounds = np.cumsum([0, *lengths])
    return [x.carried((*x.dims[:dim], x.dims[dim][a:b], *x.dims[dim + 1 :])) for a, b in pairwise(bounds)]
