"""A `.pt2` file runs without any class of ours, at any batch size, and answers bit for bit the same."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn
from zoo import Scaled, random_plan

from pruning.checkpoint.program import save_program
from pruning.groups import find_structure
from pruning.models import load_model
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
