"""What is known about a network's coupled channels: plain records, no behaviour beyond looking things up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from pruning.groups.choices import DEFAULT, Choices

Role = Literal["producer", "norm", "consumer"]
WorkKind = Literal["convolution", "linear", "attention", "matmul"]
Kind = Literal["filter", "neuron", "head", "inside-head", "embedding", "recurrent unit"]
Grade = Literal["exact", "statistics"]


@dataclass(frozen=True, eq=False)
class Member:
    """The entries of one dimension of one parameter that live and die with the units of a group.

    Args:
        parameter: qualified name of a parameter or buffer ("layer1.0.bn1.running_mean").
        dim: the dimension whose entries are listed.
        role: "producer" makes the units (rows of a weight, its bias), "norm" scales or shifts them one by
            one, "consumer" reads them (columns of the next weight).
        index: (size, m) long; row u holds the m entries of that dimension which belong to unit u.
        divides: whether it is divided by (a running variance, the direction of a weight norm), so that a mask
            must not set it to zero.
    """

    parameter: str
    dim: int
    role: Role
    index: Tensor
    divides: bool = False

    @property
    def layer(self) -> str:
        """Module path of the layer that holds the parameter; the parameter's own name if it has no layer."""
        return self.parameter.rpartition(".")[0] or self.parameter


@dataclass(frozen=True, eq=False)
class Group:
    """Units that one ratio controls: removing a unit removes its entries in every member.

    Args:
        id: layer of the first producer, with ":2", ":3" ... when that layer starts several groups.
        size: number of units.
        kind: what a unit is.
        members: in the order of the forward pass.
        why: one or two sentences for a reader who knows PyTorch.
        operations: what couples the members, as "module path: operation", in order.
        minimum: units that always stay.
        grade: "exact": the smaller network answers like the one whose removed entries are zero; "statistics":
            it answers like that one with means and variances taken over the entries that stay.
    """

    id: str
    size: int
    kind: Kind
    members: tuple[Member, ...]
    why: str
    operations: tuple[str, ...] = ()
    minimum: int = 1
    grade: Grade = "exact"

    @cached_property
    def multiple(self) -> int:
        """Outputs of a producer that go with each unit: what it keeps is a multiple of this."""
        made = [member.index.shape[1] for member in self.members if member.role == "producer"]
        return max(made, default=1)

    @cached_property
    def producers(self) -> tuple[str, ...]:
        """Layers that make the units, in order."""
        return _layers(self.members, "producer")

    @cached_property
    def consumers(self) -> tuple[str, ...]:
        """Layers that read the units, in order."""
        return _layers(self.members, "consumer")


@dataclass(frozen=True)
class Fixed:
    """A dimension of a parameter that no group may shorten, and the reason."""

    parameter: str
    dim: int
    reason: str


@dataclass(frozen=True, eq=False)
class Extent:
    """The length of a dimension as a sum over what survives.

    Args:
        fixed: entries that always stay.
        units: group id -> (n,) long, the unit behind each of the other entries.
    """

    fixed: int
    units: Mapping[str, Tensor] = field(default_factory=dict)

    def length(self, keep: Mapping[str, Tensor]) -> int:
        """Entries that survive; groups missing from `keep` are whole.

        Args:
            keep: group id -> (size,) bool, True = keep.
        """
        total = self.fixed
        for name, index in self.units.items():
            total += int(keep[name][index].sum()) if name in keep else len(index)
        return total


@dataclass(frozen=True, eq=False)
class Work:
    """Multiply-accumulates of one operation of the forward pass: `constant` times the product of extents."""

    module: str
    kind: WorkKind
    constant: int
    extents: tuple[Extent, ...]


@dataclass(frozen=True, eq=False)
class Size:
    """An integer that a call of the forward pass of `module` used: a head count, a length to cut at.

    `call` numbers the calls, so that integers used together can be told from others of the same value.
    """

    module: str
    call: int
    value: int
    extent: Extent


@dataclass(frozen=True, eq=False)
class Average:
    """A dimension of an argument of a call of the forward pass that the call averages over.

    Args:
        call: its number among all calls.
        argument: name of the argument.
        dim: the dimension.
        entries: group id -> (2, n) long: positions along the dimension, and the unit behind each.
    """

    call: int
    argument: str
    dim: int
    entries: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Structure:
    """All groups of a network, what stays fixed and why, and what the forward pass computes.

    Args:
        groups: in the order of the forward pass.
        fixed: dimensions of parameters that no group may shorten.
        shapes: parameter or buffer name -> shape, each tensor once.
        work: operations that multiply and accumulate, for the example inputs as given.
        sizes: integers of the forward pass that follow the channels.
        batch: size of the first dimension of the first example input.
        averages: what norms and means average over, where that may be pruned.
        choices: how it was found.
        precision: the coarsest type of floating-point number that the forward pass computes with.
    """

    groups: tuple[Group, ...]
    fixed: tuple[Fixed, ...]
    shapes: Mapping[str, tuple[int, ...]]
    work: tuple[Work, ...] = ()
    sizes: tuple[Size, ...] = ()
    batch: int = 1
    averages: tuple[Average, ...] = ()
    choices: Choices = DEFAULT
    precision: torch.dtype = torch.float64

    @cached_property
    def by_id(self) -> dict[str, Group]:
        """Group id -> group."""
        return {group.id: group for group in self.groups}

    @cached_property
    def divisors(self) -> frozenset[str]:
        """Parameters and buffers that the forward pass divides by."""
        return frozenset(m.parameter for group in self.groups for m in group.members if m.divides)

    def group(self, name: str) -> Group:
        """The group of that id.

        Raises:
            ValueError: if there is none; the sentence lists the ids.
        """
        if name not in self.by_id:
            raise ValueError(f"There is no group {name!r} in this network; its groups are {self.listing}.")
        return self.by_id[name]

    @property
    def listing(self) -> str:
        """The group ids in words, for messages."""
        names = [group.id for group in self.groups]
        more = f" and {len(names) - 12} more" if len(names) > 12 else ""
        return ", ".join(names[:12]) + more if names else "none"

    def checked(self, keep: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`keep` with every entry checked against its group.

        Args:
            keep: group id -> (size,) bool, True = keep.
        Raises:
            ValueError: an unknown group, a mask of the wrong shape or type, or too few units kept.
        """
        for name, mask in keep.items():
            group = self.group(name)
            if tuple(mask.shape) != (group.size,) or mask.dtype is not torch.bool:
                raise ValueError(
                    f"The mask of group {name!r} must be {group.size} booleans; it has shape "
                    f"{tuple(mask.shape)} and type {mask.dtype}."
                )
            if int(mask.sum()) < group.minimum:
                raise ValueError(
                    f"Group {name!r} must keep at least {group.minimum} of its {group.size} units."
                )
        return dict(keep)


def _layers(members: Iterable[Member], role: Role) -> tuple[str, ...]:
    return tuple(dict.fromkeys(member.layer for member in members if member.role == role))
