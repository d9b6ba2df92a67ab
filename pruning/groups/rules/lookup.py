"""Entries taken by their number: embeddings and indexing."""

from __future__ import annotations

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
    """Entries along one dimension by numbers of their own: all is fixed that these numbers have."""
    x, numbers = tracer.arg("self"), tracer.arg("index")
    for labels in (*x.dims, *numbers.dims):
        tracer.fix(labels, _COUNTED)
    return Value(tuple(constant(tracer.shape())), quiet=True)
