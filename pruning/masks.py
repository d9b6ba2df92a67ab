"""Choose what stays by rank, and set the rest to zero in a copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from pruning.layers import duplicate

if TYPE_CHECKING:
    from pruning.groups import Group, Structure
    from pruning.plan import Plan


def keep_by_rank(scores: Tensor, kept: int) -> Tensor:
    """Keep exactly the `kept` highest scores; among equal ones those that come first.

    Args:
        scores: any shape; higher = keep; infinities are allowed.
        kept: how many, in 0..number of scores.
    Returns:
        bool, like `scores`, True = keep.
    Raises:
        ValueError: if there are fewer scores than are to be kept, or one is NaN.
    """
    flat = scores.detach().flatten()
    if not 0 <= kept <= flat.numel():
        raise ValueError(f"Cannot keep {kept} of {flat.numel()} entries.")
    if flat.numel() and bool(flat.amax().isnan()):  # the largest of what contains NaN is NaN
        raise ValueError("A score is NaN, so the entries cannot be ranked; check the weights and the data.")
    if kept in (0, flat.numel()):
        return torch.full(scores.shape, kept > 0, dtype=torch.bool, device=scores.device)
    threshold = _lowest_of_highest(flat, kept)
    keep = flat >= threshold
    too_many = int(keep.count_nonzero()) - kept
    if too_many:
        ties = torch.nonzero(flat == threshold).flatten()
        keep[ties[len(ties) - too_many :]] = False
    return keep.reshape(scores.shape)


def _lowest_of_highest(flat: Tensor, kept: int) -> Tensor:
    """The lowest score that stays."""
    place = flat.numel() - kept
    if flat.device.type != "cpu" or flat.dtype is torch.bfloat16:
        return flat.kthvalue(place + 1).values
    return torch.as_tensor(np.partition(flat.numpy(), place)[place])  # ten times as fast


@torch.no_grad()
def apply_masks(module: nn.Module, plan: Plan) -> nn.Module:
    """A copy with the same shapes in which all that the plan removes is zero, and dropped blocks are gone.

    Of a removed unit every entry becomes zero: what makes it, what scales and shifts it, and what reads it;
    only running variances stay, because they are divided by. The copy's outputs are those of the network that
    `shrink` makes.

    Args:
        module: the network, never changed.
        plan: made for this network.
    Raises:
        ValueError: if the plan was made for a network of other shapes.
    """
    from pruning.blocks import put_skips

    check_fits(module, plan)
    masked = duplicate(module)
    tensors = named_tensors(masked)
    for name, keep in plan.structure.checked(plan.channels).items():
        zero_units(tensors, plan.structure.group(name), keep)
    for layer, keep in plan.weights.items():
        weight = tensors[f"{layer}.weight" if layer else "weight"]
        weight.masked_fill_(~keep.to(weight.device), 0)
    put_skips(masked, plan.blocks)
    return masked


def zero_units(tensors: Mapping[str, Tensor], group: Group, keep: Tensor) -> None:
    """Set every entry of the removed units to zero, in place.

    Args:
        tensors: parameters and buffers by name.
        group: whose units are removed.
        keep: (size,) bool, True = keep.
    """
    for member in group.members:
        if not member.divides:
            tensor = tensors[member.parameter]
            tensor.index_fill_(member.dim, member.index[~keep].flatten().to(tensor.device), 0)


def survivors(structure: Structure, keep: Mapping[str, Tensor]) -> dict[str, dict[int, Tensor]]:
    """What is cut: parameter or buffer -> dimension -> (n,) bool, True = stays."""
    found: dict[str, dict[int, Tensor]] = {}
    for name, mask in keep.items():
        for member in structure.group(name).members:
            dims = found.setdefault(member.parameter, {})
            size = structure.shapes[member.parameter][member.dim]
            stays = dims.setdefault(member.dim, torch.ones(size, dtype=torch.bool))
            stays[member.index[~mask].flatten()] = False
    return found


def cut(tensor: Tensor, dims: Mapping[int, Tensor]) -> Tensor:
    """A tensor without the entries that go.

    Args:
        dims: dimension -> (n,) bool, True = stays; dimensions that are not named stay whole.
    """
    for dim, stays in dims.items():
        tensor = tensor.index_select(dim, torch.nonzero(stays).flatten().to(tensor.device))
    return tensor


def named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer by its first name, the very tensors."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def check_fits(module: nn.Module, plan: Plan) -> None:
    """Refuse a plan that was made for a network of other shapes.

    Raises:
        ValueError: naming the first tensor that differs.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in named_tensors(module).items()}
    for name in [*plan.structure.shapes, *shapes]:
        planned, there = plan.structure.shapes.get(name), shapes.get(name)
        if planned != there:
            raise ValueError(
                f"The plan was made for another network: there {name!r} has shape {planned}, here {there}."
            )
