"""One layer's weight is what it is in the whole network with shared weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pruning.compress import Sharing, shared
from pruning.compress.weights import shared_weight

WAYS = {
    "clusters": {},
    "clusters drawn": {"init": "random", "seed": 3},
    "evenly spaced": {"method": "uniform"},
    "channel by channel": {"method": "uniform", "per_channel": True, "symmetric": False},
    "clip-q": {"method": "clip-q", "clip": 0.4},
    "clip-q, each layer its own": {"method": "clip-q", "clip": {"0": 0.2, "3": 0.7}},
}


@pytest.mark.parametrize("way", WAYS)
def test_one_weight_is_that_of_the_whole_network(way: str) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 5, 3), nn.ConvTranspose2d(5, 3, 2), nn.Flatten(), nn.Linear(75, 4))
    with torch.no_grad():
        module[3].weight[:2] = 0
    before = [parameter.clone() for parameter in module.parameters()]
    sharing = Sharing.model_validate({**WAYS[way], "bits": {"0": 2, "1": 3, "3": 4}})
    whole = shared(module, sharing)
    for layer in sharing.bits:
        assert torch.equal(shared_weight(module, layer, sharing), whole.get_submodule(layer).weight)
    assert all(torch.equal(*pair) for pair in zip(module.parameters(), before, strict=True))
    with pytest.raises(ValueError, match="no layer 'nowhere'"):
        shared_weight(module, "nowhere", Sharing(bits={"nowhere": 3}))
