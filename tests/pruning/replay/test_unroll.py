"""Convolutions as products of matrices answer like convolutions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pruning.replay import Program
from pruning.replay.unroll import multiplied, unrolled

SHAPES = [  # size, filter, stride, padding, dilation
    ((2, 2), (3, 3), (1, 1), (1, 1), (1, 1)),
    ((3, 2), (3, 3), (1, 1), (2, 1), (1, 1)),
    ((3, 3), (3, 3), (2, 2), (1, 1), (1, 1)),
    ((3, 3), (2, 5), (1, 2), (0, 2), (2, 1)),
    ((1, 1), (5, 5), (1, 1), (2, 2), (1, 1)),
    ((4, 5), (1, 1), (1, 1), (0, 0), (1, 1)),
    ((2, 2), (1, 1), (2, 2), (0, 0), (1, 1)),
]


@pytest.mark.parametrize(("size", "kernel", "stride", "padding", "dilation"), SHAPES)
@pytest.mark.parametrize("rest", [True, False])
def test_a_product_is_the_convolution(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    rest: bool,
) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(4, 3, *size).double(), torch.randn(5, 3, *kernel).double()
    bias = torch.randn(5).double() if rest else None
    wanted = functional.conv2d(x, weight, bias, stride, padding, dilation)
    other = torch.randn_like(wanted) if rest else None
    wanted = wanted if other is None else (wanted + other).relu()
    matrix, moved = unrolled(weight, bias, size, stride, padding, dilation)
    for layout in (torch.contiguous_format, torch.channels_last):
        given = x.contiguous(memory_format=layout)
        got = multiplied(given, matrix, moved, other, rest, wanted.shape[2:])
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)


class Shrinking(nn.Module):
    """Ends in images of 2 x 2, with a norm, a skip, a grouped convolution and one made by the images."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1, stride=2, bias=False), nn.BatchNorm2d(8)
        self.second, self.grouped = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.each, self.head = nn.Conv2d(8, 8, 1), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.first(x)).relu()
        x = (self.second(x) + x).relu() + self.each(x) + self.grouped(x)
        x = x + functional.conv2d(x, x.mean((0, 2, 3)).expand(8, 8).unsqueeze(-1).unsqueeze(-1))
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_small_images_are_multiplied_and_versions_are_too(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    module = Shrinking().to(dtype).eval()
    nn.init.uniform_(module.norm.running_var, 0.5, 2)
    x = torch.randn(5, 3, 4, 4, dtype=dtype)
    program = Program(module, x, None)
    names = [getattr(step.function, "__name__", "") for step in program.steps]
    assert names.count("multiplied") == 2
    assert names.count("convolved") == 3
    for name in ("first.weight", "second.weight", "each.weight"):
        weight = module.get_parameter(name)
        whole, mask = weight.detach().clone(), torch.rand(weight.shape) > 0.5
        version = program.version({}, {name: mask})
        with torch.no_grad():
            weight.mul_(mask)
            wanted = module(x)
            weight.copy_(whole)
        got = program.answer(program.begin(x), len(x), 0, version)
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5 if dtype == torch.float32 else 1e-12)
