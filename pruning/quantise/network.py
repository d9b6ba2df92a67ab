"""Quantise the weights of layers, in a copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from pruning.layers import TRANSPOSED, WEIGHTED, duplicate
from pruning.quantise.grid import Grid, Uniform, grid_of
from pruning.quantise.lattice import check_bits

V = TypeVar("V")


def quantise(module: nn.Module, bits: Mapping[str, int], scheme: Uniform | None = None) -> nn.Module:
    """A copy of a network with quantised weights, after training: no weight is trained, no data is needed.

    Args:
        module: the network, never changed.
        bits: layer -> 1..8; a layer that is not named keeps its weights.
        scheme: `Uniform()` if not given.
    Raises:
        ValueError: a layer that is not there or has no weight to quantise, bits out of their range.
    Source: Krishnamoorthi 2018, arXiv:1806.08342, section 3.
    """
    copy = duplicate(module)
    with torch.no_grad():
        for name, grid in grids(copy, bits, scheme).items():
            weight = weight_of(copy, name)
            weight.copy_(grid.values())
    return copy


def grids(module: nn.Module, bits: Mapping[str, int], scheme: Uniform | None = None) -> dict[str, Grid]:
    """What `quantise` puts into each layer, as integers; arguments and errors as there."""
    return {
        name: grid_of(weight, bits[name], scheme, axis=channel_axis(module, name))
        for name, weight in weights_of(module, bits).items()
    }


def weights_of(module: nn.Module, bits: Mapping[str, int]) -> dict[str, nn.Parameter]:
    """The weights of the layers named, checked; one that two layers share is listed at the first.

    Raises:
        ValueError: a layer that is not there or has no weight to quantise, bits out of their range.
    """
    for name, asked in bits.items():
        check_bits(asked, repr(name))
    return {name: weight_of(module, name) for name in once(module, bits)}


def once(module: nn.Module, settings: Mapping[str, V]) -> dict[str, V]:
    """Settings of layers, only the first of those that share a weight."""
    kept, seen = {}, set()
    for name, value in settings.items():
        weight = weight_of(module, name)
        if id(weight) not in seen:
            seen.add(id(weight))
            kept[name] = value
    return kept


def weight_of(module: nn.Module, name: str) -> nn.Parameter:
    """The weight of a layer that can be quantised.

    Raises:
        ValueError: one sentence saying why it cannot.
    """
    try:
        layer = module.get_submodule(name)
    except AttributeError:
        raise ValueError(f"The network has no layer {name!r}; leave it out.") from None
    weight = layer._parameters.get("weight")
    if not isinstance(layer, WEIGHTED) or weight is None or not weight.is_floating_point():
        raise ValueError(
            f"{name!r} has no weight of its own to quantise; name linear layers or convolutions."
        )
    return weight


def channel_axis(module: nn.Module, name: str) -> int:
    """Along which axis of its weight a layer's output channels lie."""
    return 1 if isinstance(module.get_submodule(name), TRANSPOSED) else 0


def squared_error(before: Tensor, after: Tensor) -> float:
    """Sum of squared differences of two tensors of one shape."""
    return float((before.detach().double() - after.detach().double()).square().sum())
