"""CLIP-Q: small weights are clipped to zero and the others partitioned, anew in every training step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pruning.quantise.lattice import SMALLEST, check_bits
from pruning.quantise.network import once
from pruning.quantise.through import Through

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Clip:
    """What is done to one layer.

    Args:
        share: of the positive weights, and of the negative ones, that are zero: the smallest; in [0, 1).
        bits: 1..8; the others have 2**bits values. (The paper counts zero as one of these.)
    Raises:
        ValueError: a number out of its range.
    """

    share: float
    bits: int

    def __post_init__(self) -> None:
        check_bits(self.bits, "a layer")
        if not 0 <= self.share < 1:
            raise ValueError(f"The share to clip must be at least 0 and less than 1, not {self.share}.")


@torch.no_grad()
def clip_and_partition(weight: Tensor, clip: Clip) -> Tensor:
    """Clip a tensor's smallest weights to zero, and give the others the mean of their interval.

    What is left on the two sides of zero is cut into 2**bits intervals of nearly the same width.

    Args:
        weight: any shape, never changed; finite.
        clip: how much and how finely.
    Returns:
        A new tensor of the same shape and dtype; exact zeros stay zeros.
    Source: Tung and Mori 2018, CLIP-Q (CVPR), section 3.1.
    """
    flat = (
        weight.detach().flatten().float().cpu().numpy()
    )  # partial sorting is several times as fast in NumPy
    out = np.zeros_like(flat)
    (above, up), (below, down) = _left(flat, clip.share), _left(-flat, clip.share)
    levels = _levels(up, down, 2**clip.bits)
    if len(up):
        out[above] = _means(up, levels[0])
    if len(down):
        out[below] = -_means(down, levels[1])
    return torch.from_numpy(out).view(weight.shape).to(weight)


def _left(flat: Values, share: float) -> tuple[np.ndarray, Values]:
    """Where positive values are that are not clipped, and the values."""
    where = np.flatnonzero(flat > 0)
    sizes = flat[where]
    if clipped := int(share * len(sizes)):
        threshold = np.partition(sizes, clipped - 1)[clipped - 1]
        kept = sizes > threshold
        ties = len(sizes) - clipped - int(kept.sum())  # of as many as the threshold that stay
        kept[np.flatnonzero(sizes == threshold)[:ties]] = True
        where, sizes = where[kept], sizes[kept]
    return where, sizes


def _levels(up: Values, down: Values, total: int) -> tuple[int, int]:
    """How many intervals each side gets, by its length; at least one if anything lies there."""
    if not len(up) or not len(down):
        return total, total
    lengths = [float(side.max()) - float(side.min()) for side in (up, down)]
    share = lengths[0] / sum(lengths) if sum(lengths) > 0 else 0.5
    first = min(max(round(total * share), 1), total - 1)
    return first, total - first


def _means(sizes: Values, levels: int) -> Values:
    """Each value's interval's mean, of so many intervals of equal width from the smallest to the largest."""
    low, high = float(sizes.min()), float(sizes.max())
    if high - low < SMALLEST:
        return np.full_like(sizes, low)
    index = np.minimum((sizes - low) * (levels / (high - low)), levels - 1).astype(np.int64)
    means = np.bincount(index, sizes, levels) / np.maximum(np.bincount(index, minlength=levels), 1)
    return means.astype(np.float32)[index]


class ClipQ:
    """A constraint of training: in every step each layer is clipped and partitioned anew.

    Training changes exact weights, which are kept aside; a weight that was clipped returns when it has grown.

    Args:
        module: the network in training; its weights are changed in place.
        clips: layer -> what is done to it; `search` finds them.
        keep_zeros: whether weights that are zero at the beginning stay zero, as those that pruning removed.
    Raises:
        ValueError: a layer that is not there or has no weight to quantise.
    Source: Tung and Mori 2018, CLIP-Q (CVPR; TPAMI 2020).
    """

    def __init__(self, module: nn.Module, clips: Mapping[str, Clip], *, keep_zeros: bool = False) -> None:
        self.clips = once(module, clips)
        self._through = Through(module, self.clips, self._round, keep_zeros=keep_zeros)

    @property
    def exact(self) -> dict[str, Tensor]:
        """layer -> its weight before clipping, as training knows it."""
        return self._through.exact

    def set(self, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Clip and partition the network's weights."""
        self._through.set(optimizer)

    def before_step(self) -> None:
        """Put the exact weights in place; the gradients stay those of the partitioned ones."""
        self._through.before_step()

    def after_step(self) -> None:
        """Keep what the step made of the exact weights; clip and partition them."""
        self._through.after_step()

    def _round(self, name: str, weight: Tensor) -> Tensor:
        return clip_and_partition(weight, self.clips[name])
