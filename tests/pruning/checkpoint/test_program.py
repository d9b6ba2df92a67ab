"""A `.pt2` file runs without any class of ours, at any batch size, and answers bit for bit the same."""

import os
import subprocess
import sys
import threading

import pytest
import torch
from torch import Tensor, nn
from zoo import Scaled, random_plan

from pruning.checkpoint import checkpoint_bytes, program_code, program_of
from pruning.checkpoint.program import save_program
from pruning.groups import find_structure
from pruning.models import load_model
from pruning.plan import Plan
from pruning.recipe import Recipe
from pruning.shrink import is_graph, shrink

RUN = """
import sys, torch
program = torch.export.load(sys.argv[1]).module()
torch.save(program(torch.load(sys.argv[2], weights_only=True)), sys.argv[3])
"""


@pytest.mark.parametrize("name", ["digits-vit"])
def test_a_fresh_process_needs_torch_alone(name, tmp_path):
    loaded = load_model(name)
    small = shrink(
        loaded.module,
        random_plan(find_structure(loaded.module, loaded.example_inputs), 1),
        loaded.example_inputs,
    )
    path = save_program(tmp_path / "small.pt2", small, loaded.example_inputs)
    inputs = torch.randn(5, *loaded.example_inputs[0].shape[1:])
    torch.save(inputs, tmp_path / "inputs.pt")
    files = [path, tmp_path / "inputs.pt", tmp_path / "outputs.pt"]
    subprocess.run([sys.executable, "-c", RUN, *map(str, files)], check=True, cwd=tmp_path, timeout=120)
    got = torch.load(files[2], weights_only=True)
    with torch.no_grad():
        torch.testing.assert_close(got, small(inputs), rtol=0, atol=1e-6)


def test_a_graph_is_written_too(tmp_path):
    module, inputs = Scaled().eval(), (torch.randn(2, 12),)
    small = shrink(module, random_plan(find_structure(module, inputs), 1), inputs)
    assert is_graph(small)
    program = torch.export.load(save_program(tmp_path / "a.pt2", small, inputs)).module()
    more = torch.randn(6, 12)
    assert torch.equal(program(more), small(more))


def test_what_cannot_be_exported_is_said_in_words_and_leaves_no_file(tmp_path):
    class Loose(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if float(x.sum()) > 0 else -x

    module = Loose().train()
    with pytest.raises(ValueError, match=r"^This Loose cannot be written as a \.pt2 program: [^\n]+$"):
        save_program(tmp_path / "a.pt2", module, (torch.randn(2, 3),))
    assert module.training
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="cannot be written to"):
        save_program(tmp_path / "no" / "a.pt2", nn.Linear(3, 2), (torch.randn(2, 3),))


@pytest.fixture(scope="module")
def checkpoint() -> bytes:
    loaded = load_model("digits-mlp")
    plan = Plan({}, (), find_structure(loaded.module, loaded.example_inputs), "digits-mlp")
    return checkpoint_bytes(loaded.module, plan, Recipe(model="digits-mlp"))


def test_the_code_that_is_handed_out_runs_in_a_fresh_process(checkpoint, tmp_path):
    (tmp_path / "small.pt2").write_bytes(program_of(checkpoint))
    images = torch.randn(3, 1, 8, 8)
    torch.save(images, tmp_path / "images.pt")
    use = 'torch.save(network(torch.load("images.pt", weights_only=True)), "answers.pt")'
    (tmp_path / "load.py").write_text(f"{program_code('small.pt2')}{use}\n")
    subprocess.run([sys.executable, "load.py"], check=True, cwd=tmp_path, timeout=120)
    with torch.no_grad():
        expected = load_model("digits-mlp").module(images)
    got = torch.load(tmp_path / "answers.pt", weights_only=True)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)


def test_a_fresh_process_says_in_one_sentence_what_is_wrong(checkpoint):
    with pytest.raises(
        ValueError,
        match=r"^The file is neither a \.safetensors nor a \.prz checkpoint, by its first bytes\.$",
    ):
        program_of(b"0123456789" + checkpoint)


def test_a_process_that_is_stopped_ends_soon(checkpoint):
    stop, before = threading.Event(), os.times()
    stop.set()
    with pytest.raises(ValueError, match="stopped"):
        program_of(checkpoint, stop)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    assert used < 2, "seconds of work, of several; those on the clock are many on a busy machine"
