"""2:4 as semi-structured tensors: which layers are chosen, and what is said where there is no device."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from pruning.masks import apply_masks
from pruning.plan import make_plan
from pruning.recipe import Recipe, Rule
from pruning.sparsity.semi_structured import (
    compare_two_four,
    eligible,
    is_two_four,
    obstacle,
    to_two_four,
)

ROOT = Path(__file__).parents[3]
no_device = pytest.mark.skipif(not obstacle(), reason="there is a device for 2:4 here")
device = pytest.mark.skipif(bool(obstacle()), reason=obstacle() or "-")


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fits = nn.Linear(64, 128)
        self.odd = nn.Linear(128, 100)
        self.dense = nn.Linear(100, 64)
        self.tied = nn.Linear(64, 64)
        self.twin = nn.Linear(64, 64)
        self.twin.weight = self.tied.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.dense(self.odd(self.fits(x).relu()).relu())
        return self.twin(self.tied(x).relu())


def masked(*keys: str) -> nn.Module:
    torch.manual_seed(0)
    module = Net().eval()
    rules = {key: Rule(granularity="2:4", ratio=0.5) for key in keys}
    plan = make_plan(module, Recipe(rules=rules), example_inputs=(torch.randn(2, 64),))
    return apply_masks(module, plan)


def test_the_layers_that_the_kernels_take_are_chosen() -> None:
    found = eligible(masked("fits", "odd", "tied"))
    assert [name for name, reason in found.items() if not reason] == ["fits"]
    assert found["odd"] == "its weight is 100 x 128, and the kernels take multiples of 16 x 16"
    assert found["tied"] == found["twin"] == "its weight is shared with another layer"
    assert eligible(masked("odd"))["fits"] == "its weight is not 2:4"
    with pytest.raises(ValueError, match="half precision"):
        eligible(masked(), torch.float32)


def test_two_four_is_told_by_runs_of_four() -> None:
    assert is_two_four(torch.tensor([[1.0, 0, 2, 0, 0, 0, 0, 0], [0, 0, 0, 3, 1, 1, 0, 0]]))
    assert not is_two_four(torch.tensor([[0.0, 0, 1, 1, 1, 1, 1, 0]]))
    assert not is_two_four(torch.zeros(2, 6))
    assert not is_two_four(torch.zeros(2, 4, 1, 1))


@no_device
def test_without_a_device_one_sentence_says_so() -> None:
    with pytest.raises(ValueError, match=r"^2:4 tensors need [^.]*\.?[^.]*\.$"):
        to_two_four(masked("fits"))
    with pytest.raises(ValueError, match="2:4 tensors need"):
        compare_two_four(masked("fits"), (torch.randn(2, 64),))


@no_device
def test_the_benchmark_says_that_it_needs_one() -> None:
    command = [sys.executable, "benchmarks/two_four.py"]
    done = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": "."}, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"Nothing is measured: {obstacle()}\n"


@device
def test_on_a_device_the_answers_are_those_of_the_masked_network() -> None:
    module = masked("fits").eval()
    x = torch.randn(64, 64)
    with torch.inference_mode():
        dense = module.to("cuda", torch.float16)(x.to("cuda", torch.float16))
        sparse = to_two_four(module)(x.to("cuda", torch.float16))
    assert torch.allclose(dense, sparse, atol=2e-2)
    assert compare_two_four(module, (x,), budget_s=0.5).baseline is not None
