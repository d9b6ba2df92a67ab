"""What is decided on the Compress page, bits on the board, and its figures: pure functions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pruning import Recipe, Rule
from pruning.coding import breakdown, encode
from pruning.compress.stages import Bytes
from pruning.recover.settings import Recovery
from ui.compress.decided import Decided, Steps, pack, unpack, with_bits
from ui.figures import compress as figures
from ui.figures import compress_curves as curves
from ui.figures.spec import spec
from ui.figures.theme import palette
from ui.ratio_board.bits import bits_of, ratio_of, stops

LAYERS = ("one", "two")


@pytest.mark.parametrize("bits", [*range(1, 9), 32])
def test_bits_have_a_place_on_the_track(bits: int) -> None:
    assert bits_of(ratio_of(bits)) == bits
    assert any(place == ratio_of(bits) for place, _, _ in stops(1000))


def test_bits_go_down_from_left_to_right() -> None:
    assert [bits_of(place) for place, _, _ in stops(1000)] == [32, 8, 7, 6, 5, 4, 3, 2, 1]
    assert [kept for _, kept, _ in stops(1000)] == [1000, 256, 128, 64, 32, 16, 8, 4, 2]


def test_a_drag_is_one_step() -> None:
    before = Decided()
    steps = Steps(before)
    for bits in (3, 2, 1):
        steps = steps.take(with_bits(steps.now, LAYERS, {"one": bits}), final=bits == 1)
    assert steps.now.bits == {"one": 1, "two": 4}
    assert steps.undo().now == before
    assert steps.undo().redo().now == steps.now


def test_a_layer_at_32_bits_keeps_its_weights() -> None:
    decided = with_bits(Decided(), LAYERS, {"one": 32})
    assert decided.sharing_of(LAYERS).bits == {"two": 4}


def test_smaller_layers_take_over_the_bits_of_the_whole_one_and_give_them_back() -> None:
    whole = with_bits(Decided(), LAYERS, {"one": 2, "two": 32})
    factors = ("one.first", "one.last", "two.first", "two.last")
    assert whole.sharing_of(factors).bits == {"one.first": 2, "one.last": 2}
    split = with_bits(whole, factors, {"one.first": 32, "one.last": 3})
    assert split.sharing_of(factors).bits == {"one.last": 3}, "what stays as it is stays so"
    assert split.sharing_of(LAYERS).bits == {"one": 3}


@given(st.text(max_size=60))
def test_addresses_that_are_damaged_are_no_decisions(text: str) -> None:
    found = unpack(text)
    assert found is None or isinstance(found, Decided)


def test_an_address_brings_back_what_was_decided() -> None:
    decided = with_bits(Decided(tune=None, locked=frozenset({"two"})), LAYERS, {"one": 2})
    assert unpack(pack(decided)) == decided
    assert pack(Decided()) == ""


def test_each_stage_is_on_or_off() -> None:
    recipe = Recipe(rules={"one": Rule(ratio=0.5)})
    whole = Decided(recover=5, tune=3).compression(recipe, LAYERS, Recovery())
    assert whole.prune is not None
    assert whole.prune.epochs == 5
    assert whole.prune.recipe == recipe
    assert whole.tune is not None
    assert whole.tune.epochs == 3
    at_once = Decided(recover=None).compression(recipe, LAYERS, Recovery())
    assert at_once.prune is not None
    assert at_once.prune.epochs == 0
    nothing = Decided(prune=False, share=False).compression(recipe, LAYERS, None)
    assert (nothing.prune, nothing.share, nothing.tune) == (None, None, None)
    assert Decided(source="0123456789ab").compression(recipe, LAYERS, None).prune is None


def test_every_weight_is_in_the_histogram_of_clusters() -> None:
    before = np.random.default_rng(0).normal(size=500).astype(np.float32)
    before[:100] = 0
    after = np.where(before > 0, 0.7, -0.7).astype(np.float32) * (before != 0)
    figure, data = figures.clusters("<b>", before, after, 1, palette(dark=True))
    assert sum(figure.data[0].y) == 400 == data["weights"].sum()
    assert "100 zeros not drawn" in figure.layout.title.text
    assert "<b>" not in figure.layout.title.text


def test_the_bars_add_up_to_the_files() -> None:
    sizes = [("dense", Bytes(4000, 0, 0, 100)), ("coded", Bytes(200, 50, 30, 20))]
    figure, data = figures.where_bytes_are(sizes, palette(dark=False), title="Bytes")
    assert [sum(bar.x[place] for bar in figure.data) for place in (0, 1)] == pytest.approx([4.1, 0.3])
    assert data["bytes"].tolist() == [4100, 300]


def test_codes_are_those_of_the_file() -> None:
    values = np.random.default_rng(0).choice([0.5, -0.5, 1.5], 6000, p=[0.7, 0.2, 0.1]).astype(np.float32)
    (part,) = breakdown(encode({"weight": values})).parts
    figure, data = curves.codes("layer", part, palette(dark=False))
    assert data["value"].tolist() == ["0.5", "-0.5", "1.5"]
    assert data["occurrences"].sum() == 6000
    assert data["bits"].tolist() == pytest.approx([1, 2, 2], abs=0.5)
    assert len(figure.data) == 3


def test_a_frame_is_an_epochs_centroids() -> None:
    centroids = torch.tensor([[0.0, 1.0], [0.1, 0.9], [0.2, 0.8]]).numpy()
    figure, data = curves.movement("layer", centroids, palette(dark=False))
    found = spec(figure, dark=False)
    step = found["layout"]["sliders"][0]["steps"][1]
    (frame,) = (frame for frame in found["frames"] if [frame["name"]] == step["args"][0])
    assert frame["data"][0]["x"] == pytest.approx([0.1, 0.9])
    assert frame["data"][0]["y"] == [1, 1]
    assert figure.data[frame["traces"][0]].mode == "markers"
    labels = [button["label"] for button in found["layout"]["updatemenus"][0]["buttons"]]
    assert [label.split()[-1] for label in labels] == ["Play", "Pause"]
    assert len(data) == 3
