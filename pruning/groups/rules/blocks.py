"""Channels in blocks: pixels made of channels and back, patches, channels dealt out anew, gated halves."""

from __future__ import annotations

import math

import numpy as np

from pruning.groups.labels import Vector
from pruning.groups.record import Call
from pruning.groups.rules.registry import rule
from pruning.groups.tracer import Tracer, Unsupported, Value, constant

_SPACE = "{where} cuts it into patches"
_COUNTED = "{where} takes entries of it by their number"


@rule("pixel_shuffle")
def pixel_shuffle(tracer: Tracer, call: Call) -> Value:
    """(..., c r^2, h, w) -> (..., c, h r, w r): a channel of the result needs r^2 in a row."""
    x = _space_fixed(tracer, 2)
    made = _rows(tracer, x.dims[-3], call.args["upscale_factor"] ** 2)
    return x.carried((*x.dims[:-3], made, *constant(tracer.shape()[-2:])))


@rule("pixel_unshuffle")
def pixel_unshuffle(tracer: Tracer, call: Call) -> Value:
    """(..., c, h r, w r) -> (..., c r^2, h, w)."""
    x = _space_fixed(tracer, 2)
    made = np.repeat(x.dims[-3], call.args["downscale_factor"] ** 2)
    return x.carried((*x.dims[:-3], made, *constant(tracer.shape()[-2:])))


@rule("im2col")
def patches(tracer: Tracer, call: Call) -> Value:
    """(..., c, h, w) -> (..., c k, patches)."""
    x = _space_fixed(tracer, 2)
    made = np.repeat(x.dims[-3], math.prod(call.args["kernel_size"]))
    return x.carried((*x.dims[:-3], made, *constant(tracer.shape()[-1:])))


@rule("col2im")
def image(tracer: Tracer, call: Call) -> Value:
    """(..., c k, patches) -> (..., c, h, w), where patches are added."""
    x = _space_fixed(tracer, 1)
    made = _rows(tracer, x.dims[-2], math.prod(call.args["kernel_size"]))
    return x.carried((*x.dims[:-2], made, *constant(tracer.shape()[-2:])))


@rule("unfold")
def windows(tracer: Tracer, call: Call) -> Value:
    """Windows along one dimension, which become a new last one."""
    x = tracer.arg("self")
    dim = call.args["dimension"] % len(x.dims)
    tracer.fix(x.dims[dim], _SPACE)
    count, size = constant((tracer.shape()[dim], tracer.shape()[-1]))
    return x.carried((*x.dims[:dim], count, *x.dims[dim + 1 :], size))


@rule("channel_shuffle")
def channel_shuffle(tracer: Tracer, call: Call) -> Value:
    """(b, g n, ...) -> (b, n g, ...): the groups stay equally wide, so the same channel goes from each."""
    x = tracer.arg("self")
    blocks = x.dims[1].reshape(call.args["groups"], -1)
    if not tracer.labels.all_fixed(blocks):
        tracer.union(blocks[:1], blocks)
        tracer.note("grouped", x.dims[1])
    return x.carried((x.dims[0], blocks.T.ravel(), *x.dims[2:]))


@rule("glu")
def gated(tracer: Tracer, call: Call) -> Value:
    """The first half times the sigmoid of the second: the same entry goes from both."""
    x = tracer.arg("self")
    dim = call.args["dim"] % len(x.dims)
    halves = x.dims[dim].reshape(2, -1)
    if not tracer.labels.all_fixed(halves):
        tracer.union(halves[0], halves[1])
        tracer.note("split", x.dims[dim])
    return x.carried((*x.dims[:dim], halves[0], *x.dims[dim + 1 :]))


@rule("rot90")
def rot90(tracer: Tracer, call: Call) -> Value:
    """Two dimensions are turned: both stay."""
    x = tracer.arg("self")
    for dim in call.args["dims"]:
        tracer.fix(x.dims[dim], _COUNTED)
    turned = {dim % len(x.dims) for dim in call.args["dims"]}
    sizes = constant(tracer.shape())
    return x.carried([sizes[d] if d in turned else labels for d, labels in enumerate(x.dims)])


def _space_fixed(tracer: Tracer, rank: int) -> Value:
    x = tracer.arg("self")
    if len(x.dims) <= rank:
        raise Unsupported("no channels")
    for labels in x.dims[-rank:]:
        tracer.fix(labels, _SPACE)
    return x


def _rows(tracer: Tracer, labels: Vector, length: int) -> Vector:
    """One label for each run of that length."""
    rows = labels.reshape(-1, length)
    if length > 1 and not tracer.labels.all_fixed(rows):
        tracer.union(rows[:, :1], rows)
        tracer.note("reshape", labels)
    return rows[:, 0]
