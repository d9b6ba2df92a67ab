"""Convolutions: plain, depthwise, grouped, and plain transposed ones."""

from __future__ import annotations

import math

import numpy as np

from pruning.groups.labels import Vector
from pruning.groups.record import Call
from pruning.groups.rules.matmul import SUMMED
from pruning.groups.rules.registry import rule
from pruning.groups.tracer import Tracer, Unsupported, Value, constant

_SPACE = "{where} slides over it"


@rule("convolution", "_convolution")
def convolution(tracer: Tracer, call: Call) -> Value:
    """Filters make the output's channels; what they read lives with the input's channels."""
    x, weight, bias = tracer.arg("input"), tracer.arg("weight"), tracer.optional("bias")
    space = len(weight.dims) - 2
    channels = x.dims[-space - 1]
    passing = _passing(call, weight)
    for number, labels in enumerate(x.dims[-space:]):
        if not passing[number]:
            tracer.fix(labels, _SPACE)
    for labels in weight.dims[2:]:
        tracer.fix(labels)
    if not (x.quiet or weight.quiet):  # a weight computed on the way, whose removed columns are not zero
        tracer.fix(weight.dims[0 if call.args["transposed"] else 1], SUMMED)
    groups, transposed = call.args["groups"], call.args["transposed"]
    if transposed:
        made = _transposed(tracer, weight, channels, groups)
    elif groups == 1:
        made = _plain(tracer, weight, channels)
    elif len(weight.dims[1]) == 1:
        made = _depthwise(tracer, weight, channels, groups)
    else:
        made = _grouped(tracer, weight, channels, groups)
    if bias is not None:
        tracer.union(made, bias.dims[0])
        tracer.role(bias, 0, "producer")
    places = constant(tracer.shape()[-space:])
    places = [old if stays else new for old, new, stays in zip(x.dims[-space:], places, passing, strict=True)]
    counted = [
        labels if tracer.free(labels) else len(labels)
        for labels in (x.dims[-space:] if transposed else places)
    ]
    samples = math.prod(x.shape[: -space - 1])
    tracer.work("convolution", *weight.dims[:2], *counted, math.prod(weight.shape[2:]) * samples)
    others_go = tracer.free(*x.dims[: -space - 1], *places) and not (x.quiet and bias is None)
    return Value((*x.dims[: -space - 1], made, *places), quiet=weight.quiet and not others_go)


def _passing(call: Call, weight: Value) -> list[bool]:
    """Which dimensions of space a kernel of one entry leaves as they are."""
    sizes = weight.shape[2:]

    def each(name: str) -> list[int]:
        given = list(call.args[name])
        return given * len(sizes) if len(given) == 1 else given  # padding "valid" comes as one 0 for all

    return [
        size == 1 and stride == 1 and padding == 0 and more == 0
        for size, stride, padding, more in zip(
            sizes, each("stride"), each("padding"), each("output_padding"), strict=True
        )
    ]


def _plain(tracer: Tracer, weight: Value, channels: Vector) -> Vector:
    tracer.union(channels, weight.dims[1])
    tracer.role(weight, 1, "consumer")
    tracer.role(weight, 0, "producer", "filter")
    return weight.dims[0]


def _transposed(tracer: Tracer, weight: Value, channels: Vector, groups: int) -> Vector:
    """(in, out / groups, ...): the same output goes from each group, and a depthwise one with its channel."""
    tracer.union(channels, weight.dims[0])
    if groups > 1 and len(weight.dims[1]) == 1:
        if len(channels) != groups:
            raise Unsupported("groups of several channels with one filter each")
        tracer.role(weight, 0, "producer", "filter")
        tracer.note("depthwise", channels)
        return weight.dims[0]
    tracer.role(weight, 0, "consumer")
    tracer.role(weight, 1, "producer", "filter")
    if groups == 1:
        return weight.dims[1]
    parts = weight.dims[0].reshape(groups, -1)
    tracer.union(parts[:1], parts)
    tracer.note("grouped", channels)
    return np.tile(weight.dims[1], groups)


def _depthwise(tracer: Tracer, weight: Value, channels: Vector, groups: int) -> Vector:
    """Each channel has its own filters, one or several: they go with it, and the group count falls."""
    filters = weight.dims[0].reshape(groups, -1)
    tracer.union(channels[:, None], filters)
    tracer.role(weight, 0, "producer", "filter")
    tracer.note("depthwise", channels)
    return weight.dims[0]


def _grouped(tracer: Tracer, weight: Value, channels: Vector, groups: int) -> Vector:
    """The groups must stay equally wide, so the same channel goes from each of them."""
    parts = channels.reshape(groups, -1)
    tracer.union(weight.dims[1][None], parts)
    filters = weight.dims[0].reshape(groups, -1)
    tracer.union(filters[:1], filters)
    tracer.role(weight, 1, "consumer")
    tracer.role(weight, 0, "producer", "filter")
    tracer.note("grouped", channels)
    tracer.note("grouped", weight.dims[0])
    return weight.dims[0]
