"""Which layer feeds which: the network as a small graph for drawing, from one recorded forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from pruning.groups.record import Call, Recording, record
from pruning.layers import FREE_PARAMETER, Layer, find_layers

INPUT, OUTPUT = "input", "output"
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
        kind: "input", "output", "layer" or "join".
        label: the layer's name, or the sign of the operation.
    """

    kind: str
    label: str


@dataclass(frozen=True)
class Graph:
    """Nodes in the order of the forward pass, and edges as pairs of their positions (from, to)."""

    nodes: tuple[Node, ...]
    edges: tuple[tuple[int, int], ...]


def find_graph(module: nn.Module, example_inputs: Sequence[Any]) -> Graph:
    """The flow of data between the layers that multiply by a weight matrix or kernels.

    Normalisations, activations, pooling and reshaping are passed through: what they make counts as the output
    of the layer (or join) before them. An operation on the outputs of two of these is a join.

    Args:
        module: any network, never touched.
        example_inputs: positional inputs of its forward, batch dimension first.
    Raises:
        ValueError: if it does not run on these inputs, or returns something other than tensors.
    """
    layers = {layer.name for layer in find_layers(module, example_inputs) if is_node(layer)}
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
