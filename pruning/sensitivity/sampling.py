"""A sample of images that tells how the accuracy of a network changes, and how surely.

Images come in strata. A prediction that changes is nearly always one that was nearly undecided, so right
images with a small margin, and wrong ones, come sooner than the rest: their share of the sample is larger,
and as every stratum is weighted by its true size, the estimate stays unbiased.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

FIRST, GROWTH, LAST = 96, 1.5, 0.9  # images of the first look; then this many times more; near N: all
CLOSE, SOONER = 0.15, 3.0  # share of the right images called close; how much sooner these and wrong ones come


def looks(total: int) -> tuple[int, ...]:
    """Numbers of images at which a point is looked at: geometric, and last all of them."""
    found, n = [], float(FIRST)
    while n <= LAST * total:
        found.append(round(n))
        n *= GROWTH
    return (*found, total)


def strata(right: Tensor, margin: Tensor) -> Tensor:
    """Which images are alike in how easily their prediction changes.

    Args:
        right, margin: (N,), as for `Adaptive`.
    Returns:
        (N,), long: 0 for right ones with a small margin, 1 for the other right ones, 2 for wrong ones.
    """
    found = torch.where(right, 1, 2)
    places = right.nonzero().flatten()
    order = margin[places].nan_to_num(nan=-math.inf).argsort(stable=True)
    found[places[order[: round(CLOSE * len(places))]]] = 0
    return found


def shuffled(strata: Tensor, seed: int) -> Tensor:
    """A random order in which images of strata 0 and 2 come `SOONER` times as soon as those of 1.

    The images of each stratum among the first n are a simple random sample of it, and how many they are is
    fixed in advance.

    Returns:
        (N,), long: positions of the images.
    """
    generator = torch.Generator().manual_seed(seed)
    time = torch.empty(len(strata), dtype=torch.float64)
    for stratum, speed in enumerate((SOONER, 1.0, SOONER)):
        places = (strata == stratum).nonzero().flatten()
        mixed = places[torch.randperm(len(places), generator=generator)]
        time[mixed] = (torch.arange(len(places), dtype=torch.float64) + 0.5) / max(1, len(places)) / speed
    return time.argsort(stable=True)


def change(
    changed: Sequence[int], seen: Sequence[int], sizes: Sequence[int], z: float
) -> tuple[float, float, float]:
    """How much the accuracy on all images changes, from a sample of each stratum.

    Args:
        changed, seen, sizes: of each stratum, the images that changed, of those measured, of all there are;
            in the last stratum a change is a gain, in the others a loss.
        z: standard errors.
    Returns:
        (value, low, high), in [-1, 1].
    Source: the strata's intervals are joined by the square-and-add rule of Zou and Donner 2008, Statistics in
        Medicine 27, 1693, which needs no normal distribution and so serves where nothing changed.
    """
    total, value, below, above = sum(sizes), 0.0, 0.0, 0.0
    for i in range(len(sizes)):
        share, low, high = proportion(changed[i], seen[i], sizes[i], z)
        weight, gain = sizes[i] / total, i == len(sizes) - 1
        value += weight * share if gain else -weight * share
        down, up = (share - low, high - share) if gain else (high - share, share - low)
        below, above = below + (weight * down) ** 2, above + (weight * up) ** 2
    return value, value - math.sqrt(below), value + math.sqrt(above)


def proportion(hits: int, n: int, total: int, z: float) -> tuple[float, float, float]:
    """The share of hits among `total`, from n drawn without replacement.

    Returns:
        (share, low, high); never a point unless n is the total, and never less or more than is certain.
    Source: Wilson 1927, JASA 22, 209, with n (total - 1) / (total - n) in place of n, because the variance of
        a sample without replacement is that much smaller (Cochran 1977, Sampling Techniques, section 3.2).
    """
    if n == 0:
        return (0.5, 0.0, 1.0) if total else (0.0, 0.0, 0.0)
    share = hits / n
    if n == total:
        return share, share, share
    m = n * (total - 1) / (total - n)
    centre = (share + z * z / (2 * m)) / (1 + z * z / m)
    half = z / (1 + z * z / m) * math.sqrt(share * (1 - share) / m + z * z / (4 * m * m))
    low, high = max(centre - half, hits / total), min(centre + half, 1 - (n - hits) / total)
    return share, min(low, share), max(high, share)
