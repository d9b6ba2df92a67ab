"""Blocks: rectangles of a layer's matrix go as a whole."""

from __future__ import annotations

import re
from functools import lru_cache, partial

import torch
from torch import Tensor

from pruning.sparsity.base import Cut, Family, LayerScores, Parts, Sparsity, Stops
from pruning.sparsity.layout import as_matrix, from_matrix

NAME = "block"
MOST = 256
_FORM = re.compile(r"([1-9][0-9]{0,2})x([1-9][0-9]{0,2})")


def read(name: str) -> Sparsity | None:
    """The granularity of a name "RxC", each 1 to 256; None for any other."""
    found = _FORM.fullmatch(name)
    if found is None or max(map(int, found.groups())) > MOST:
        return None
    return _of_shape(int(found[1]), int(found[2]))


@lru_cache(256)
def _of_shape(rows: int, columns: int) -> Sparsity:
    name = f"{rows}x{columns}"
    return Sparsity(
        name=name,
        family=NAME,
        prepare=lambda network: partial(cut, rows=rows, columns=columns),
        spell=lambda ratio: name,
        because=f"blocks of {name} go as a whole",
    )


def cut(view: LayerScores, rows: int, columns: int) -> Cut:
    """Blocks of the layer's matrix (`as_matrix`), ranked by the mean score of their weights.

    The matrix is what is left of it when channels go. Blocks at its lower and right border are smaller. Of
    the counts that whole blocks allow, the one nearest to what was asked is taken.

    Args:
        view: the layer.
        rows: outputs in a block.
        columns: consecutive weights of a row in a block.
    Source: Narang et al. 2017, arXiv:1711.02782; columns such as 16x1: Tan et al. 2022, "Accelerating Sparse
        Convolution with Column Vector-Wise Sparsity", NeurIPS.
    """
    there = as_matrix(view.layer, view.there)
    block, sizes = _blocks(there, rows, columns)
    scores = as_matrix(view.layer, view.scores)[there].double()
    means = torch.bincount(block, scores, len(sizes)) / sizes
    best = means.sort(descending=True, stable=True).indices
    counts = torch.cat([torch.zeros(1, dtype=torch.long), sizes[best].cumsum(0)])  # of the best 0, 1, ...
    size = int(counts[-1])
    kept = counts.flip(0)
    stops = Stops(1 - kept.double() / max(size, 1), kept)

    def mask(count: int) -> Tensor:
        stays = torch.zeros(len(sizes), dtype=torch.bool)
        stays[best[: int(torch.searchsorted(counts, count))]] = True
        matrix = torch.zeros_like(there)
        matrix[there] = stays[block]
        return from_matrix(view.layer, matrix, tuple(view.scores.shape))

    return Cut(size, lambda ratio: int(kept[stops.nearest(ratio)]), mask, stops, Parts(means, sizes))


def _blocks(there: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """The block of each weight that is there, numbered row after row, and how many weights each block has."""
    row = (there.any(1).cumsum(0) - 1) // rows
    column = (there.cumsum(1) - 1) // columns
    number = (row.unsqueeze(1) * (there.shape[1] // columns + 1) + column)[there]
    sizes = torch.bincount(number)
    held = sizes > 0  # numbers that no weight has are left out
    return (held.cumsum(0) - 1)[number], sizes[held]


FAMILY = Family(
    name=NAME,
    label="Blocks",
    description=(
        "Rectangles of a layer's matrix (outputs x inputs) go as a whole, ranked by the mean score of "
        "their weights. Sparse kernels skip whole blocks, and larger blocks make that cheaper, at a "
        "greater loss of accuracy; 4x1 and 16x1 hold the same input of neighbouring outputs."
    ),
    source="Narang et al. 2017, arXiv:1711.02782",
    examples=("4x1", "16x1", "32x32"),
    form=f"RxC (1 to {MOST} each)",
    read=read,
)
