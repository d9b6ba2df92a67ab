"""The parameters of CLIP-Q: how much of each layer is clipped, and how many bits it gets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pruning.device import device_of
from pruning.evaluate import split_batches
from pruning.layers import duplicate
from pruning.quantise.clip import Clip, clip_and_partition
from pruning.quantise.network import once, weight_of

if TYPE_CHECKING:
    from pruning.tasks import Task

SHARES = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
BITS = (1, 2, 3, 4, 6, 8)
FLOAT_BITS = 32
_HALVINGS = 60  # of the price's logarithm, until it cannot be told apart


@dataclass(frozen=True)
class Tried:
    """What one setting does to one layer, all others being as they were.

    Args:
        layer: its name.
        clip: what was done to it.
        bits: that its weights then take, as `size_of` guesses.
        change: of the outputs, without any training: sum of squares over that of the outputs themselves, each
            less their mean over the images.
        accuracy: in 0..1.
    """

    layer: str
    clip: Clip
    bits: float
    change: float
    accuracy: float


@dataclass(frozen=True)
class Found:
    """What a search comes to.

    Args:
        clips: layer -> what is done to it, for `ClipQ`.
        ratio: 32 bits a weight over the guessed bits, of the layers searched.
        tried: everything that was measured.
    """

    clips: dict[str, Clip]
    ratio: float
    tried: tuple[Tried, ...]


def size_of(count: int, clip: Clip) -> float:
    """Bits that so many weights take at least: where zeros are costs the entropy of that, a value its bits.

    Source: the entropy of a coin, Shannon 1948; codebooks, which are small, are left out.
    """
    p = clip.share
    where = -sum(q * math.log2(q) for q in (p, 1 - p) if q > 0)
    return count * (where + (1 - p) * clip.bits)


def search(
    module: nn.Module,
    task: Task,
    layers: Iterable[str],
    *,
    ratio: float,
    shares: Sequence[float] = SHARES,
    bits: Sequence[int] = BITS,
    split: str = "validation",
    limit: int = 1000,
    on_tried: Callable[[Tried], None] | None = None,
) -> Found:
    """Choose what is clipped of each layer, and its bits, so that together they are as small as asked.

    Every setting of every layer is measured by itself, without training. Then one price of a bit is looked
    for at which the layers, each choosing the setting of least change plus price times size, just get small
    enough together. The change is that of the outputs, squared: small changes in different layers add up, and
    unlike the loss of a network that is nearly always right it tells small ones apart.

    The paper searches all layers together, by Bayesian optimisation (a Gaussian process) of the error and the
    size after a little training. This search sees no interplay of layers and no recovery; but it runs each
    setting once, always gives the same, and shows everything that it has seen.

    Args:
        module: the network, never changed.
        task: whose split is measured on.
        layers: to choose for; those that share a weight are one.
        ratio: 32 bits a weight over the bits that are left, at least; above 1.
        shares, bits: to choose from; `Clip` says what they are.
        split: of the task.
        limit: images at most.
        on_tried: called with each measurement.
    Raises:
        ValueError: a layer without a weight, a ratio that cannot be reached, nothing to choose from.
    Source: Tung and Mori 2018, CLIP-Q (CVPR), section 3.2; choosing by a price: Shoham and Gersho 1988,
        "Efficient bit allocation for an arbitrary set of quantizers" (IEEE Trans. ASSP 36).
    """
    clips = [Clip(share, number) for share in shares for number in bits]
    names = list(once(module, dict.fromkeys(layers)))
    if not clips or not names:
        raise ValueError("There is nothing to choose from; name layers, shares and bits.")
    full = {name: FLOAT_BITS * weight_of(module, name).numel() for name in names}
    least = sum(min(size_of(full[name] // FLOAT_BITS, clip) for clip in clips) for name in names)
    wanted = sum(full.values()) / ratio if ratio > 1 else 0.0
    if not least <= wanted:
        most = sum(full.values()) / least
        raise ValueError(
            f"With these shares and bits the layers get smaller by up to {most:.1f} times, and {ratio:g} was "
            "asked; ask for a ratio in between."
        )
    tried = []
    for one in _measure(module, task, names, clips, split, limit):
        tried.append(one)
        if on_tried:
            on_tried(one)
    chosen = _choose(names, tried, wanted)
    total = sum(one.bits for one in chosen.values())
    return Found({name: one.clip for name, one in chosen.items()}, sum(full.values()) / total, tuple(tried))


@torch.no_grad()
def _measure(
    module: nn.Module, task: Task, names: list[str], clips: list[Clip], split: str, limit: int
) -> Iterable[Tried]:
    """One layer after the other, in a copy whose weight is put back each time."""
    copy = duplicate(module).eval()
    total, batches = split_batches(task, split, batch_size=256, limit=limit)
    images = [(x.to(device_of(copy)), y.to(device_of(copy))) for x, y in batches]
    targets = torch.cat([y for _, y in images])[:total]

    def outputs() -> Tensor:
        return torch.cat([copy(x) for x, _ in images])[:total].double()

    dense = outputs()
    size = (dense - dense.mean(0)).square().sum().clamp_min(1e-30)
    for name in names:
        weight = weight_of(copy, name)
        before = weight.detach().clone()
        for clip in clips:
            weight.copy_(clip_and_partition(before, clip))
            got = outputs()
            change = float((got - dense).square().sum() / size)
            right = float((got.argmax(1) == targets).double().mean())
            yield Tried(name, clip, size_of(weight.numel(), clip), change, right)
        weight.copy_(before)


def _choose(names: list[str], tried: list[Tried], wanted: float) -> dict[str, Tried]:
    """The settings at the lowest price of a bit at which they fit; bisected: a price makes nothing larger."""
    by_layer = {name: [one for one in tried if one.layer == name] for name in names}

    def at(price: float) -> dict[str, Tried]:
        # Of equal ones the smaller: a change that is no number is worse than any other.
        return {
            name: min(options, key=lambda one: (_finite(one.change) + price * one.bits, one.bits))
            for name, options in by_layer.items()
        }

    low, high = -60.0, 60.0  # powers of two, of change a bit
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if sum(one.bits for one in at(2.0**middle).values()) <= wanted:
            high = middle
        else:
            low = middle
    return at(2.0**high)


def _finite(change: float) -> float:
    return change if math.isfinite(change) else 1e30
