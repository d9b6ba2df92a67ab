"""Convolutions as products of matrices, where that is faster.

At the edges of a small image much of a filter lies outside: of one of 3 x 3 on an image of 2 x 2, five of
nine entries at every place. A matrix that holds each entry where it meets the image leaves these out. Filters
of 1 x 1 are matrices as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import torch
from torch import Tensor
from torch.nn import functional

from pruning.groups.record import Ref
from pruning.replay.onednn import convolved, linear
from pruning.replay.steps import Step

MOST = 2**20  # numbers in a matrix: more than in the filter, and each version of the filter makes its own

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Product:
    """What a convolution becomes.

    Args:
        weight, bias: that it will read.
        size: height and width of its images.
        made: height and width of its results.
    """

    weight: Ref
    bias: Ref
    size: Sizes
    made: Sizes


def find_products(
    steps: Sequence[Step], shapes: Sequence[Sizes], moving: Collection[Ref]
) -> dict[int, tuple[Sizes, Sizes]]:
    """Numbers of the convolutions that are worth it -> height and width of their images and results.

    Args:
        steps: of a network, convolutions among them as `convolved`.
        shapes: of every tensor.
        moving: what depends on the images.
    """
    found = {}
    for number, step in enumerate(steps):
        if step.function is not convolved or step.values[-1] != 1 or step.values[1] in moving:
            continue
        x, weight, made = (shapes[ref.index] for ref in (*step.values[:2], step.outputs[0]) if ref)
        small = prod(x[2:]) <= prod(weight[2:]) and prod(x[1:]) * prod(made[1:]) <= MOST
        if small or _by_place(weight[2:], *step.values[5:7]):
            found[number] = x[2:], made[2:]
    return found


def unroll(steps: Sequence[Step], products: Mapping[int, Product]) -> tuple[list[Step], list[Step]]:
    """Steps that make the matrices, of parameters alone, and the same steps with products in their places."""
    fixed, moving = [], list(steps)
    for number, one in products.items():
        x, weight, bias, other, relu, *settings, _ = steps[number].values
        fixed.append(Step(unrolled, (weight, bias, one.size, *settings), (), (one.weight, one.bias)))
        values = (x, one.weight, None if bias is None else one.bias, other, relu, one.made)
        moving[number] = Step(multiplied, values, (), steps[number].outputs)
    return fixed, moving


def unrolled(
    weight: Tensor,
    bias: Tensor | None,
    size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> tuple[Tensor, Tensor | None]:
    """A convolution's parameters for `multiplied`.

    Args:
        weight: (out, in, h, w).
        bias: (out,) or None.
        size: (H, W) of the images.
        stride, padding, dilation: of the convolution, by rows and columns.
    Returns:
        (places made * out, H * W * in) and (places made * out,) or None; for filters that take each place by
        itself (out, in) and (out,) or None.
    """
    kernel = tuple(weight.shape[2:])
    if _by_place(kernel, stride, padding):
        return weight.flatten(1).contiguous(), bias
    entries = _entries(tuple(size), kernel, tuple(stride), tuple(padding), tuple(dilation))
    with_zero = functional.pad(weight.flatten(2), (0, 1))  # for what lies outside of the filter
    matrix = with_zero[..., entries.to(weight.device)].permute(2, 0, 3, 1)
    made = len(entries)
    return matrix.reshape(made * len(weight), -1), None if bias is None else bias.repeat(made)


def multiplied(
    x: Tensor, weight: Tensor, bias: Tensor | None, other: Tensor | None, relu: bool, made: Sequence[int]
) -> Tensor:
    """As `convolved`, with what `unrolled` makes; channels lie last.

    Args:
        x: (images, in, H, W).
        weight, bias: for whole images, or for each place.
        other: (images, out, *made), added; or None.
        relu: whether a ReLU follows.
        made: height and width of the result.
    """
    rows = x.permute(0, 2, 3, 1).reshape(-1, weight.shape[1])
    added = None if other is None else other.permute(0, 2, 3, 1).reshape(-1, weight.shape[0])
    return linear(rows, weight, bias, added, relu).view(len(x), *made, -1).permute(0, 3, 1, 2)


def _by_place(kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]) -> bool:
    """Whether each place of an image is taken by itself."""
    return prod(kernel) == prod(stride) == 1 and not any(padding)


@lru_cache(maxsize=256)
def _entries(size: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> Tensor:
    """(places made, places): which entry of the filter lies over a place; behind its last one for none."""
    places, taps = prod(size), prod(kernel)
    numbered = torch.arange(1.0, places + 1).view(1, 1, *size)  # 0 is outside of the image
    read = functional.unfold(numbered, kernel, dilation, padding, stride)[0].long().T  # (places made, taps)
    found = torch.full((len(read), places + 1), taps)
    return found.scatter(1, read, torch.arange(taps).expand(len(read), -1))[:, 1:]
