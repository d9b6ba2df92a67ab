"""How a network becomes a member of the zoo, and the parts that several members are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Built = tuple[nn.Module, tuple[Any, ...]]
ZOO: dict[str, Callable[..., Built]] = {}
IMAGE = (2, 3, 8, 8)
TOKENS = (2, 5, 12)


def member(*shape: int, inputs: Callable[[], tuple[Any, ...]] | None = None) -> Callable[[Any], Any]:
    """Add a class to the zoo under its name, with an example input of that shape, or with made inputs."""

    def add(cls: type[nn.Module]) -> type[nn.Module]:
        def build(seed: int = 0) -> Built:
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                module = cls().eval()
                randomise(module)
                return module, inputs() if inputs else (torch.randn(shape),)

        assert cls.__name__ not in ZOO
        ZOO[cls.__name__] = build
        return cls

    return add


def numbers(*shape: int, below: int = 20) -> Tensor:
    """Random whole numbers, such as token ids."""
    return torch.randint(0, below, shape)


@torch.no_grad()
def randomise(module: nn.Module) -> None:
    """Random biases, scales and running statistics; weights keep the scale of their initialisation."""
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if not tensor.is_floating_point():
            continue
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif tensor.ndim <= 1:
            tensor.add_(0.3 * torch.randn_like(tensor))


def conv(inputs: int, outputs: int, kernel: int = 3, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, **options)


def unit(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, BatchNorm, ReLU."""
    layer = conv(inputs, outputs, kernel, stride=stride, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Head(nn.Module):
    """Average over positions, then classes."""

    def __init__(self, width: int, classes: int = 4) -> None:
        super().__init__()
        self.linear = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.mean((2, 3)))


class SelfAttention(nn.Module):
    """Attention with separate projections, written out; heads and their width have the same size."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads, self.head_width = heads, head_width
        self.q, self.k, self.v = (nn.Linear(width, heads * head_width) for _ in range(3))
        self.out = nn.Linear(heads * head_width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        q, k, v = (
            layer(x).view(batch, tokens, self.heads, self.head_width).transpose(1, 2)
            for layer in (self.q, self.k, self.v)
        )
        weights = (q @ k.transpose(-2, -1) / self.head_width**0.5).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).flatten(2))


class FusedAttention(nn.Module):
    """Attention with one projection for queries, keys and values and PyTorch's own product."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.num_heads, self.head_dim = heads, head_width
        self.qkv = nn.Linear(width, 3 * heads * head_width)
        self.proj = nn.Linear(heads * head_width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
        return self.proj(y.transpose(1, 2).reshape(batch, tokens, -1))


class Perceptron(nn.Sequential):
    """Two linear layers with GELU."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
