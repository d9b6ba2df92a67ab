"""The graph of layers: chains, sums, gates, branches that meet."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pruning import build_model, load_model
from pruning.graph import Graph, find_graph


def drawn(graph: Graph) -> list[tuple[str, str]]:
    return [(graph.nodes[start].label, graph.nodes[end].label) for start, end in graph.edges]


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.first(x)).relu()
        return torch.cat([y + self.second(y), x], 1)


def test_a_chain_passes_through_what_has_no_matrix() -> None:
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))
    assert drawn(find_graph(net, (torch.randn(2, 4),))) == [("input", "0"), ("0", "3"), ("3", "output")]


def test_branches_meet_in_joins() -> None:
    assert set(drawn(find_graph(Residual(), (torch.randn(2, 4),)))) == {
        ("input", "first"),
        ("first", "second"),
        ("first", "+"),
        ("second", "+"),
        ("+", "concatenate"),
        ("input", "concatenate"),
        ("concatenate", "output"),
    }


def test_a_layer_called_twice_is_one_node() -> None:
    layer = nn.Linear(3, 3)
    graph = find_graph(nn.Sequential(layer, nn.ReLU(), layer), (torch.randn(1, 3),))
    assert [node.label for node in graph.nodes] == ["input", "0", "output"]


def test_built_in_networks_have_their_sums_and_gates() -> None:
    signs = {}
    for name in ("digits-resnet", "digits-mobilenet", "digits-vit"):
        module = build_model(name).eval()
        graph = find_graph(module, load_model(name).example_inputs)
        signs[name] = {node.label for node in graph.nodes if node.kind == "join"}
        layers = [n for n, m in module.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
        assert {node.label for node in graph.nodes if node.kind == "layer"} == set(layers)
        reached = {end for _, end in graph.edges}
        assert reached == set(range(1, len(graph.nodes)))  # all but the input
    assert signs == {"digits-resnet": {"+"}, "digits-mobilenet": {"+", "×"}, "digits-vit": {"+"}}
