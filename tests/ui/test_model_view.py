"""What the Model page draws, without a page: treemap sums, DOT text of hostile names, colours of groups."""

from __future__ import annotations

import pytest
import torch

import pruning
from pruning.graph import Graph, Node
from ui.figures import model as figures
from ui.figures.model import Part
from ui.figures.theme import LIGHT
from ui.model import parts, wiring
from ui.model.answers import order


def test_a_containers_area_is_what_lies_in_it_and_its_own() -> None:
    parts = [Part("", "net", 1), Part("a", "block", 2), Part("a.x", "linear", 3), Part("b", "linear", 4)]
    figure, data = figures.treemap("title", "Net", parts, "ms", ["linear"], LIGHT)
    drawn = figure.data[0]
    sizes = dict(zip(drawn.ids, drawn.values, strict=True))
    assert sizes["/"] == 10
    assert sizes["a"] == 5
    for place, parent in enumerate(drawn.parents):
        assert not parent or parent in sizes, drawn.ids[place]
    children = [s for i, s in sizes.items() if drawn.parents[drawn.ids.index(i)] == "a"]
    assert sum(children) == sizes["a"]
    assert data["share"].sum() == pytest.approx(1)


def test_hostile_names_stay_inside_their_string() -> None:
    name = 'a"]; evil [label="\\N\n<b>&lt;'
    text = figures.dot(Graph((Node("layer", name),), ()), {}, {}, {}, LIGHT)
    line = next(line for line in text.splitlines() if line.startswith("n0 "))
    assert len(text.splitlines()) == 6
    assert '\\"]; evil [label=\\"\\\\N�<b>&amp;lt;' in line
    assert "<script>" not in wiring._in_words("`<script>` goes")


def test_coupled_layers_share_a_colour_and_single_ones_have_none() -> None:
    loaded = pruning.load_model("digits-resnet")
    layers = pruning.find_layers(loaded.module, loaded.example_inputs)
    found = wiring.coupling(layers, pruning.find_groups(loaded.module, loaded.example_inputs), LIGHT)
    assert found.layers("conv") == ["conv", "stages.stage1.0.conv2", "stages.stage1.1.conv2"]
    colours = [hue for hue in found.hues.values() if hue]
    assert len(colours) == len(set(colours)) == 3
    assert found.hues["stages.stage1.0.conv1"] is None
    assert "head" not in found.group_of


def test_wrong_images_come_first() -> None:
    said, true = torch.tensor([0, 1, 2, 3]), torch.tensor([0, 5, 2, 6])
    report = pruning.Report(0.5, (0.1, 0.9), 1.0, 4, 4, "validation", said, true)
    assert order(report, True) == [1, 3, 0, 2]
    assert order(report, False) == [0, 1, 2, 3]


def test_the_layer_table_points_to_each_reason_once() -> None:
    loaded = pruning.load_model("digits-resnet")
    layers = tuple(pruning.find_layers(loaded.module, loaded.example_inputs))
    reasons = parts.why_not(layers)
    table = parts.layer_table(layers, pruning.CostModel(loaded.module, loaded.example_inputs).layer_table())
    assert list(reasons.values()) == list(range(1, len(reasons) + 1))
    verdicts = dict(zip(table["layer"], table["single weights"], strict=True))
    assert verdicts["conv"] == "yes"
    norm = next(layer for layer in layers if layer.name == "norm")
    assert verdicts["norm"] == f"no ({reasons[norm.reason]})"
    assert table["share of parameters"].sum() == pytest.approx(100)
