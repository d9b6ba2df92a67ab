"""Tiny awkward networks for 6 x 6 grey images and three classes, each with what breaks careless code."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Plain(nn.Module):
    """Two convolutions with BatchNorm and in-place ReLU, flattened into a linear layer; one without bias."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 8, 3, stride=2, bias=False)
        self.norm2 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)  # called twice
        self.head = nn.Linear(8 * 2 * 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm1(self.conv1(x)))
        return self.head(self.relu(self.norm2(self.conv2(x))).flatten(1))


class Residual(nn.Module):
    """A stream that two convolutions write to, a depthwise convolution inside, global pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.expand = nn.Conv2d(8, 12, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(12)
        self.depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12, bias=False)
        self.norm2 = nn.BatchNorm2d(12)
        self.project = nn.Conv2d(12, 8, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x)).relu()
        inner = self.norm1(self.expand(x)).relu()
        inner = self.norm2(self.depthwise(inner)).relu()
        x = (x + self.norm3(self.project(inner))).relu()
        return self.head(x.mean((2, 3)))


class Grouped(nn.Module):
    """A grouped and a transposed convolution, a layer that never runs, a class attribute that is no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3)
        self.grouped = nn.Conv2d(6, 4, 3, groups=2)
        self.up = nn.ConvTranspose2d(4, 5, 2, stride=2)
        self.unused = nn.Linear(7, 7)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(self.grouped(self.conv(x).relu()).relu()).relu()
        return self.head(x.mean((2, 3)))


class Tied(nn.Module):
    """One module called twice, and two layers that share a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(36, 10)
        self.again = nn.Linear(10, 10)
        self.twin = nn.Linear(10, 10, bias=False)
        self.twin.weight = self.again.weight
        self.head = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.flatten(1)).relu()
        x = self.again(self.again(x).relu()).relu()
        return self.head(self.twin(x).relu())


class Attention(nn.Module):
    """Two heads of four, from a fused projection: (b, n, 8) -> (b, n, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.num_heads, self.head_dim = 2, 4
        self.qkv = nn.Linear(8, 24)
        self.proj = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = ((q @ k.transpose(-1, -2)) / 2).softmax(-1) @ v
        return self.proj(mixed.transpose(1, 2).reshape(b, n, self.num_heads * self.head_dim))


class Transformer(nn.Module):
    """Patches, a class token and positions as free parameters, one block, LayerNorms."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 8, 3, stride=3)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.positions = nn.Parameter(torch.randn(1, 5, 8))
        self.norm1 = nn.LayerNorm(8)
        self.attention = Attention()
        self.norm2 = nn.LayerNorm(8)
        self.fc1 = nn.Linear(8, 12)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(12, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        x = x + self.attention(self.norm1(x))
        x = x + self.fc2(self.act(self.fc1(self.norm2(x))))
        return self.head(x[:, 0])


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "plain": Plain,
    "residual": Residual,
    "grouped": Grouped,
    "tied": Tied,
    "transformer": Transformer,
}
EXAMPLE = (torch.zeros(1, 1, 6, 6),)


def tiny(name: str, seed: int = 0) -> nn.Module:
    """One of NETWORKS in eval mode, with random BatchNorm scales, shifts and statistics."""
    random_state = torch.get_rng_state()
    torch.manual_seed(seed)
    module = NETWORKS[name]()
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            nn.init.uniform_(child.weight, 0.5, 1.5)
            nn.init.normal_(child.bias, std=0.3)
            nn.init.normal_(child.running_mean, std=0.3)
            nn.init.uniform_(child.running_var, 0.5, 1.5)
    torch.set_rng_state(random_state)
    return module.eval()


def traces(module: nn.Module) -> list[tuple]:
    """Everything that work on a network could leave behind, to be compared before and after."""
    values = [(name, tensor.clone()) for name, tensor in module.state_dict().items()]
    flags = [
        (m.training, len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
        for m in module.modules()
    ]
    gradients = [(p.requires_grad, None if p.grad is None else p.grad.clone()) for p in module.parameters()]
    return [*((name, tensor.tolist()) for name, tensor in values), tuple(flags), tuple(map(str, gradients))]
