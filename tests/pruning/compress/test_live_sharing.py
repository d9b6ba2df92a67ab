"""Live accuracy of shared weights is that of the whole network, whatever was measured before."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import pruning
from pruning.compress import Sharing, SharingEvaluator, shared
from pruning.compress.weights import shared_weight
from pruning.replay import Replay


class Sideways(nn.Module):
    """Decides by its data, so that no recording can stand for it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 10), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        return self.first(flat) if float(flat.sum()) > 0 else self.second(flat)


@pytest.mark.parametrize("name", ["digits-mlp", "digits-cnn", "digits-resnet", "digits-vit"])
def test_edits_in_any_order_answer_like_the_whole_network(name: str) -> None:
    loaded, task = pruning.load_model(name), pruning.load_task("digits")
    layers = [
        layer.name for layer in pruning.find_layers(loaded.module, loaded.example_inputs) if layer.prunable
    ]
    live = SharingEvaluator(loaded.module, task)
    assert isinstance(live.replay, Replay)
    first, middle, last = layers[0], layers[len(layers) // 2], layers[-1]
    edits = ({}, {last: 2}, {last: 1}, {middle: 3, last: 1}, {first: 2, middle: 3}, {middle: 3}, {last: 2})
    for bits in edits:
        sharing = Sharing(bits=bits)
        weights = {layer: shared_weight(loaded.module, layer, sharing) for layer in bits}
        *_, report = live.reports(weights)
        expected = pruning.evaluate(shared(loaded.module, sharing), task)
        assert report.complete
        assert torch.equal(report.predictions, expected.predictions)
        assert report.loss == pytest.approx(expected.loss, rel=1e-4)


def test_what_cannot_be_recorded_is_run_whole() -> None:
    torch.manual_seed(0)
    module, task = Sideways().eval(), pruning.load_task("digits")
    live = SharingEvaluator(module, task)
    assert "data" in str(live.replay)
    sharing = Sharing(bits={"first": 1, "second": 2})
    *_, report = live.reports({layer: shared_weight(module, layer, sharing) for layer in sharing.bits})
    *_, expected = pruning.evaluate_batches(shared(module, sharing), task, batch_size=96)
    assert torch.equal(report.predictions, expected.predictions)


def test_what_cannot_be_is_refused() -> None:
    loaded, task = pruning.load_model("digits-mlp"), pruning.load_task("digits")
    with pytest.raises(ValueError, match="Test data is for final results only"):
        SharingEvaluator(loaded.module, task, split="test")
    with pytest.raises(ValueError, match="no layer 'nowhere'"):
        SharingEvaluator(loaded.module, task).reports({"nowhere": torch.zeros(1)})
