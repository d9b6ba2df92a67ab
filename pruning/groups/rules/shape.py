"""Reshapes and transposes: the crux is which new dimension carries the labels on."""

from __future__ import annotations

import numpy as np

from pruning.groups.labels import FIXED, Vector, fixed
from pruning.groups.record import Call
from pruning.groups.rules.registry import rule
from pruning.groups.tracer import Origin, Tracer, Unsupported, Value, moved

_LOST = "a reshape in {where} mixes it with another dimension that carries channels"


@rule("permute")
def permute(tracer: Tracer, call: Call) -> Value:
    """Dimensions in another order."""
    x = tracer.arg("self")
    return moved(x, [dim % len(x.dims) for dim in call.args["dims"]])


@rule("transpose", "t")
def transpose(tracer: Tracer, call: Call) -> Value:
    """Two dimensions change places."""
    x = tracer.arg("self")
    order = list(range(len(x.dims)))
    if len(order) > 1:
        a, b = call.args.get("dim0", 0) % len(order), call.args.get("dim1", 1) % len(order)
        order[a], order[b] = order[b], order[a]
    return moved(x, order)


@rule("expand")
def expand(tracer: Tracer, call: Call) -> Value:
    """Dimensions of size 1 are repeated: the copies are no channels until they meet some."""
    x, shape = tracer.arg("self"), tracer.shape()
    lead = len(shape) - len(x.dims)
    dims: list[Vector] = []
    sources: list[int | None] = []
    for dim, size in enumerate(shape):
        own = dim - lead
        kept = own >= 0 and len(x.dims[own]) == size
        dims.append(x.dims[own] if kept else tracer.labels.fresh(size))
        sources.append(x.origin.dims[own] if kept and x.origin else None)
        tracer.size(dims[-1])
    return Value(tuple(dims), Origin(x.origin.parameter, tuple(sources)) if x.origin else None, x.quiet)


@rule("as_strided")
def as_strided(tracer: Tracer, call: Call) -> Value:
    """Other strides for the same shape, as a change of the memory format makes them."""
    x = tracer.arg("self")
    if x.shape != tracer.shape():
        raise Unsupported("another view of the memory")
    return x


@rule("repeat")
def repeat(tracer: Tracer, call: Call) -> Value:
    """Whole copies one after the other: an entry goes from all of them."""
    x, shape = tracer.arg("self"), tracer.shape()
    lead = len(shape) - len(x.dims)
    dims = [
        np.tile(x.dims[d - lead], size // len(x.dims[d - lead])) if d >= lead else fixed(size)
        for d, size in enumerate(shape)
    ]
    return x.carried(dims)


@rule("view", "_unsafe_view", "reshape", "_reshape_alias", "squeeze", "unsqueeze", "flatten")
def reshape(tracer: Tracer, call: Call) -> Value:
    """Same entries in the same order under another shape."""
    x, shape = tracer.arg("self"), tracer.shape()
    if call.overload == "dtype":
        raise Unsupported("another type of number")
    if [size for size in x.shape if size > 1] == [size for size in shape if size > 1]:
        value = _respaced(x, shape)
    else:
        value = x.carried(_reshape(tracer, x.dims, shape))
    for labels in value.dims:
        tracer.size(labels)
    return value


def _respaced(x: Value, shape: tuple[int, ...]) -> Value:
    """Only dimensions of size 1 come or go: a parameter stays that parameter."""
    kept = iter([d for d, size in enumerate(x.shape) if size > 1])
    sources = [next(kept) if size > 1 else None for size in shape]
    dims = tuple(fixed(1) if d is None else x.dims[d] for d in sources)
    if x.origin is None:
        return x.carried(dims)
    own = x.origin.dims
    origin = Origin(x.origin.parameter, tuple(None if d is None else own[d] for d in sources))
    return Value(dims, origin, x.quiet)


def _reshape(tracer: Tracer, dims: tuple[Vector, ...], shape: tuple[int, ...]) -> list[Vector]:
    """Line up the shortest runs of old and new dimensions with equal products, and regroup each run."""
    out: list[Vector] = []
    i = j = 0
    while i < len(dims) or j < len(shape):
        first_old, first_new, old, new = i, j, 1, 1
        while old != new or i == first_old or j == first_new:
            if i < len(dims) and (old <= new or j == len(shape)):
                old, i = old * len(dims[i]), i + 1
            elif j < len(shape):
                new, j = new * shape[j], j + 1
            else:
                break
        if old != new:
            raise Unsupported("shapes do not line up")
        out += _regroup(tracer, list(dims[first_old:i]), list(shape[first_new:j]))
    return out


def _regroup(tracer: Tracer, old: list[Vector], new: list[int]) -> list[Vector]:
    """Labels of the new dimensions of one run."""
    long = [labels for labels in old if len(labels) > 1]
    sizes = [size for size in new if size > 1]
    if len(long) == 1 and len(sizes) == 1:
        carried = iter(long)
    else:
        carried = iter(_split(tracer, _merge(tracer, long).reshape(sizes or [1])) if sizes else [])
    return [next(carried) if size > 1 else fixed(1) for size in new]


def _merge(tracer: Tracer, long: list[Vector]) -> Vector:
    """The label of each entry when dimensions become one; only one of them can carry labels on."""
    carriers = [k for k, labels in enumerate(long) if not tracer.labels.all_fixed(labels)]
    sizes = tuple(len(labels) for labels in long)
    if not carriers:
        return fixed(int(np.prod(sizes)))
    carrier = carriers[0]
    if len(carriers) > 1:
        carrier = tracer.site(sizes, carriers, np.concatenate([long[k] for k in carriers]))
    for k in carriers:
        if k != carrier:
            tracer.fix(long[k], _LOST)
    shape = [1] * len(long)
    shape[carrier] = -1
    return np.broadcast_to(long[carrier].reshape(shape), sizes)


def _split(tracer: Tracer, labels: Vector) -> list[Vector]:
    """Labels per new dimension: the one along which they already differ, or the preferred carrier."""
    if labels.ndim == 1:
        return [labels]
    roots = tracer.labels.find(labels)
    if (roots == FIXED).all():
        return [fixed(size) for size in labels.shape]
    for dim in range(labels.ndim):
        rows = np.moveaxis(roots, dim, 0).reshape(labels.shape[dim], -1)
        if (rows == rows[:, :1]).all():
            return _carried(tracer, labels, dim)
    tracer.note("reshape", labels)
    ways = ways_to_carry(labels.ndim, tracer.choices.heads)
    return _carried(tracer, labels, tracer.site(labels.shape, ways, labels))


def _carried(tracer: Tracer, labels: Vector, dim: int) -> list[Vector]:
    rows = np.moveaxis(labels, dim, 0).reshape(labels.shape[dim], -1)
    tracer.union(rows[:, :1], rows)
    return [rows[:, 0] if d == dim else fixed(size) for d, size in enumerate(labels.shape)]


def ways_to_carry(rank: int, heads: str = "whole") -> list[int]:
    """Dimensions that can carry the labels, the likeliest first: heads and their width lie last."""
    first = [rank - 2, rank - 1] if heads == "whole" else [rank - 1, rank - 2]
    return first + list(range(rank - 3, -1, -1))
