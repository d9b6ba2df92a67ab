"""What the Groups page draws and says, without a page: dark rows, outlines, hostile names, words."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch

import pruning
from pruning.graph import Graph, Node
from pruning.groups import Kind, Role, explain
from pruning.masks import named_tensors
from pruning.stream import Stop
from ui.figures import groups as figures
from ui.figures import removal
from ui.figures.groups import Box, Halt
from ui.figures.theme import DARK, LIGHT
from ui.groups import members, picture, words
from ui.groups.removal import SIDE, layout

HOSTILE = 'a<b>."]; evil [label="x\n'


@pytest.fixture(scope="module")
def resnet() -> tuple[pruning.LoadedModel, pruning.Structure]:
    loaded = pruning.load_model("digits-resnet")
    return loaded, pruning.find_structure(loaded.module, loaded.example_inputs)


def units(size: int, gone: set[int], lit: int = 0) -> removal.Units:
    mask = np.isin(np.arange(size), list(gone))
    return removal.Units("filter", np.arange(size, dtype=float), mask, lit, "L2 norm")


def test_the_same_units_are_dark_in_every_matrix(
    resnet: tuple[pruning.LoadedModel, pruning.Structure],
) -> None:
    loaded, structure = resnet
    group = structure.group("conv")
    rows = layout(group, named_tensors(loaded.module), torch.arange(group.size), 0)
    figure, data = removal.matrices("t", rows, units(group.size, {3, 7}, lit=5), LIGHT)
    bars = [trace for trace in figure.data if trace.type == "bar"]
    assert len(bars) == 3 + 1 + 4  # what makes the units, biases and norms, what reads them
    for bar in bars:
        dark = {unit for unit, hue in zip(bar.customdata, bar.marker.color, strict=True) if hue[0] == "#"}
        assert dark == {3, 7}
    assert {bar.orientation for bar in bars} == {"h", "v"}
    assert len(figure.layout.shapes) == len(bars)  # the outline of one unit, once in each
    assert data["goes"].sum() == 2
    assert data["rank"].tolist() == list(range(1, 25))


def test_many_matrices_come_in_pages() -> None:
    loaded = pruning.load_model("cifar10-resnet20")
    group = pruning.find_structure(loaded.module, loaded.example_inputs).group("conv")
    tensors, order = named_tensors(loaded.module), torch.arange(group.size)
    names = []
    for page in range(3):
        makers, readers = layout(group, tensors, order, page)
        assert len(makers) <= SIDE + 1
        assert len(readers) <= SIDE
        names += [panel.name for panel in (*makers, *readers) if not panel.labels]
    assert len(names) == len(set(names)) == 20


def test_the_line_shows_every_stop_and_marks_each_addition() -> None:
    halts = [
        Halt(below=(Box(("conv", "norm"), "producer"),), above=(Box(("a.conv1",), "consumer"),)),
        Halt("+", below=(Box(("a.conv2",), "producer"),), above=(Box(("ln", HOSTILE), "consumer"),)),
        Halt(skipped=4),
    ]
    for colours in (LIGHT, DARK):
        figure, data = figures.stream("t", halts, 24, ("24 filters", "filter 3"), {}, colours)
        (joins,) = [trace for trace in figure.data if trace.name and trace.name.startswith("added")]
        assert len(joins.x) == figures.LANES
        words_shown = " ".join(note.text for note in figure.layout.annotations)
        assert "filter 3" in words_shown
        assert "4 more" in words_shown
        assert "<b>a" not in words_shown.replace("<b>a.", "")
        assert data["role"].tolist() == ["producer", "norm", "consumer", "producer", "norm", "consumer"]


def test_a_group_of_one_unit_can_be_drawn() -> None:
    figure, _ = figures.stream(
        "t", [Halt(below=(Box(("a",), "producer"),))], 1, ("1 head", "head 0"), {}, LIGHT
    )
    assert "1 head" in [note.text for note in figure.layout.annotations]


def test_of_a_long_line_the_ends_are_drawn(resnet: tuple[pruning.LoadedModel, pruning.Structure]) -> None:
    group = resnet[1].groups[0]
    drawn = picture.halts([Stop("+", joining=[(f"layer{n}",)]) for n in range(20)], group)
    assert len(drawn) == picture.MOST
    assert sum(halt.skipped or 1 for halt in drawn) == 20
    assert drawn[-1].below[0].layers == ("layer19",)


def test_lit_layers_stand_out_and_hostile_names_stay_inside_their_string() -> None:
    graph = Graph((Node("layer", HOSTILE), Node("join", "+"), Node("layer", "b")), ((0, 1), (1, 2)))
    text = figures.dot(graph, {HOSTILE: "producer"}, {0, 1}, {}, LIGHT)
    lines = text.splitlines()
    assert len(lines) == 10
    first, join, other = (
        line for line in lines if line.startswith("n") and "label=" in line and "->" not in line
    )
    assert LIGHT.dense in first
    assert LIGHT.pruned in join
    assert LIGHT.dense not in other
    assert '\\"]; evil [label=\\"x�' in first
    assert "<script>" not in words.in_html("`<script>` goes")


def test_there_are_words_for_everything() -> None:
    assert set(words.UNITS) == set(get_args(Kind))
    assert set(words.ROLES) == set(figures.ROLES) == set(get_args(Role))
    assert set(words._OPERATIONS) >= set(explain._WHY)
    assert words.dimension(1, "a.weight", 4) == "1 (columns)"
    assert words.dimension(0, "norm.weight", 1) == "0"


def test_what_is_fixed_is_grouped_by_reason_and_found() -> None:
    loaded = pruning.load_model("digits-vit")
    data = members.fixed_table(pruning.find_structure(loaded.module, loaded.example_inputs))
    reasons = data["reason"].tolist()
    assert [reasons[i] for i in range(len(reasons)) if not i or reasons[i] != reasons[i - 1]] == list(
        dict.fromkeys(reasons)
    )
    assert reasons[0].startswith("blocks.0.norm1 normalises")
    assert reasons[-1][0].isupper()
    hits = members.found(data, " Class_Token ")
    assert data[hits]["parameter"].unique().tolist() == ["class_token"]
