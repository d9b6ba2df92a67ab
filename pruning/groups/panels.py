"""A group's weights as small matrices for a picture: how strong each part is, and whose it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pruning.groups.types import Group, Member

CELLS = 128  # of a side of a matrix at most; more are averaged into one
BRIGHTEST = 0.99  # quantile of the weights that gets the strongest colour


@dataclass(frozen=True, eq=False)
class Panel:
    """One matrix of the picture.

    Args:
        name: of the parameter.
        role: of the member: what its rows or columns do.
        shape: of the parameter.
        along: the axis that the units lie along: 0 for rows, 1 for columns.
        strength: (rows, columns) at most CELLS each, 0..1: magnitudes on a scale of their own.
        size: rows and columns before they were averaged into cells.
        runs: (n, 3) long: first entry, number of entries and unit of each run of entries of one unit.
        labels: of the columns, where each is a parameter of its own.
    """

    name: str
    role: str
    shape: tuple[int, ...]
    along: int
    strength: np.ndarray
    size: tuple[int, int]
    runs: np.ndarray
    labels: tuple[str, ...] = ()

    @property
    def pooled(self) -> bool:
        return self.strength.shape != self.size


def matrices(group: Group, tensors: Mapping[str, Tensor], order: Tensor) -> list[Panel]:
    """Every weight of the group with rows or columns that go.

    Args:
        group: whose members are drawn.
        tensors: parameters and buffers of the network by name.
        order: (size,) long, the units as they are to be drawn, first to last.
    """
    return [
        _panel(member, tensors[member.parameter], order)
        for member in group.members
        if tensors[member.parameter].dim() > 1 and member.dim < 2
    ]


def vectors(group: Group, tensors: Mapping[str, Tensor], order: Tensor) -> Panel | None:
    """Biases, scales and shifts side by side, one column each, each on its own scale; None without any.

    Running means and variances are left out: they go along, but nobody has trained them.
    """
    shown = [m for m in group.members if _is_vector(m, tensors) and ".running_" not in m.parameter]
    if not shown:
        return None
    columns = [_norms(tensors[m.parameter], m.dim)[m.index[order]].norm(dim=1) for m in shown]
    strength = torch.stack([_bright(column) for column in columns], dim=1)
    runs = np.stack([np.arange(group.size), np.ones(group.size, int), order.numpy()], axis=1)
    return Panel(
        name="biases, norms",
        role="norm",
        shape=(group.size,),
        along=0,
        strength=_small(strength),
        size=(group.size, len(shown)),
        runs=runs,
        labels=tuple(m.parameter for m in shown),
    )


def _panel(member: Member, tensor: Tensor, order: Tensor) -> Panel:
    full = tensor.detach().cpu().float()
    flat = full.abs() if full.dim() == 2 else full.flatten(2).norm(dim=2)
    length = flat.shape[member.dim]
    place = torch.full((length,), len(order))  # of each entry's unit in the order; the rest come last
    place[member.index[order]] = torch.arange(len(order)).unsqueeze(1)
    arranged = torch.argsort(place, stable=True) if _sorted(order) else torch.arange(length)
    flat, place = flat.index_select(member.dim, arranged), place[arranged]
    return Panel(
        name=member.parameter,
        role=member.role,
        shape=tuple(tensor.shape),
        along=member.dim,
        strength=_small(_bright(flat)),
        size=(flat.shape[0], flat.shape[1]),
        runs=_runs(place, order),
    )


def _sorted(order: Tensor) -> bool:
    """Whether the units are not drawn as they are stored."""
    return not torch.equal(order, torch.arange(len(order)))


def _runs(place: Tensor, order: Tensor) -> np.ndarray:
    """Entries in a row that belong to the same unit, as `Panel.runs`."""
    where, counts = torch.unique_consecutive(place, return_counts=True)
    starts = counts.cumsum(0) - counts
    own = where < len(order)
    return torch.stack([starts[own], counts[own], order[where[own]]], dim=1).numpy()


def _is_vector(member: Member, tensors: Mapping[str, Tensor]) -> bool:
    return tensors[member.parameter].dim() == 1 or member.dim > 1


def _norms(tensor: Tensor, dim: int) -> Tensor:
    """(length of the dimension,) L2 norm over all others."""
    return tensor.detach().cpu().float().movedim(dim, 0).reshape(tensor.shape[dim], -1).norm(dim=1)


def _bright(values: Tensor) -> Tensor:
    """Magnitudes as 0..1; a few outliers share the top."""
    top = torch.quantile(values.flatten()[:: max(1, values.numel() // 100_000)], BRIGHTEST)
    return (values / (top if top > 0 else 1)).clamp(0, 1)


def _small(values: Tensor) -> np.ndarray:
    size = (min(values.shape[0], CELLS), min(values.shape[1], CELLS))
    pooled = F.adaptive_avg_pool2d(values.unsqueeze(0), size)[0]
    return pooled.numpy()
