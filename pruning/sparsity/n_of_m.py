"""N:M: of every M consecutive weights of a row, N stay."""

from __future__ import annotations

import re
from functools import lru_cache, partial

import torch
from torch import Tensor

from pruning.counts import kept_count
from pruning.sparsity.base import Cut, Family, LayerScores, Sparsity, Stops
from pruning.sparsity.layout import as_matrix, from_matrix

NAME = "n:m"
MOST = 64
_FORM = re.compile(r"n:([1-9][0-9]?)")
_SPELLED = re.compile(r"([0-9]{1,2}):([1-9][0-9]?)")


def read(name: str) -> Sparsity | None:
    """The granularity of a name "n:M", 2 <= M <= 64; None for any other."""
    found = _FORM.fullmatch(name)
    length = int(found[1]) if found else 0
    return _of_length(length) if 2 <= length <= MOST else None


def read_spelled(name: str) -> tuple[str, float] | None:
    """The common spelling "2:4" as granularity and ratio, ("n:4", 0.5); None for anything else.

    Raises:
        ValueError: if it is of that form, and there is no such granularity.
    """
    found = _SPELLED.fullmatch(name)
    if found is None:
        return None
    stay, length = int(found[1]), int(found[2])
    if not 2 <= length <= MOST or stay > length:
        raise ValueError(f"{name!r} is no N:M with N up to M and M in 2..{MOST}; choose 2:4, say.")
    return f"n:{length}", (length - stay) / length


@lru_cache(MOST)
def _of_length(length: int) -> Sparsity:
    def spell(ratio: float) -> str:
        return f"{kept_count(length, ratio, minimum=0)}:{length}"

    return Sparsity(
        name=f"n:{length}",
        family=NAME,
        prepare=lambda network: partial(cut, length=length),
        spell=spell,
        because=f"of every {length} weights in a row a whole number stays",
        alone="ranked within this layer, because N:M keeps the same number in every run",
    )


def cut(view: LayerScores, length: int) -> Cut:
    """Of every `length` consecutive weights along a row of the layer's matrix (`as_matrix`) N stay.

    N = kept_count(length, ratio), so the possible ratios are k / length. Rows are those that are left when
    channels go: runs close up over the gaps, as they do in the smaller network. The last run of a row is
    shorter where the length does not divide it; it keeps its share, rounded to the nearest integer, a half in
    favour of keeping, which is never more than N.

    Args:
        view: the layer.
        length: M.
    Source: 2:4 in Mishra et al. 2021, arXiv:2104.08378; N:M in Zhou et al. 2021, arXiv:2102.04010.
    """
    there = as_matrix(view.layer, view.there)
    closed = (~there).to(torch.uint8).sort(dim=1, stable=True).indices  # what is left, in order, comes first
    rank, lengths = _ranked(as_matrix(view.layer, view.scores), there, closed, length)

    def stays(number: int, of: Tensor) -> Tensor:
        return (2 * of * number + length) // (2 * length)

    many = torch.bincount(lengths.flatten(), minlength=length + 1)
    each = torch.arange(length + 1)
    kept = [int((many * stays(number, each)).sum()) for number in range(length, -1, -1)]
    stops = Stops(torch.arange(length + 1, dtype=torch.float64) / length, torch.tensor(kept))

    def mask(count: int) -> Tensor:
        keep = (rank < stays(length - kept.index(count), lengths).unsqueeze(2)).flatten(1)
        matrix = torch.zeros_like(there).scatter_(1, closed, keep[:, : there.shape[1]])
        return from_matrix(view.layer, matrix, tuple(view.scores.shape))

    return Cut(kept[0], lambda ratio: kept[length - kept_count(length, ratio, minimum=0)], mask, stops)


def _ranked(scores: Tensor, there: Tensor, closed: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Each weight's rank in its run, 0 = highest: (rows, runs, length); the runs' lengths: (rows, runs)."""
    pad = (0, -scores.shape[1] % length)
    moved = scores.masked_fill(~there, -torch.inf).gather(1, closed)
    runs = torch.nn.functional.pad(moved, pad, value=-torch.inf).unflatten(1, (-1, length))
    lengths = torch.nn.functional.pad(there.gather(1, closed), pad).unflatten(1, (-1, length)).sum(2)
    order = runs.sort(dim=2, descending=True, stable=True).indices
    return torch.empty_like(order).scatter_(2, order, torch.arange(length).expand_as(order)), lengths


FAMILY = Family(
    name=NAME,
    label="N:M",
    description=(
        "Of every M consecutive weights along a layer's inputs N stay, such as 2 of every 4. NVIDIA's "
        "tensor cores (from Ampere on) multiply 2:4 matrices in half precision faster; elsewhere zeros "
        "in place save no time. Coarser than single weights, finer than blocks."
    ),
    source="2:4: Mishra et al. 2021, arXiv:2104.08378; N:M: Zhou et al. 2021, arXiv:2102.04010",
    examples=("n:4", "n:8", "n:16"),
    form=f"n:M (2 to {MOST})",
    read=read,
)
