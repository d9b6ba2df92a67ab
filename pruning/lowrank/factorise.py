"""Put smaller layers in the place of layers, in a copy."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pruning.layers import duplicate
from pruning.lowrank.geometry import Ranks, build
from pruning.lowrank.methods import METHODS, method_for
from pruning.lowrank.record import Record, Split, fitting, record_of, with_record


@torch.no_grad()
def factorise(
    module: nn.Module,
    ranks: Mapping[str, int | tuple[int, ...]],
    method: str | Mapping[str, str] = "tucker-2",
    *,
    roots: Mapping[str, Tensor] | None = None,
) -> nn.Module:
    """A copy of a network in which layers are replaced by two or three smaller ones.

    The smaller layers are PyTorch's own, in an `nn.Sequential` under the layer's path: `fc1.first` and
    `fc1.last`, with `fc1.core` between them by tucker-2. They keep stride, padding, dilation, dtype and
    device; the last one has the bias. What is done is written on the copy (`record_of`), and files of
    `pruning.checkpoint` carry it.

    Args:
        module: the network, never changed.
        ranks: layer -> its rank, or two of them by tucker-2, of the inputs and of the outputs.
        method: name of an entry of `METHODS`, for all layers, or layer -> name. Linear layers and
            convolutions of one pixel are matrices: what does not fit them is replaced by their SVD.
        roots: layer -> what weighs its errors, of `input_roots`; only for methods that take data.
    Returns:
        The copy, in the mode (training or not) of the network.
    Raises:
        ValueError: a layer that cannot be factorised, a rank out of its range, an unknown method, a network
            that is factorised already.
    """
    if record_of(module) is not None:
        raise ValueError("This network is factorised already; factorise the one that it was made from.")
    copy, splits, roots = duplicate(module), {}, roots or {}
    for name, rank in ranks.items():
        wanted = method if isinstance(method, str) else method[name]
        split = Split(method=_chosen(module, name, wanted), ranks=_ranks(name, rank))
        layer = fitting(module, name, split)
        copy.set_submodule(name, factors_of(layer, split.method, split.ranks, roots.get(name)))
        splits[name] = split
    return with_record(copy, Record(layers=splits)) if splits else copy


def factors_of(layer: nn.Module, method: str, ranks: Ranks, root: Tensor | None = None) -> nn.Sequential:
    """The smaller layers for one layer, with weights.

    Args:
        layer: that the method fits, never changed.
        method: name of an entry of `METHODS`.
        ranks: that the layer can have.
        root: of `input_roots`, or None.
    Raises:
        ValueError: if the method takes no root and one is given.
    """
    how = METHODS[method]
    if root is not None and not how.takes_data:
        raise ValueError(f"The method {method!r} cannot weigh errors by data; leave the roots out.")
    weight = layer._parameters["weight"]
    assert weight is not None
    weights = how.split(weight.detach().double(), ranks, root)
    return build(layer, how.factors(tuple(weight.shape), ranks), weights)


def _chosen(module: nn.Module, name: str, wanted: str) -> str:
    """The method for a layer; the one wanted where there is none, for `fitting` to say why."""
    METHODS[wanted]  # an unknown name is said first
    try:
        return method_for(module.get_submodule(name), wanted)[0] or wanted
    except AttributeError:
        return wanted


def _ranks(name: str, rank: int | tuple[int, ...]) -> Ranks:
    ranks = (rank,) if isinstance(rank, int) else tuple(rank)
    if len(ranks) not in (1, 2) or any(type(each) is not int or each < 1 for each in ranks):
        raise ValueError(f"The rank of {name!r} must be one or two whole numbers from 1 on, not {rank}.")
    return ranks
