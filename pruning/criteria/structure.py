"""Criteria for whole channels that need no data: BatchNorm scales, and likeness to other channels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pruning.criteria.base import Criterion, register
from pruning.criteria.views import GroupView, take_units


def scale_sum(scales: Sequence[Tensor]) -> Tensor:
    """Sum of absolute scales of each unit: tensors (size, m) -> (size,).

    Source: Liu et al. 2017, arXiv:1708.06519.
    """
    return torch.stack([part.abs().sum(1) for part in scales]).sum(0)


def distance_sum(slices: Sequence[Tensor]) -> Tensor:
    """Sum of each unit's Euclidean distances to all units of its group.

    The unit with the smallest sum lies nearest to the geometric median: the others can stand in for it.

    Args:
        slices: (size, n) each; a unit's point is all its slices, one after the other.
    Returns:
        (size,), >= 0.
    Source: He et al. 2018, arXiv:1811.00250.
    """
    points = torch.cat(list(slices), dim=1)
    # The other mode subtracts large dot products, and gives distances between equal points that are not 0.
    return torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").sum(1)


def _batch_norm_scales(view: GroupView) -> list[Tensor]:
    return [
        take_units(view.tensor(member), member.dim, member.index)
        for member in view.group.members
        if member.role == "norm"
        and member.parameter.rpartition(".")[2] == "weight"
        and isinstance(view.owner(member)[1], nn.modules.batchnorm._BatchNorm)
    ]


def _lacks_batch_norm(view: GroupView) -> str:
    if _batch_norm_scales(view):
        return ""
    return "no BatchNorm with a scale acts on its channels"


register(
    Criterion(
        name="bn_scale",
        label="BatchNorm scale",
        description=(
            "A channel that its BatchNorm scales down matters least (network slimming). Score: the "
            "absolute scale, summed over all BatchNorms of the group. Works best for networks trained "
            "with an L1 penalty on the scales. Groups without BatchNorm have no such score."
        ),
        source="Liu et al. 2017, arXiv:1708.06519",
        units=lambda view: scale_sum(_batch_norm_scales(view)),
        misfit=_lacks_batch_norm,
        comparable=True,
    )
)

register(
    Criterion(
        name="fpgm",
        label="Geometric median (FPGM)",
        description=(
            "A channel that resembles the others can be replaced by them. Score: the sum of Euclidean "
            "distances between the weights that produce it and those of each other channel of the group. "
            "It removes the redundant, not the small."
        ),
        source="He et al. 2018, arXiv:1811.00250",
        units=lambda view: distance_sum(view.weights()),
    )
)
