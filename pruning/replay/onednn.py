"""Operations of oneDNN that PyTorch has for its own compiler, and the plain ones where they do not run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

aten = torch.ops.aten


def linear(
    x: Tensor, weight: Tensor, bias: Tensor | None, other: Tensor | None = None, relu: bool = False
) -> Tensor:
    """x (rows, in) times weight (out, in), plus `other` (rows, out); then a ReLU if wanted.

    By oneDNN where it can: on AMD processors twice as fast as MKL.
    """
    if _linear is not None and _runs(x, weight) and x.numel():
        if other is None:
            return _linear.default(x.contiguous(), weight, bias, "relu" if relu else "none", [], "")
        out = _linear.binary(x.contiguous(), other.contiguous(), weight, bias, "add")
    else:
        out = functional.linear(x, weight, bias)
        out = out if other is None else out + other
    return out.relu_() if relu else out


def convolved(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    other: Tensor | None,
    relu: bool,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
) -> Tensor:
    """x (images, in, H, W) convolved by weight (out, in, h, w), plus `other`; then a ReLU if wanted."""
    if _convolution is not None and _runs(x, weight):
        settings = (padding, stride, dilation, groups)
        if other is None:
            return _convolution.default(x, weight, bias, *settings, "relu" if relu else "none", [], "")
        other = other.contiguous(memory_format=torch.channels_last)
        last = "relu" if relu else None
        return _convolution.binary(x, other, weight, bias, *settings, "add", 1.0, last, [], "")
    out = aten.convolution.default(x, weight, bias, stride, padding, dilation, False, [0, 0], groups)
    out = out if other is None else out + other
    return out.relu_() if relu else out


def _runs(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN's operations take these numbers."""
    return x.dtype == weight.dtype == torch.float32 and x.device.type == "cpu"


def _operation(name: str) -> Any:
    """One of them in all its forms; None where PyTorch was built without oneDNN, or does not have it."""
    return getattr(torch.ops.mkldnn, name, None) if torch.backends.mkldnn.is_available() else None


_linear, _convolution = _operation("_linear_pointwise"), _operation("_convolution_pointwise")
