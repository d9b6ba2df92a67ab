"""How much each block changes what passes through it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from pruning.layers import private_copy

if TYPE_CHECKING:
    from pruning.blocks.types import Block


@dataclass(frozen=True)
class BlockChange:
    """What a block does to its input, over samples and positions (pixels or tokens).

    Args:
        influence: 1 - cosine of the angle between what comes in and what goes out, in 0..2, mean over
            positions; where both are zero it is 0, where one of them is, 1.
        relative: L2 norm of what the block changes as a share of that of what goes out, over all positions.
        positions: how many there were.
    """

    influence: float
    relative: float
    positions: int


@torch.no_grad()
def block_changes(
    module: nn.Module, blocks: Iterable[Block], batches: Iterable[Sequence[Any]]
) -> dict[str, BlockChange]:
    """Run data through a private copy of a network and compare input and output of each block.

    Args:
        module: the network, never touched; it runs in eval mode.
        blocks: from `find_blocks` of this network.
        batches: positional arguments of its forward, one batch after the other.
    Returns:
        Block id -> its change; only blocks that were called.
    Source: Men et al. 2024 (ShortGPT), arXiv:2403.03853, equation 1; the relative length: Samragh et al.
        2023, arXiv:2312.09299.
    """
    probe = private_copy(module, requires_grad=False)
    totals: dict[str, list[float]] = {}
    for block in blocks:
        _watch(probe.get_submodule(block.id), block, totals)
    for batch in batches:
        probe(*batch)
    return {
        name: BlockChange(influence / n, (changed / out) ** 0.5 if out else float(changed > 0), int(n))
        for name, (influence, changed, out, n) in totals.items()
    }


def _watch(part: nn.Module, block: Block, totals: dict[str, list[float]]) -> None:
    """Add up a block's changes; the hooks go with the private copy."""
    known: list[Tensor] = []

    def before(_: nn.Module, *given: Any) -> None:
        known.append(tree_leaves(given)[block.handing.source].clone())  # the block may work in place

    def after(_: nn.Module, __: Any, result: Any) -> None:
        x, y = known.pop().double(), tree_leaves(result)[block.handing.main].double()
        turned = influence(x, y, block.features)
        total = totals.setdefault(block.id, [0.0] * 4)
        sums = turned.sum(), (y - x).square().sum(), y.square().sum(), turned.numel()
        for place, value in enumerate(sums):
            total[place] += float(value)

    part.register_forward_pre_hook(before, with_kwargs=True)
    part.register_forward_hook(after)


def influence(before: Tensor, after: Tensor, features: int) -> Tensor:
    """1 - cosine between two tensors at each position.

    Args:
        before, after: of one shape.
        features: the dimension along which one position's values lie.
    Returns:
        Of that shape without the dimension, in 0..2.
    """
    lengths = before.norm(dim=features), after.norm(dim=features)
    product = lengths[0] * lengths[1]
    same = (lengths[0] == lengths[1]).to(product.dtype)  # where the product is zero: both are zero, or one
    cosine = torch.where(product > 0, (before * after).sum(features) / product, same)
    return (1 - cosine).clamp(0, 2)
