"""From labels to groups: units are root labels, groups are units that occur in the same places."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pruning.groups.explain import explain, operations
from pruning.groups.labels import FIXED, Vector
from pruning.groups.notes import Note
from pruning.groups.tracer import Tracer
from pruning.groups.types import (
    Average,
    Extent,
    Fixed,
    Grade,
    Group,
    Kind,
    Member,
    Role,
    Size,
    Structure,
    Work,
)

Place = tuple[str, int]  # a parameter and one of its dimensions
Use = tuple[int, int]  # an operation and one of its dimensions

ALONE = "there is only one unit, and one must stay"
UNUSED = "the forward pass does not use it"


@dataclass
class _Family:
    """Units that occur in the same places, by their root labels, in the order of the forward pass."""

    roots: Vector
    places: dict[Place, int]  # with the number of entries of each unit there


class _Owners:
    """Which group each label belongs to, and as which unit."""

    def __init__(self, tracer: Tracer, families: list[_Family]) -> None:
        self.labels = tracer.labels
        highest = max((int(family.roots.max()) for family in families), default=0)
        self.group, self.row = np.full(highest + 2, -1), np.zeros(highest + 2, np.int64)
        for number, family in enumerate(families):
            self.group[family.roots] = number
            self.row[family.roots] = np.arange(len(family.roots))

    def of(self, labels: Vector) -> tuple[NDArray[np.int64], Vector]:
        """Number of the group of each label, -1 if fixed, and the row of its unit there."""
        roots = np.minimum(self.labels.find(labels), len(self.group) - 1)
        return self.group[roots], self.row[roots]

    def touched(self, labels: Vector) -> list[int]:
        """Numbers of the groups that have one of the labels."""
        return [number for number in np.unique(self.of(labels)[0]).tolist() if number >= 0]


def assemble(tracer: Tracer, shapes: dict[str, tuple[int, ...]], refused: dict[str, str]) -> Structure:
    """The structure of a traced network.

    Args:
        tracer: after its run.
        shapes: every parameter and buffer of the network, each tensor once.
        refused: parameter name -> why its layer cannot be shortened at all.
    """
    for name, reason in refused.items():
        for labels in tracer.parameters.get(name, ()):
            tracer.labels.fix(labels, reason)
    families = _families(tracer)
    for family in families:
        if len(family.roots) < 2:
            tracer.labels.fix(family.roots, ALONE)
    families = [family for family in families if len(family.roots) > 1]
    owners = _Owners(tracer, families)
    groups = _groups(tracer, families, owners)

    def extent(labels: Vector) -> Extent:
        return _extent(labels, groups, owners)

    return Structure(
        groups=groups,
        fixed=tuple(_fixed(tracer, shapes)),
        shapes=shapes,
        work=tuple(
            Work(note.scope, note.kind, note.constant, tuple(extent(labels) for labels in note.dims))
            for note in tracer.works
        ),
        sizes=tuple(Size(note.scope, note.call, note.value, extent(note.labels)) for note in tracer.sizes),
        batch=tracer.recording.batch,
        averages=tuple(_averages(tracer, groups, owners)),
        choices=tracer.choices,
        precision=tracer.recording.precision,
    )


def _families(tracer: Tracer) -> list[_Family]:
    """Families in the order of the forward pass."""
    units: dict[int, list[tuple[Place | Use, int]]] = {}
    for name, dims in tracer.parameters.items():
        for dim, labels in enumerate(dims):
            for root, count in _counted(tracer, labels):
                units.setdefault(root, []).append(((name, dim), count))
    for number, note in enumerate(tracer.works):
        # Units that differ here cost differently, so they are not one group.
        for axis, labels in enumerate(note.dims):
            for root, count in _counted(tracer, labels):
                if root in units:
                    units[root].append(((number, axis), count))
    families: dict[tuple[tuple[Place | Use, int], ...], list[int]] = defaultdict(list)
    for root, signature in units.items():
        families[tuple(signature)].append(root)
    return [
        _Family(
            np.array(roots), {(name, dim): count for (name, dim), count in shape if isinstance(name, str)}
        )
        for shape, roots in families.items()
    ]


def _counted(tracer: Tracer, labels: Vector) -> list[tuple[int, int]]:
    """Each root that could go, in the order of its first entry, with the number of its entries."""
    roots, first, counts = np.unique(tracer.labels.find(labels), return_index=True, return_counts=True)
    order = np.argsort(first)
    pairs = zip(roots[order].tolist(), counts[order].tolist(), strict=True)
    return [(root, count) for root, count in pairs if root != FIXED]


def _groups(tracer: Tracer, families: list[_Family], owners: _Owners) -> tuple[Group, ...]:
    touching: dict[int, list[Note]] = defaultdict(list)
    for note in tracer.notes:
        for number in owners.touched(note.labels):
            touching[number].append(note)
    averaged = {number for note in tracer.averages for number in owners.touched(note.labels)}
    groups: list[Group] = []
    taken: Counter[str] = Counter()
    for number, family in enumerate(families):
        members, notes = _members(tracer, family), touching[number]
        first = next((member for member in members if member.role == "producer"), members[0])
        taken[first.layer] += 1
        kind: Kind = tracer.kinds.get(first.parameter, "embedding")
        if any(note.kind == "head" for note in notes):
            kind = "head"
        elif any(note.kind == "inside" for note in notes):
            kind = "inside-head"
        grade: Grade = "statistics" if number in averaged else "exact"
        groups.append(
            Group(
                id=first.layer if taken[first.layer] == 1 else f"{first.layer}:{taken[first.layer]}",
                size=len(family.roots),
                kind=kind,
                members=members,
                why=explain(kind, members, notes, grade),
                operations=operations(notes),
                grade=grade,
            )
        )
    return tuple(groups)


def _members(tracer: Tracer, family: _Family) -> tuple[Member, ...]:
    """Where the units lie; a bias added apart from its weight belongs to the layer that makes the units."""
    roles: dict[Place, Role] = {place: tracer.roles.get(place, "norm") for place in family.places}
    makers = {name.rpartition(".")[0] for (name, _), role in roles.items() if role == "producer"} - {""}
    return tuple(
        Member(
            parameter=name,
            dim=dim,
            role="producer" if role == "norm" and name.rpartition(".")[0] in makers else role,
            index=_index(tracer, family, (name, dim)),
            divides=(name, dim) in tracer.divisors,
        )
        for (name, dim), role in roles.items()
    )


def _index(tracer: Tracer, family: _Family, place: Place) -> torch.Tensor:
    """(size, m): the entries of each unit there."""
    roots = tracer.labels.find(tracer.parameters[place[0]][place[1]])
    order = np.argsort(roots, kind="stable")
    starts = np.searchsorted(roots[order], family.roots)
    return torch.from_numpy(order[starts[:, None] + np.arange(family.places[place])])


def _extent(labels: Vector, groups: tuple[Group, ...], owners: _Owners) -> Extent:
    numbers, rows = owners.of(labels)
    there = dict.fromkeys(numbers[numbers >= 0].tolist())
    units = {groups[number].id: torch.from_numpy(rows[numbers == number]) for number in there}
    return Extent(int((numbers < 0).sum()), units)


def _averages(tracer: Tracer, groups: tuple[Group, ...], owners: _Owners) -> Iterable[Average]:
    for note in tracer.averages:
        numbers, rows = owners.of(note.labels)
        entries = {}
        for number in dict.fromkeys(numbers[numbers >= 0].tolist()):
            positions = np.flatnonzero(numbers == number)
            entries[groups[number].id] = torch.from_numpy(np.stack([positions, rows[positions]]))
        if entries:
            yield Average(note.call, note.argument, note.dim, entries)


def _fixed(tracer: Tracer, shapes: dict[str, tuple[int, ...]]) -> Iterable[Fixed]:
    """Dimensions of parameters with entries that can never go, and why; positions are not listed."""
    for name, shape in shapes.items():
        if name not in tracer.parameters:
            if shape:
                yield Fixed(name, 0, UNUSED)
            continue
        for dim, labels in enumerate(tracer.parameters[name]):
            held = labels[tracer.labels.is_fixed(labels)]
            reasons = tracer.labels.reasons(held)
            if reasons:
                part = f"{len(held)} of {len(labels)} entries: " if len(held) < len(labels) else ""
                yield Fixed(name, dim, part + reasons.most_common(1)[0][0])
