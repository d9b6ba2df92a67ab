"""A compression that begins with a network out of a checkpoint."""

from __future__ import annotations

import pytest
import torch

from pruning import Recipe, Rule, find_structure, load_checkpoint, load_model, load_task, make_plan, shrink
from pruning.checkpoint import checkpoint_bytes
from pruning.compress import Compression, Sharing, begun, compress
from pruning.recover import Recovery


def test_it_goes_on_with_what_was_pruned() -> None:
    loaded, task = load_model("digits-mlp"), load_task("digits")
    structure = find_structure(loaded.module, loaded.example_inputs)
    rules = {structure.groups[0].id: Rule(ratio=0.5)}
    recipe = Recipe(model=loaded.name, rules=rules)
    plan = make_plan(loaded.module, recipe, example_inputs=loaded.example_inputs)
    small = shrink(loaded.module, plan, loaded.example_inputs)
    begin = begun(loaded, checkpoint_bytes(small, plan, recipe))
    assert begin.recipe == recipe
    for key, keep in plan.keep.items():
        assert torch.equal(begin.plan.keep[key], keep)
    assert [entry.kept for entry in begin.plan.entries] == [entry.kept for entry in plan.entries]
    wanted = Compression(share=Sharing(bits={"hidden.fc1": 3, "head": 3}))
    found = compress(loaded.module, task, wanted, example_inputs=loaded.example_inputs, begin=begin)
    assert [stage.name for stage in found.stages] == ["dense", "pruned", "shared", "coded"]
    again = load_checkpoint(found.file).module
    images = torch.stack([task.validation[i][0] for i in range(16)])
    assert torch.equal(again(images), found.module(images))
    with pytest.raises(ValueError, match="pruned already"):
        compress(
            loaded.module,
            task,
            Compression(prune=Recovery(recipe=recipe)),
            example_inputs=loaded.example_inputs,
            begin=begin,
        )
