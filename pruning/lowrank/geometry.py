"""Which smaller layers stand in a layer's place: their shapes, what they cost, and the modules themselves."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from pruning.layers import CONVOLUTIONS

PARTS = ("first", "core", "last")  # names of the smaller layers, in the order in which they run
Ranks = tuple[int, ...]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Factor:
    """One of the smaller layers.

    Args:
        name: its name inside the layer's place: one of `PARTS`.
        weight: shape of its weight, (out, in, *kernel).
        axes: the axes of the image along which it has the layer's own kernel, stride, padding and dilation;
            along the others it looks at single pixels.
    """

    name: str
    weight: Shape
    axes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Call:
    """One call of a layer.

    Args:
        times: samples of the batch; of a linear layer, everything that is not a feature.
        before, after: sizes of the image that goes in and of the one that comes out; () of a linear layer.
    """

    times: int
    before: Shape = ()
    after: Shape = ()

    @classmethod
    def of(cls, layer: nn.Module, given: Tensor, output: Tensor) -> Call:
        """From what went into a layer and what came out."""
        if isinstance(layer, nn.Linear):
            return cls(given.numel() // layer.in_features)
        assert isinstance(layer, CONVOLUTIONS)
        axes = len(layer.kernel_size)
        times = given.shape[0] if given.dim() > axes + 1 else 1  # an image may come without a batch
        return cls(times, tuple(given.shape[-axes:]), tuple(output.shape[-axes:]))


def parameters(factors: Iterable[Factor], bias: int) -> int:
    """Values of all factors and of the bias that the last one keeps."""
    return sum(prod(factor.weight) for factor in factors) + bias


def macs(factors: Iterable[Factor], calls: Iterable[Call]) -> int:
    """Multiply-accumulates of all calls, for the whole batch."""
    factors, total = tuple(factors), 0
    for call in calls:
        sizes = list(call.before)
        for factor in factors:
            for axis in factor.axes:
                sizes[axis] = call.after[axis]
            total += prod(factor.weight) * prod(sizes) * call.times
    return total


def build(layer: nn.Module, factors: Sequence[Factor], weights: Sequence[Tensor]) -> nn.Sequential:
    """The smaller layers, in the layer's dtype and on its device; the last one has its bias.

    Args:
        layer: `nn.Linear` or a convolution in one group, never changed.
        factors: in the order in which they run.
        weights: one for each, of its shape.
    """
    own, bias = layer._parameters["weight"], layer._parameters["bias"]
    assert own is not None
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for factor, weight in zip(factors, weights, strict=True):
        part = _empty(layer, factor)
        part.weight = _like(own, weight)
        if factor is factors[-1] and bias is not None:
            part.bias = _like(bias, bias)
        parts[factor.name] = part
    return nn.Sequential(parts).train(layer.training)


def _like(own: nn.Parameter, value: Tensor) -> nn.Parameter:
    value = value.detach().to(dtype=own.dtype, device=own.device, copy=True).contiguous()
    return nn.Parameter(value, requires_grad=own.requires_grad)


def _empty(layer: nn.Module, factor: Factor) -> nn.Module:
    """A layer of the factor's shape without values and bias; it draws no random numbers."""
    out, into, *kernel = factor.weight
    if isinstance(layer, nn.Linear):
        return nn.Linear(into, out, bias=False, device="meta")
    assert isinstance(layer, CONVOLUTIONS)
    kind: Any = type(layer)  # its arguments are tuples of as many sizes as it has axes

    def along(own: tuple[int, ...], single: int) -> tuple[int, ...]:
        return tuple(size if axis in factor.axes else single for axis, size in enumerate(own))

    padding: Any = layer.padding if factor.axes else 0  # "same" and "valid" hold along every axis
    return kind(
        into,
        out,
        tuple(kernel),
        stride=along(layer.stride, 1),
        padding=padding if isinstance(padding, (str, int)) else along(padding, 0),
        dilation=along(layer.dilation, 1),
        bias=False,
        padding_mode=layer.padding_mode if factor.axes else "zeros",
        device=torch.device("meta"),
    )
