"""Linear layers and convolutions computed in 8-bit integers, by oneDNN's kernels for the processor.

A layer takes float32 and gives float32 like the one it replaces, or hands integers on to the next one.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from pruning.layers import CONVOLUTIONS
from pruning.quantise.activations import InputGrid
from pruning.quantise.grid import Grid

KINDS = (nn.Linear, *CONVOLUTIONS)


@cache
def obstacle() -> str:
    """Why layers cannot run in integers on this machine, one sentence; "" if they can.

    Tried on a layer whose sums are the largest that can occur: processors without instructions for it may
    cut off intermediate sums.
    """
    try:
        layer = nn.Linear(64, 4)
        grid = Grid(torch.full((4, 64), 127, dtype=torch.int8), torch.ones(4), torch.zeros(4).int(), 8)
        made = IntegerLayer(layer, grid, InputGrid(1.0, 0, 8))
        with torch.no_grad():
            got = made(torch.full((2, 64), 255.0)) - layer.bias
    except (RuntimeError, AttributeError, NotImplementedError):
        return "This build of PyTorch has no integer kernels for this processor, so nothing runs in integers."
    if not torch.allclose(got, torch.full_like(got, 64 * 127 * 255)):
        return "The integer kernels of this processor cut off large sums, so nothing runs in integers."
    return ""


def misfit(layer: nn.Module) -> str:
    """Why a layer stays in float, "" if it can run in integers."""
    if type(layer) not in KINDS:
        return "Only plain linear layers and convolutions have integer kernels."
    if layer.weight.dtype != torch.float32:
        return "Its weight is not of float32."
    if isinstance(layer, CONVOLUTIONS) and (layer.padding_mode != "zeros" or isinstance(layer.padding, str)):
        return "Its padding is not a number of zeros."
    return ""


class IntegerLayer(nn.Module):
    """One layer in 8-bit integers.

    Args:
        layer: that `misfit` has nothing against; it is not changed.
        weight: its weight as integers, symmetric.
        grid: of its input: 8 bits, not symmetric.
    """

    weight: Tensor
    scale: Tensor
    zero_points: Tensor
    bias: Tensor | None

    def __init__(self, layer: nn.Module, weight: Grid, grid: InputGrid) -> None:
        super().__init__()
        out = weight.integers.shape[0]
        self.register_buffer("weight", weight.integers)
        self.register_buffer("scale", weight.scale.expand(out).contiguous())
        self.register_buffer("zero_points", torch.zeros(out, dtype=torch.int32))
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach().clone())  # type: ignore[operator]
        self.geometry: tuple[Any, ...] | None = None
        if isinstance(layer, CONVOLUTIONS):
            self.geometry = list(layer.stride), list(layer.padding), list(layer.dilation), layer.groups
        self.grid = grid
        self.fuses = not isinstance(layer, nn.Conv3d)  # whether its kernel has a ReLU to offer
        self.relu = False  # whether a ReLU follows in the same kernel
        self.takes_integers = False  # whether what comes is rounded already
        self.gives: InputGrid | None = None  # the lattice of the only layers that take its output
        self._packed: dict[tuple[int, ...], Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        """(b, ..., in) or (b, in, ...) -> the layer's output, float32, or uint8 if it hands integers on."""
        if not self.takes_integers:
            x = rounded(x, self.grid)
        given = (x, self.grid.scale, self.grid.zero_point, self._weight(x), self.scale, self.zero_points)
        last: tuple[Any, ...] = (1.0, 0, torch.float32)
        if self.gives is not None:
            last = (self.gives.scale, self.gives.zero_point, torch.uint8)
        last = (*last, "relu" if self.relu else "none", [], "")
        if self.geometry is None:
            return torch.ops.onednn.qlinear_pointwise(*given, self.bias, *last)
        return torch.ops.onednn.qconv_pointwise(*given, self.bias, *self.geometry, *last)

    def _weight(self, x: Tensor) -> Tensor:
        """The weight in the kernel's own order for images of this size, made when it is first needed.

        In another order it would be put into this one at every call, which takes longer than all the rest.
        """
        size = tuple(x.shape[1:])
        if size not in self._packed:
            shape = list(x.shape)
            if self.geometry is None:
                rows = [x.shape[:-1].numel(), shape[-1]]
                self._packed[size] = torch.ops.onednn.qlinear_prepack(self.weight, rows)
            else:
                given = self.weight, self.scale, self.grid.scale, self.grid.zero_point
                self._packed[size] = torch.ops.onednn.qconv_prepack(*given, *self.geometry, shape)
        return self._packed[size]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_packed": {}}  # the kernel's order is not copied or pickled

    def extra_repr(self) -> str:
        """The shape of its weight."""
        return f"{tuple(self.weight.shape)}, relu={self.relu}, geometry={self.geometry}"


def rounded(x: Tensor, grid: InputGrid) -> Tensor:
    """Float values as integers of a lattice of 8 bits, uint8; as `torch.fake_quantize_per_tensor_affine`."""
    y = x.mul(1.0 / grid.scale)
    if grid.zero_point:
        y.add_(grid.zero_point)
    return y.round_().clamp_(0, 255).to(torch.uint8)
