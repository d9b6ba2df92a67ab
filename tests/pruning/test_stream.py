"""The way of a group's units: what joins the line, lies on it and reads it; graphs folded around it."""

from __future__ import annotations

import pytest
import torch
from tiny_networks import Residual
from torch import Tensor, nn
from zoo import ZOO

from pruning import find_groups
from pruning.graph import Graph, find_graph, fold
from pruning.groups.choices import DEFAULT, Choices
from pruning.stream import Stop, carried, find_stream

IMAGE = (torch.randn(1, 1, 6, 6),)


class PreNorm(nn.Module):
    """A residual stream that norms read, as in a transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 8)
        self.norm1, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 6), nn.Linear(6, 8)
        self.norm2, self.head = nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.down(self.up(self.norm1(x)).relu())
        return self.head(self.norm2(x))


def streams(net: nn.Module, inputs: tuple[Tensor, ...], choices: Choices = DEFAULT) -> dict[str, list[Stop]]:
    graph = find_graph(net, inputs, every_layer=True)
    return {group.id: find_stream(graph, group) for group in find_groups(net, inputs, choices)}


def test_a_residual_is_a_line_that_producers_join() -> None:
    found = streams(Residual().eval(), IMAGE)["stem"]
    assert found == [
        Stop(joining=[("stem", "norm")], readers=[("expand",)]),
        Stop("+", joining=[("project", "norm3")], readers=[("head",)]),
    ]


def test_a_depthwise_convolution_lies_on_the_line() -> None:
    found = streams(Residual().eval(), IMAGE)["expand"]
    assert found == [
        Stop(joining=[("expand", "norm1")]),
        Stop(through=["depthwise", "norm2"], readers=[("project",)]),
    ]


def test_norms_in_front_of_readers_stand_with_them() -> None:
    found = streams(PreNorm(), (torch.randn(2, 4),), Choices(norms="statistics"))["stem"]
    assert found == [
        Stop(joining=[("stem",)], readers=[("norm1", "up")]),
        Stop("+", joining=[("down",)]),
        Stop(through=["norm2"], readers=[("head",)]),
    ]


def test_only_what_is_added_or_scaled_carries_the_units() -> None:
    net = Residual().eval()
    graph = find_graph(net, IMAGE, every_layer=True)
    group = next(group for group in find_groups(net, IMAGE) if group.id == "stem")
    names = {graph.nodes[place].label for place in carried(graph, group)}
    assert names == {"stem", "norm", "project", "norm3", "+"}


@pytest.mark.parametrize("name", ["Bottleneck", "SqueezeExcite", "DenseNet", "UNet"])
def test_every_layer_of_a_group_has_its_place(name: str) -> None:
    net, inputs = ZOO[name]()
    graph = find_graph(net, inputs, every_layer=True)
    nodes = {node.label for node in graph.nodes}
    for group in find_groups(net, inputs):
        stops = find_stream(graph, group)
        chains = [chain for stop in stops for chain in (stop.through, *stop.joining, *stop.readers)]
        assert {*group.producers, *group.consumers} & nodes <= {layer for chain in chains for layer in chain}


def circle(graph: Graph) -> bool:
    """Whether nodes are left when those that nothing leads to are taken away again and again."""
    left, edges = set(range(len(graph.nodes))), set(graph.edges)
    while True:
        free = left - {end for _, end in edges}
        if not free:
            return bool(left)
        left -= free
        edges = {(start, end) for start, end in edges if start not in free}


def test_folding_keeps_what_is_shown_and_makes_no_circle() -> None:
    net = Residual().eval()
    graph = find_graph(net, IMAGE, every_layer=True)
    names = [node.label for node in graph.nodes]
    shown = {names.index("norm1"), names.index("project")}
    small, where = fold(graph, shown)
    labels = [node.label for node in small.nodes]
    assert [small.nodes[where[place]].label for place in sorted(shown)] == ["norm1", "project"]
    assert "… 3 layers …" in labels  # stem, norm, expand
    assert "… 2 layers …" in labels  # depthwise, norm2
    assert not circle(small)
    assert fold(graph, range(len(names)))[0] == graph
