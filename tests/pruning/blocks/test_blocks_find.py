"""Which blocks are found, which are not and why, and that the network is left alone."""

from __future__ import annotations

import pytest
import torch
from block_nets import NETS, Plus, build
from tiny_networks import traces
from torch import nn

from pruning.blocks import find_blocks
from pruning.groups import find_structure
from pruning.models import MODELS, build_model

BUILT_IN = {
    "digits-mlp": (),
    "digits-cnn": (),
    "digits-resnet": ("stages.stage1.0", "stages.stage1.1", "stages.stage2.1", "stages.stage3.1"),
    "digits-mobilenet": ("stages.stage1.0", "stages.stage1.1", "stages.stage2.1", "stages.stage3.1"),
    "digits-vit": ("blocks.0", "blocks.1", "blocks.2", "blocks.3"),
}


@pytest.mark.parametrize("name", NETS)
def test_blocks_are_found_and_the_network_is_left_alone(name: str) -> None:
    module, inputs = build(name)
    before = traces(module.train())
    found = find_blocks(module, inputs)
    assert traces(module) == before
    assert tuple(block.id for block in found.blocks) == NETS[name][2]
    assert found == find_blocks(module, inputs, find_structure(module, inputs))
    assert [block.order for block in found.blocks] == list(range(len(found.blocks)))
    for block in found.blocks:
        part = module.get_submodule(block.id)
        assert block.parameters == sum(p.numel() for p in part.parameters())
        assert block.macs > 0
        assert f"`{block.id}`" in block.why
        assert block.why.endswith(".")
        assert found.block(block.id) is block


@pytest.mark.parametrize("name", BUILT_IN)
def test_blocks_of_built_in_networks(name: str) -> None:
    inputs = (torch.zeros(1, *MODELS[name].input_shape),)
    found = find_blocks(build_model(name), inputs)
    assert tuple(block.id for block in found.blocks) == BUILT_IN[name]
    kind = "transformer layer" if "vit" in name else "residual block"
    assert {block.kind for block in found.blocks} <= {kind}
    assert {block.features for block in found.blocks} <= {-1 if "vit" in name else 1}


def test_what_cannot_be_dropped_says_why() -> None:
    module, inputs = build("Fast")
    reasons = {each.id: each.reason for each in find_blocks(module, inputs).fixed}
    no_sum = "its output is not its input plus something, so nothing that fits would be left"
    assert reasons == {
        "gate": no_sum,
        "activated": no_sum,
        "both": "it also returns a tensor that is needed later",
        "twice": "it is called 2 times in one forward pass",
        "one": "`one.part.0.weight` is also used outside it",
        "other": "`other.part.0.weight` is also used outside it",
        "read": "without it the network does not run: 'types.SimpleNamespace' object is not subscriptable",
        "last": "its input has shape (5, 12) and its output (5, 4)",
    }
    module, inputs = build("Stages")
    reasons = {each.id: each.reason for each in find_blocks(module, inputs).fixed}
    assert reasons["stages.0.1"] == no_sum
    assert reasons["stages.1.0"] == "its input has shape (8, 8, 8) and its output (10, 4, 4)"


def test_wrong_names_are_answered_in_a_sentence() -> None:
    module, inputs = build("Stages")
    found = find_blocks(module, inputs)
    for name, words in {
        "stages.1.0": "'stages.1.0' cannot be dropped, because its input has shape",
        "stages.0.0.first": "is a part of the block 'stages.0.0'; use that id",
        "nothing": "There is no block 'nothing' in this network; its blocks are stages.0.0, stages.0.2",
    }.items():
        with pytest.raises(ValueError, match=words):
            found.block(name)
    with pytest.raises(ValueError, match="does not run on the example inputs"):
        find_blocks(module, (torch.zeros(1, 4, 8, 8),))


def test_a_deep_chain_is_no_trouble() -> None:
    """Sums are followed without recursion."""
    module = nn.Sequential(nn.Linear(2, 2), nn.Sequential(*(Plus(nn.Linear(2, 2)) for _ in range(400))))
    assert len(find_blocks(module, (torch.zeros(1, 2),)).blocks) == 400
