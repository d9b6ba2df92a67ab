"""How the weights of each layer lie, once an epoch: weights are seen moving to zero."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pruning.layers import WEIGHTED
from pruning.recover.record import BINS, MOST_HISTOGRAMS, Histogram

_PIECE = 1 << 24  # float32 counts are exact up to here


@torch.no_grad()
def histograms(module: nn.Module, edges: Mapping[str, float] | None = None) -> dict[str, Histogram]:
    """Histograms of convolutions and linear layers, in the order of the network's modules.

    Args:
        module: the network, masked, smaller or neither.
        edges: layer -> the largest absolute value shown, as in the first epoch: its layers are shown, as far
            as they are still there. Without it each layer's own largest value, and the layers with the most
            weights if there are more than MOST_HISTOGRAMS.
    Returns:
        layer -> its histogram; NaN is in no bin.
    """
    weights = _weights(module)
    if edges is None:
        largest = sorted(weights, key=lambda name: -weights[name].numel())[:MOST_HISTOGRAMS]
        chosen = {name: _edge(weights[name]) for name in weights if name in set(largest)}
    else:
        chosen = {name: edges[name] for name in weights if name in edges}
    return {name: _histogram(weights[name], edge) for name, edge in chosen.items()}


def _weights(module: nn.Module) -> dict[str, Tensor]:
    """Layer -> weight; one that layers share belongs to the first."""
    found: dict[int, tuple[str, Tensor]] = {}
    for name, part in module.named_modules():
        if isinstance(part, WEIGHTED) and part.weight.numel():
            found.setdefault(id(part.weight), (name, part.weight.detach()))
    return dict(found.values())


def _edge(weight: Tensor) -> float:
    """The largest finite absolute value; 1 if there is none above zero."""
    return float(weight.abs().nan_to_num(nan=0.0, posinf=0.0).max()) or 1.0


def _histogram(weight: Tensor, edge: float) -> Histogram:
    counts = torch.zeros(BINS, dtype=torch.long)
    zero = near = 0
    for piece in weight.flatten().float().split(_PIECE):
        zero += piece.numel() - int(piece.count_nonzero())
        near += int((piece.abs() < edge / 100).sum())
        counts += _counted(piece.clamp(-edge, edge), edge)
    # Taken out of the bin that a zero is counted in: much faster than leaving zeros out beforehand.
    counts -= zero * _counted(torch.zeros(1), edge)
    return Histogram(counts=tuple(counts.tolist()), edge=edge, zero=zero, near=near - zero)


def _counted(values: Tensor, edge: float) -> Tensor:
    """(BINS,) how many values lie in each bin; NaN lies in none."""
    return torch.histc(values, BINS, -edge, edge).long().cpu()
