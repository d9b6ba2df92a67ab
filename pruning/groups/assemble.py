"""From labels to groups: units are root labels, groups are units that occur in the same places."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import torch

from pruning.groups.explain import explain, operations
from pruning.groups.labels import FIXED, Vector
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
Shape = tuple[tuple[object, int], ...]  # where the entries of a unit lie, and how many in each place

ALONE = "there is only one unit, and one must stay"
UNUSED = "the forward pass does not use it"


@dataclass
class _Unit:
    root: int
    entries: dict[Place, list[int]] = field(default_factory=dict)
    works: Counter[tuple[int, int]] = field(default_factory=Counter)

    @property
    def signature(self) -> Shape:
        places = [(place, len(index)) for place, index in self.entries.items()]
        return (*places, *sorted(self.works.items()))


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
    alone = [units for units in families if len(units) < 2]
    for units in alone:
        tracer.labels.fix(np.array([unit.root for unit in units]), ALONE)
    families = [units for units in families if len(units) > 1]
    owner = {unit.root: (n, row) for n, units in enumerate(families) for row, unit in enumerate(units)}
    groups = _groups(tracer, families)
    extent = _extents(tracer, groups, owner)
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
        averages=tuple(_averages(tracer, groups, owner)),
        choices=tracer.choices,
        precision=tracer.recording.precision,
    )


def _families(tracer: Tracer) -> list[list[_Unit]]:
    """Units that occur in the same places, families and units in the order of the forward pass."""
    units: dict[int, _Unit] = {}
    for name, dims in tracer.parameters.items():
        for dim, labels in enumerate(dims):
            for index, root in enumerate(tracer.labels.find(labels).tolist()):
                if root == FIXED:
                    continue
                if root not in units:
                    units[root] = _Unit(root)
                units[root].entries.setdefault((name, dim), []).append(index)
    for number, note in enumerate(tracer.works):
        # Units that differ here cost differently, so they are not one group.
        for axis, labels in enumerate(note.dims):
            for root in tracer.labels.find(labels).tolist():
                if root in units:
                    units[root].works[number, axis] += 1
    families: dict[Shape, list[_Unit]] = defaultdict(list)
    for unit in units.values():
        families[unit.signature].append(unit)
    return list(families.values())


def _groups(tracer: Tracer, families: list[list[_Unit]]) -> tuple[Group, ...]:
    groups: list[Group] = []
    taken: Counter[str] = Counter()
    touching = [(note, tracer.labels.find(note.labels).tolist()) for note in tracer.notes]
    averaged = {root for note in tracer.averages for root in tracer.labels.find(note.labels).tolist()}
    for units in families:
        members = _members(tracer, units)
        roots = {unit.root for unit in units}
        notes = [note for note, touched in touching if not roots.isdisjoint(touched)]
        first = next((member for member in members if member.role == "producer"), members[0])
        taken[first.layer] += 1
        number = taken[first.layer]
        kind: Kind = tracer.kinds.get(first.parameter, "embedding")
        if any(note.kind == "head" for note in notes):
            kind = "head"
        elif any(note.kind == "inside" for note in notes):
            kind = "inside-head"
        grade: Grade = "exact" if roots.isdisjoint(averaged) else "statistics"
        groups.append(
            Group(
                id=first.layer if number == 1 else f"{first.layer}:{number}",
                size=len(units),
                kind=kind,
                members=members,
                why=explain(kind, members, notes, grade),
                operations=operations(notes),
                grade=grade,
            )
        )
    return tuple(groups)


def _members(tracer: Tracer, units: list[_Unit]) -> tuple[Member, ...]:
    """Where the units lie; a bias added apart from its weight belongs to the layer that makes the units."""
    roles: dict[Place, Role] = {place: tracer.roles.get(place, "norm") for place in units[0].entries}
    makers = {name.rpartition(".")[0] for (name, _), role in roles.items() if role == "producer"} - {""}
    return tuple(
        Member(
            parameter=name,
            dim=dim,
            role="producer" if role == "norm" and name.rpartition(".")[0] in makers else role,
            index=_index(units, (name, dim)),
            divides=(name, dim) in tracer.divisors,
        )
        for (name, dim), role in roles.items()
    )


def _index(units: list[_Unit], place: Place) -> torch.Tensor:
    """(size, m): the entries of each unit there."""
    return torch.from_numpy(np.array([unit.entries[place] for unit in units]))


def _extents(
    tracer: Tracer, groups: tuple[Group, ...], owner: dict[int, tuple[int, int]]
) -> Callable[[Vector], Extent]:
    def extent(labels: Vector) -> Extent:
        rows: dict[str, list[int]] = defaultdict(list)
        fixed = 0
        for root in tracer.labels.find(labels).tolist():
            if root in owner:
                number, row = owner[root]
                rows[groups[number].id].append(row)
            else:
                fixed += 1
        return Extent(fixed, {name: torch.tensor(index) for name, index in rows.items()})

    return extent


def _averages(
    tracer: Tracer, groups: tuple[Group, ...], owner: dict[int, tuple[int, int]]
) -> Iterable[Average]:
    for note in tracer.averages:
        places: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for position, root in enumerate(tracer.labels.find(note.labels).tolist()):
            if root in owner:
                number, row = owner[root]
                places[groups[number].id].append((position, row))
        if places:
            entries = {name: torch.tensor(pairs).T for name, pairs in places.items()}
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
            reasons = Counter(reason for label in held.tolist() if (reason := tracer.labels.reason(label)))
            if reasons:
                part = f"{len(held)} of {len(labels)} entries: " if len(held) < len(labels) else ""
                yield Fixed(name, dim, part + reasons.most_common(1)[0][0])
