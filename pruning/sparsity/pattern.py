"""Kernel patterns: each kernel keeps four entries in one of a few shapes; beyond that whole kernels go."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from pruning.masks import keep_by_rank
from pruning.sparsity.base import Cut, Cutter, Family, LayerScores, Sparsity, Stops

NAME = "pattern"
ENTRIES = 4  # kept in each kernel
PATTERNS = 8  # in a library
KERNELS = (nn.Conv2d, nn.ConvTranspose2d)


def misfit(layer: nn.Module) -> str:
    """Why a layer has no kernels for patterns, "" if it has."""
    if isinstance(layer, KERNELS) and min(layer.kernel_size) >= 3:
        return ""
    sides = "x".join(map(str, layer.kernel_size)) if isinstance(layer, KERNELS) else ""
    what = f"its kernels are {sides}" if sides else "it is no 2-d convolution"
    return f"{what}, and a kernel pattern needs kernels of at least 3x3"


def library(network: nn.Module, sides: tuple[int, int]) -> Tensor:
    """The patterns most often found best in a network's own kernels of one size.

    A kernel's own best pattern is its centre (of an even side the entry behind the middle) and the three
    largest magnitudes beside it. The most frequent ones make the library: up to 8, of equal ones those whose
    entries come first.

    Args:
        network: the whole network; its 2-d convolutions with kernels of this size are looked at.
        sides: height and width, at least 3.
    Returns:
        (patterns, height * width), bool, True = kept; four in each row.
    Source: Niu et al. 2020, arXiv:2001.00138, where a pattern has four entries of a 3x3 kernel.
    """
    area = sides[0] * sides[1]
    centre = sides[0] // 2 * sides[1] + sides[1] // 2
    codes = []
    for layer in network.modules():
        if isinstance(layer, KERNELS) and tuple(layer.kernel_size) == sides:
            size = layer.weight.detach().cpu().abs().flatten(0, 1).flatten(1).clone()
            size[:, centre] = -1
            beside = size.topk(ENTRIES - 1, dim=1).indices.sort(dim=1).values
            codes.append(beside @ torch.tensor([area**2, area, 1]))
    found, counts = torch.cat(codes).unique(return_counts=True)
    chosen = found[counts.sort(descending=True, stable=True).indices[:PATTERNS]]
    patterns = torch.zeros(len(chosen), area, dtype=torch.bool)
    patterns[:, centre] = True
    for power in range(ENTRIES - 1):
        patterns.scatter_(1, (chosen // area**power % area).unsqueeze(1), True)
    return patterns


def prepare(network: nn.Module) -> Cutter:
    """Cuts by the libraries of this network, each chosen once."""
    known = lru_cache(None)(lambda sides: library(network, sides))
    return lambda view: cut(view, known(tuple(view.scores.shape[2:])))


def cut(view: LayerScores, patterns: Tensor) -> Cut:
    """Each kernel in its best pattern, and whole kernels removed until the ratio is met.

    The ratio is that of the layer's weights, as in every granularity. 0 keeps all. The next possible one
    keeps four entries in every kernel (5/9 of a 3x3 kernel go), in the pattern with the largest sum of
    scores; from there on whole kernels go, those with the lowest such sums first (connectivity pruning). Of
    these counts the one nearest to what was asked is taken.

    Args:
        view: the layer, with weight (a, b, height, width).
        patterns: (patterns, height * width), bool.
    Source: Niu et al. 2020, arXiv:2001.00138; there magnitudes take the place of scores.
    """
    kernels = view.there.flatten(2).any(2)
    area = view.scores[0, 0].numel()
    sums, choice = (view.scores[kernels].flatten(1).double() @ patterns.T.double()).max(1)
    number = len(sums)
    kept = torch.cat([torch.tensor([number * area]), torch.arange(number, -1, -1) * ENTRIES])
    stops = Stops(1 - kept.double() / max(number * area, 1), kept)

    def mask(count: int) -> Tensor:
        if count == number * area:
            return view.there.clone()
        stay = keep_by_rank(sums, count // ENTRIES).unsqueeze(1) & patterns[choice]
        found = torch.zeros_like(view.there)
        found[kernels] = stay.unflatten(1, view.scores.shape[2:])
        return found

    return Cut(number * area, lambda ratio: int(kept[stops.nearest(ratio)]), mask, stops)


PATTERN = Sparsity(
    name=NAME,
    family=NAME,
    prepare=prepare,
    spell=lambda ratio: NAME,
    because="every kernel keeps all of its entries, or all of them keep four or none",
    alone="ranked within this layer, because sums over kernels of other layers are not comparable",
    misfit=misfit,
)

FAMILY = Family(
    name=NAME,
    label="Kernel patterns",
    description=(
        "Each 3x3 kernel keeps four entries, in the best of the eight patterns that suit most of the "
        "network's kernels; all hold the centre. That removes 55.6 %; a higher ratio removes whole "
        "kernels too, the lowest first. Compilers for phones generate code for such patterns. Only for "
        "convolutions with kernels of at least 3x3."
    ),
    source="PatDNN: Niu et al. 2020, arXiv:2001.00138",
    examples=(NAME,),
    form=NAME,
    read=lambda name: PATTERN if name == NAME else None,
)
