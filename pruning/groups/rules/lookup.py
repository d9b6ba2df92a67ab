"""Entries taken by their number: embeddings and indexing."""

from __future__ import annotations

from pruning.groups.labels import Vector
from pruning.groups.record import Call
from pruning.groups.rules.registry import rule
from pruning.groups.tracer import Tracer, Unsupported, Value, constant

_COUNTED = "{where} takes entries of it by their number"


@rule("embedding")
def embedding(tracer: Tracer, call: Call) -> Value:
    """(vocabulary, width) and numbers of any shape: the vocabulary is fixed, the width goes on."""
    weight, indices = tracer.arg("weight"), tracer.arg("indices")
    tracer.fix(weight.dims[0], _COUNTED)
    tracer.role(weight, 1, "producer", "embedding")
    return weight.carried((*indices.dims, weight.dims[1]))


@rule("index")
def index(tracer: Tracer, call: Call) -> Value:
    """Dimensions that are indexed are fixed; the new ones stand where they stood if they stood together."""
    x, indices = tracer.arg("self"), call.args["indices"]
    places = [dim for dim, given in enumerate(indices) if given is not None]
    if not places or places != list(range(places[0], places[-1] + 1)):
        raise Unsupported("indexed dimensions apart from each other")
    for dim in places:
        tracer.fix(x.dims[dim], _COUNTED)
    for given in indices:
        if given is not None:
            for labels in tracer.value(given).dims:
                tracer.fix(labels, _COUNTED)
    shape = tracer.shape()
    new = len(shape) - (len(x.dims) - len(places))
    before, after = x.dims[: places[0]], x.dims[places[-1] + 1 :]
    return x.carried((*before, *constant(shape[places[0] : places[0] + new]), *after))


@rule("index_select")
def index_select(tracer: Tracer, call: Call) -> Value:
    """One dimension is indexed."""
    x, dim = tracer.arg("self"), call.args["dim"] % max(len(tracer.arg("self").dims), 1)
    tracer.fix(x.dims[dim], _COUNTED)
    return x.carried((*x.dims[:dim], *constant((tracer.shape()[dim],)), *x.dims[dim + 1 :]))


@rule("gather")
def gather(tracer: Tracer, call: Call) -> Value:
    """Entries along one dimension by numbers; along the others each entry has numbers of its own."""
    x, numbers = tracer.arg("self"), tracer.arg("index")
    dim = _numbered(tracer, call, x)
    dims = _aligned(tracer, dim, numbers, x)
    return x.carried(dims)


@rule("scatter", "scatter_add", "scatter_reduce")
def scatter(tracer: Tracer, call: Call) -> Value:
    """Entries put or added along one dimension by numbers; along the others entry meets entry."""
    x, numbers, source = tracer.arg("self"), tracer.arg("index"), tracer.optional("src")
    dim = _numbered(tracer, call, x)
    _aligned(tracer, dim, numbers, *(value for value in (source, x) if value))
    adds = call.op != "scatter_reduce" or call.args["reduce"] == "sum"
    return Value(x.dims, quiet=x.quiet and source is not None and source.quiet and adds)


@rule("index_add", "index_copy", "index_reduce")
def index_add(tracer: Tracer, call: Call) -> Value:
    """Slices put or added along one dimension by their numbers."""
    x, source = tracer.arg("self"), tracer.arg("source")
    dim = _numbered(tracer, call, x)
    tracer.fix(source.dims[dim], _COUNTED)
    for own, (left, right) in enumerate(zip(x.dims, source.dims, strict=True)):
        if own != dim:
            tracer.union(left, right)
            if not tracer.labels.all_fixed(left):
                tracer.note("add", left)
    return Value(x.dims, quiet=x.quiet and source.quiet and call.op != "index_reduce")


@rule("_embedding_bag", "_embedding_bag_forward_only")
def embedding_bag(tracer: Tracer, call: Call) -> list[Value | None]:
    """Sums, means or maxima over bags of numbers: the vocabulary is fixed, the width goes on."""
    weight = tracer.arg("weight")
    tracer.fix(weight.dims[0], _COUNTED)
    tracer.role(weight, 1, "producer", "embedding")
    for name in ("indices", "offsets", "per_sample_weights"):
        value = tracer.optional(name)
        for labels in value.dims if value else ():
            tracer.fix(labels, _COUNTED)
    bags = constant((tracer.shape()[0],))
    return [weight.carried((*bags, weight.dims[1]))]


def _numbered(tracer: Tracer, call: Call, x: Value) -> int:
    """The dimension whose entries are taken by number: it is fixed."""
    if not x.dims:
        raise Unsupported("a scalar")
    dim: int = call.args["dim"] % len(x.dims)
    tracer.fix(x.dims[dim], _COUNTED)
    return dim


def _aligned(tracer: Tracer, dim: int, numbers: Value, *others: Value) -> list[Vector]:
    """Labels of what has the numbers' shape; where the others are longer, the first entries count: fixed."""
    out = []
    for own, labels in enumerate(numbers.dims):
        if own == dim:
            tracer.fix(labels, _COUNTED)
        for other in others:
            if own == dim or len(other.dims[own]) != len(labels):
                tracer.fix(labels, _COUNTED)
                tracer.fix(other.dims[own], _COUNTED)
            else:
                tracer.union(labels, other.dims[own])
        out.append(labels)
    return out
