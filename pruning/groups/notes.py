"""What rules note on the way, beside the labels."""

from __future__ import annotations

from dataclasses import dataclass

from pruning.groups.labels import Vector
from pruning.groups.types import WorkKind


@dataclass(frozen=True)
class Note:
    """An operation worth naming when a group is explained."""

    kind: str
    scope: str
    labels: Vector


@dataclass(frozen=True)
class WorkNote:
    """An operation that multiplies and accumulates: `constant` times the lengths of the dimensions."""

    scope: str
    kind: WorkKind
    constant: int
    dims: tuple[Vector, ...]


@dataclass(frozen=True)
class SizeNote:
    """An integer that the forward used, with the labels it counts."""

    scope: str
    call: int
    value: int
    labels: Vector


@dataclass(frozen=True)
class AverageNote:
    """A dimension of an argument of a call that is averaged over, or scaled by the number of its entries."""

    scope: str
    call: int
    argument: str
    dim: int
    labels: Vector


@dataclass(frozen=True)
class SiteKey:
    """A reshape that could carry labels on in several ways: alike places of alike blocks are one site.

    `ways` are the dimensions that could carry them, the likeliest first.
    """

    scope: str
    sizes: tuple[int, ...]
    ways: tuple[int, ...]
