"""Which layer feeds which: the network as a small graph for drawing, from one recorded forward pass."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from pruning.groups.record import Call, Recording, record
from pruning.layers import FREE_PARAMETER, Layer, find_layers

INPUT, OUTPUT = "input", "output"
FOLDED = "folded"
JOINS = {
    "add": "+",
    "sub": "−",
    "mul": "×",
    "div": "÷",
    "cat": "concatenate",
    "bmm": "product",
    "mm": "product",
}


@dataclass(frozen=True)
class Node:
    """A layer, the network's input or output, or a place where two branches meet.

    Args:
        kind: "input", "output", "layer", "join", or "folded" for several that are not shown one by one.
        label: the layer's name, the sign of the operation, or how many.
    """

    kind: str
    label: str


@dataclass(frozen=True)
class Graph:
    """Nodes in the order of the forward pass, and edges as pairs of their positions (from, to)."""

    nodes: tuple[Node, ...]
    edges: tuple[tuple[int, int], ...]


def find_graph(module: nn.Module, example_inputs: Sequence[Any], *, every_layer: bool = False) -> Graph:
    """The flow of data between the layers that multiply by a weight matrix or kernels.

    Normalisations, activations, pooling and reshaping are passed through: what they make counts as the output
    of the layer (or join) before them. An operation on the outputs of two of these is a join.

    Args:
        module: any network, never touched.
        example_inputs: positional inputs of its forward, batch dimension first.
        every_layer: draw all layers with parameters of their own, normalisations too.
    Raises:
        ValueError: if it does not run on these inputs, or returns something other than tensors.
    """
    found = find_layers(module, example_inputs)
    layers = {
        layer.name for layer in found if is_node(layer) or (every_layer and layer.kind != FREE_PARAMETER)
    }
    return _Flow(record(module, tuple(example_inputs)), layers).graph()


def is_node(layer: Layer) -> bool:
    """Whether a layer is drawn: it has a weight of two dimensions or more."""
    return layer.kind != FREE_PARAMETER and len(layer.weight_shape) > 1


class _Flow:
    """Follows every tensor back to the node that made it."""

    def __init__(self, recording: Recording, layers: set[str]) -> None:
        self.recording = recording
        self.layers = layers
        self.nodes: list[Node] = []
        self.edges: dict[tuple[int, int], None] = {}  # a set that keeps the order of insertion
        self.place: dict[str, int] = {}  # layer -> its node
        self.made: dict[int, int] = {}  # tensor -> the node whose output it is; parameters have none

    def graph(self) -> Graph:
        for ref in self.recording.inputs:
            self.made[ref.index] = self._new(Node(INPUT, INPUT))
        for call in self.recording.calls:
            self._follow(call)
        sources = {self.made[ref.index] for ref in self.recording.outputs if ref.index in self.made}
        if sources:
            end = self._new(Node(OUTPUT, OUTPUT))
            self.edges.update(dict.fromkeys((source, end) for source in sorted(sources)))
        return Graph(tuple(self.nodes), tuple(self.edges))

    def _follow(self, call: Call) -> None:
        sources = list(dict.fromkeys(self.made[ref.index] for ref in call.inputs if ref.index in self.made))
        node = self._node(call, sources)
        if node is None:
            return
        self.edges.update(dict.fromkeys((source, node) for source in sources if source != node))
        for ref in call.outputs:
            if ref is not None:
                self.made[ref.index] = node

    def _node(self, call: Call, sources: list[int]) -> int | None:
        """The node that a call belongs to; None if it only handles parameters and constants."""
        if not sources:
            return None
        if call.scope in self.layers:
            if call.scope not in self.place:
                self.place[call.scope] = self._new(Node("layer", call.scope))
            return self.place[call.scope]
        if len(sources) == 1:
            return sources[0]
        name = call.op.rstrip("_")
        return self._new(Node("join", JOINS.get(name, name)))

    def _new(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1


def fold(graph: Graph, shown: Collection[int]) -> tuple[Graph, dict[int, int]]:
    """A smaller graph in which stretches of nodes that need not be shown are one node each.

    Nodes of a stretch are connected and come after the same shown nodes, so folding makes no circle.

    Args:
        graph: any.
        shown: places of the nodes that stay themselves; so do the input and the output.
    Returns:
        The graph, with nodes of kind "folded" that say how many layers they stand for; and old place -> new
        place. A single node is never folded.
    """
    loose = {p for p, node in enumerate(graph.nodes) if p not in shown and node.kind in ("layer", "join")}
    after: list[set[int]] = [set() for _ in graph.nodes]
    for a, b in sorted(graph.edges, key=lambda edge: edge[1]):
        after[b] |= after[a] | ({a} - loose)
    head = {place: place for place in loose}  # the first node of its stretch

    def find(place: int) -> int:
        while head[place] != place:
            place = head[place]
        return place

    for a, b in graph.edges:
        if a in loose and b in loose and after[a] == after[b]:
            first, last = sorted((find(a), find(b)))
            head[last] = first
    stretches: dict[int, list[int]] = {}
    for place in sorted(loose):
        stretches.setdefault(find(place), []).append(place)
    inside = {p: own[-1] for own in stretches.values() if len(own) > 1 for p in own}
    nodes: list[Node] = []
    where: dict[int, int] = {}
    for place, node in enumerate(graph.nodes):
        if inside.get(place, place) == place:
            where[place] = len(nodes)
            nodes.append(_stretch(graph, inside, place) if place in inside else node)
    where |= {place: where[last] for place, last in inside.items()}
    edges = dict.fromkeys((where[a], where[b]) for a, b in graph.edges if where[a] != where[b])
    return Graph(tuple(nodes), tuple(edges)), where


def _stretch(graph: Graph, inside: Mapping[int, int], last: int) -> Node:
    layers = sum(graph.nodes[p].kind == "layer" for p, end in inside.items() if end == last)
    return Node(FOLDED, f"… {layers} layer{'s' * (layers != 1)} …")
