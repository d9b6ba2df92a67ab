"""Criteria that look at nothing but the sizes of weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pruning.criteria.base import Criterion, register
from pruning.criteria.views import LayerView


def l1_norm(slices: Sequence[Tensor]) -> Tensor:
    """Sum of absolute values of each unit over all its weights: tensors (size, n) -> (size,).

    Source: Li et al. 2016, arXiv:1608.08710.
    """
    return torch.stack([part.abs().sum(1) for part in slices]).sum(0)


def l2_norm(slices: Sequence[Tensor]) -> Tensor:
    """Root of the sum of squares of each unit over all its weights: tensors (size, n) -> (size,).

    Source: He et al. 2018, arXiv:1808.06866.
    """
    return torch.stack([part.square().sum(1) for part in slices]).sum(0).sqrt()


def lamp(squares: Tensor) -> Tensor:
    """Each square divided by the sum of itself and of all that are larger.

    Args:
        squares: squared magnitudes of what competes in one layer, any shape, >= 0.
    Returns:
        Of the same shape, in 0..1; the largest gets 1. Equal squares rank by position.
    Source: Lee et al. 2020, arXiv:2010.07611.
    """
    ordered, position = squares.flatten().sort(stable=True)
    not_smaller = ordered.flip(0).cumsum(0).flip(0)
    scores = torch.empty_like(ordered)
    scores[position] = ordered / not_smaller.clamp_min(torch.finfo(ordered.dtype).tiny)
    return scores.reshape(squares.shape)


def random_scores(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Uniform in 0..1."""
    return torch.rand(tuple(shape), generator=generator)


def _magnitude(view: LayerView) -> Tensor:
    return view.weight.abs()


register(
    Criterion(
        name="l1",
        label="L1 norm",
        description=(
            "Small weights matter least. A channel's score is the sum of the absolute values of the "
            "weights that produce it, over all layers of its group; a single weight's is its absolute "
            "value. Scores of different layers depend on their sizes and their initialisation. A whole "
            "layer's is the sum over all its parameters: a baseline, large layers win."
        ),
        source=(
            "Li et al. 2016, arXiv:1608.08710; single weights: Han et al. 2015, arXiv:1506.02626; whole "
            "layers: Kim et al. 2024, arXiv:2402.02834"
        ),
        weights=_magnitude,
        units=lambda view: l1_norm(view.weights()),
        layers=lambda view: l1_norm([torch.cat(view.weights(), 1)]),
    )
)

register(
    Criterion(
        name="l2",
        label="L2 norm",
        description=(
            "Small weights matter least. A channel's score is the root of the sum of squares of the "
            "weights that produce it, over all layers of its group: few large weights count more than "
            "with L1. A single weight's is its absolute value, the same as L1. A whole layer's is that of "
            "all its parameters: a baseline, large layers win."
        ),
        source="He et al. 2018, arXiv:1808.06866; single weights: Han et al. 2015, arXiv:1506.02626",
        weights=_magnitude,
        units=lambda view: l2_norm(view.weights()),
        layers=lambda view: l2_norm([torch.cat(view.weights(), 1)]),
    )
)

register(
    Criterion(
        name="lamp",
        label="LAMP",
        description=(
            "Magnitude made comparable between layers: a weight's square divided by the sum of the "
            "squares of all weights of its layer that are not smaller. Within a layer it ranks as "
            "magnitude does; with global scope it finds each layer's ratio by itself and never empties a "
            "layer. For channels the same formula is applied to their squared L2 norms (our extension, "
            "the paper has single weights)."
        ),
        source="Lee et al. 2020, arXiv:2010.07611",
        weights=lambda view: lamp(view.weight.square()),
        units=lambda view: lamp(l2_norm(view.weights()).square()),
        comparable=True,
    )
)

register(
    Criterion(
        name="random",
        label="Random",
        description=(
            "Scores drawn at random from the recipe's seed: what every other criterion has to beat. A "
            "layer's or group's scores depend on the seed and its name only."
        ),
        source="a baseline; how strong it is: Liu et al. 2022, arXiv:2202.02643",
        weights=lambda view: random_scores(view.weight.shape, view.generator()),
        units=lambda view: random_scores((view.group.size,), view.generator()),
        layers=lambda view: random_scores((1,), view.generator()),
        comparable=True,
    )
)
