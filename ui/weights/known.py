"""What the Weights page shows, computed once for each network and layer: all of it is small.

The keys are those of `ui.weights.choice.Network`; arguments with an underscore are what they name.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from pruning import weights
from ui import cache
from ui.weights.choice import Network

Key = tuple[str, str]


@cache.kept(16)
def ridges(
    keys: tuple[Key, ...], names: tuple[str, ...], bins: int, _networks: tuple[Network, ...]
) -> tuple[Mapping[str, weights.Histogram], ...]:
    """For each network: layer -> histogram. One scale for all, so that no network's ridges are stretched."""
    values = {(i, name): network.weight(name) for i, network in enumerate(_networks) for name in names}
    found = dict(
        zip(values, weights.ridgeline({str(k): v for k, v in values.items()}, bins).values(), strict=True)
    )
    return tuple({name: found[i, name] for name in names} for i in range(len(_networks)))


@cache.kept(64)
def summary(key: Key, layer: str, _weight: Tensor) -> weights.Summary:
    """Figures of a layer's weights."""
    return weights.summarise(_weight)


@cache.kept(64)
def histogram(
    key: Key, layer: str, bins: int, span: tuple[float, float], _weight: Tensor
) -> weights.Histogram:
    """Counts of a layer's weights over a span."""
    return weights.histogram(_weight, bins, span)


@cache.kept(64)
def norms(key: Key, layer: str, _weight: Tensor) -> weights.ChannelNorms:
    """Norms of a layer's outputs."""
    return weights.channel_norms(_weight)


@cache.kept(64)
def matrix(key: Key, layer: str, _weight: Tensor) -> np.ndarray:
    """A layer's weight, small enough for a heat map."""
    return weights.matrix(_weight)
