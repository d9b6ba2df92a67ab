"""Weights that share few values, by any of the ways."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from pruning.clustering import Tied, cluster, share
from pruning.compress.settings import Sharing
from pruning.layers import duplicate
from pruning.quantise import ClipQ, Straight, clip_and_partition, quantise, quantise_weight
from pruning.quantise.network import channel_axis, weight_of
from pruning.recover import Constraint


def shared(module: nn.Module, sharing: Sharing) -> nn.Module:
    """A copy in which weights share values, without training. Zeros stay zero.

    Args:
        module: the network, never changed.
        sharing: which layers, and how.
    Raises:
        ValueError: a layer that is not there or has no weight.
    """
    if sharing.method == "cluster":
        return cluster(module, sharing.bits, init=sharing.init, seed=sharing.seed)
    if sharing.method == "uniform":
        return quantise(module, sharing.bits, sharing.scheme)
    copy = duplicate(module)
    constraint(sharing)(copy).set()
    return copy


def shared_weight(module: nn.Module, layer: str, sharing: Sharing) -> Tensor:
    """One layer's weight with few values, as `shared` gives it.

    Args:
        module: the network, never changed.
        layer: one that `sharing` names.
        sharing: how.
    Raises:
        ValueError: if the layer is not there or has no weight.
    """
    weight, bits = weight_of(module, layer).detach(), sharing.bits[layer]
    if sharing.method == "cluster":
        return share(weight, bits, init=sharing.init, seed=sharing.seed)
    if sharing.method == "uniform":
        return quantise_weight(weight, bits, sharing.scheme, axis=channel_axis(module, layer))
    return clip_and_partition(weight, sharing.clip_of(layer))


def constraint(sharing: Sharing) -> Callable[[nn.Module], Constraint]:
    """What training has to keep to so that weights go on to share values; made for a network in training.

    Clusters must be in the network already; the other ways begin with exact weights.
    """
    bits = sharing.bits
    if sharing.method == "cluster":
        return lambda module: Tied(module, bits)
    if sharing.method == "uniform":
        return lambda module: Straight(module, bits, sharing.scheme)
    clips = {name: sharing.clip_of(name) for name in bits}
    return lambda module: ClipQ(module, clips)
