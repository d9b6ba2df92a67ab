"""The way of a group's units through the network, told as one line: what joins it, and what reads it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from pruning.graph import Graph
from pruning.groups import Group

Chain = tuple[str, ...]  # layers one after the other


@dataclass
class Stop:
    """A place on the line.

    Args:
        sign: of the operation by which others join the line here; "" at its start and at a layer.
        through: layers on the line itself: a depthwise convolution, a norm.
        joining: layers whose outputs come in here; what makes them first, then its norms.
        readers: layers that read the line behind this place; the norm before them first.
    """

    sign: str = ""
    through: list[str] = field(default_factory=list)
    joining: list[Chain] = field(default_factory=list)
    readers: list[Chain] = field(default_factory=list)


def carried(graph: Graph, group: Group) -> set[int]:
    """The nodes whose outputs are units of the group: what makes, scales or combines them."""
    makers = {member.layer for member in group.members if member.role != "consumer"}
    before = _before(graph.edges, range(len(graph.nodes)))
    found: set[int] = set()
    for place, node in enumerate(graph.nodes):
        joins = node.kind == "join" and not found.isdisjoint(before[place])
        if joins or (node.kind == "layer" and node.label in makers):
            found.add(place)
    return found


def find_stream(graph: Graph, group: Group) -> list[Stop]:
    """The line of a group from its first producer to its last join.

    It is the longest way through the nodes that carry the units. What comes in from the side and what reads
    is hung up on the place where it does. Empty if no producer is a node of the graph.

    Args:
        graph: with every layer that has parameters, norms too.
        group: of the same network.
    """
    names = [node.label for node in graph.nodes]
    carrying = carried(graph, group)
    readers = {place for place, node in enumerate(graph.nodes) if node.label in group.consumers}
    flows = [(a, b) for a, b in graph.edges if a in carrying and b in carrying - readers and a < b]
    before = _before(flows, carrying)
    line = _longest(before)
    stops: list[Stop] = []
    stop_of: dict[int, Stop] = {}
    for place, last in zip(line, [None, *line], strict=False):
        name, scales = names[place], names[place] not in group.producers
        if graph.nodes[place].kind == "join":
            sides = [side for side in before[place] if side != last]
            stops.append(Stop(name, joining=[_names(_upstream(side, before, line), names) for side in sides]))
        elif not stops:
            stops.append(Stop(joining=[(name,)]))
        elif scales and stops[-1].through:
            stops[-1].through.append(name)
        elif scales and len(stops) == 1:
            stops[0].joining = [(*stops[0].joining[0], name)]
        else:
            stops.append(Stop(through=[name]))
        stop_of[place] = stops[-1]
    shown = {name for stop in stops for chain in [stop.through, *stop.joining] for name in chain}
    for side in sorted(carrying - stop_of.keys()):
        stop_of[side] = _behind(side, flows, stop_of) or stops[0]
        if names[side] in group.producers and names[side] not in shown:
            stop_of[side].joining.append((names[side],))
    for a, b in graph.edges:
        if b in readers and a in carrying:
            norms, stop = _climbed(a, before, stop_of, line)
            stop.readers.append((*_names(norms, names), names[b]))
    return stops


def _before(edges: Iterable[tuple[int, int]], places: Iterable[int]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {place: [] for place in places}
    for a, b in edges:
        found[b].append(a)
    return found


def _longest(before: dict[int, list[int]]) -> list[int]:
    """The longest way, of several the one that begins first."""
    ways: dict[int, list[int]] = {}
    for place in sorted(before):
        ways[place] = [*_best(ways[a] for a in before[place]), place]
    return _best(ways.values())


def _best(ways: Iterable[list[int]]) -> list[int]:
    return max(ways, key=lambda way: (len(way), -way[0]), default=[])


def _upstream(place: int, before: dict[int, list[int]], line: Collection[int]) -> list[int]:
    """A side branch down to `place`, in order; it ends where it leaves the line."""
    if place in line:
        return []
    return [earlier for a in before[place] for earlier in _upstream(a, before, line)] + [place]


def _behind(place: int, flows: list[tuple[int, int]], stop_of: dict[int, Stop]) -> Stop | None:
    """Where a side branch meets the line."""
    for a, b in flows:
        if a == place:
            return stop_of.get(b) or _behind(b, flows, stop_of)
    return None


def _climbed(
    place: int, before: dict[int, list[int]], stop_of: dict[int, Stop], line: Collection[int]
) -> tuple[list[int], Stop]:
    """What lies between the line and a reader (its own norm), and the place that it hangs on."""
    passed: list[int] = []
    at = place
    while at not in line and before[at]:
        passed.insert(0, at)
        at = before[at][0]
    return (passed, stop_of[at]) if at in line else ([], stop_of[place])


def _names(places: Iterable[int], names: list[str]) -> Chain:
    return tuple(names[place] for place in places if names[place])
