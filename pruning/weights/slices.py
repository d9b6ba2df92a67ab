"""One number for each channel: norms of a weight's slices, scales of BatchNorm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class ChannelNorms:
    """Norms of the slices of a weight, largest first.

    Args:
        norms: (channels,) descending, float32.
        channels: (channels,) which channel each belongs to, int64.
    """

    norms: np.ndarray
    channels: np.ndarray


def channel_norms(weight: Tensor, dim: int = 0, order: float = 2.0) -> ChannelNorms:
    """Norms of the slices of a weight along one dimension, sorted.

    Args:
        weight: at least one dimension.
        dim: 0 gives one norm for each output of a linear layer or convolution, 1 one for each input.
        order: 2 for the root of the sum of squares, 1 for the sum of absolute values.
    """
    others = [other for other in range(weight.dim()) if other != dim % weight.dim()]
    weight = weight.detach()
    # No other dimensions would mean the norm of all.
    found = (
        torch.linalg.vector_norm(weight, order, others, dtype=torch.float32)
        if others
        else weight.float().abs()
    )
    norms, channels = found.sort(descending=True, stable=True)
    return ChannelNorms(norms.cpu().numpy(), channels.cpu().numpy())


def batch_norm_scales(module: nn.Module) -> dict[str, np.ndarray]:
    """The scales (gamma) of every BatchNorm that has them: module path -> (channels,) float32."""
    return {
        name: child.weight.detach().float().cpu().numpy().copy()
        for name, child in module.named_modules()
        if isinstance(child, nn.modules.batchnorm._BatchNorm) and child.weight is not None
    }
