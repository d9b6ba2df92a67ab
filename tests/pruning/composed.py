"""Random small networks: a chain of blocks, each with a size and a twist of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from zoo import Head, conv, randomise
from zoo.members import SelfAttention

WIDTHS = (4, 6, 8, 12)
BLOCKS: dict[str, Callable[[int, int, int], tuple[nn.Module, int]]] = {}


class Step(NamedTuple):
    """One block: its name, a width for it, and a number for whatever else it chooses."""

    block: str
    width: int
    twist: int


def block(name: str) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Register a module made of (inputs, width, twist) whose `channels` says what it makes."""

    def add(cls: type[nn.Module]) -> type[nn.Module]:
        def make(inputs: int, width: int, twist: int) -> tuple[nn.Module, int]:
            made = cls(inputs, width, twist)
            return made, made.channels

        BLOCKS[name] = make
        return cls

    return add


class Block(nn.Module):
    """Keeps the number of channels unless it says otherwise."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels


def activation(twist: int) -> nn.Module:
    return (nn.ReLU(), nn.GELU(), nn.Sigmoid(), nn.SiLU(inplace=True), nn.Tanh())[twist % 5]


@block("convolution")
class Convolution(Block):
    def __init__(self, inputs: int, width: int, twist: int) -> None:
        super().__init__(width)
        self.conv, self.act = conv(inputs, width, (1, 3)[twist % 2], bias=twist % 3 > 0), activation(twist)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv(x))


@block("depthwise")
class Depthwise(Block):
    def __init__(self, inputs: int, width: int, twist: int) -> None:
        super().__init__(inputs * (1 + twist % 2))
        self.conv, self.act = conv(inputs, self.channels, groups=inputs), activation(twist)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv(x))


@block("grouped")
class Grouped(Block):
    def __init__(self, inputs: int, width: int, twist: int) -> None:
        super().__init__(width)
        self.conv = conv(inputs, width, groups=2 if inputs % 2 == 0 else 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x))


@block("residual")
class Residual(Block):
    def __init__(self, inputs: int, width: int, twist: int) -> None:
        super().__init__(inputs)
        self.a, self.b, self.act = conv(inputs, width), conv(width, inputs, 1), activation(twist)
        self.scale = nn.Parameter(torch.rand(inputs, 1, 1)) if twist % 2 else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.b(self.act(self.a(x)))
        return x + (y if self.scale is None else self.scale * y)


@block("concat")
class Concat(Block):
    def __init__(self, inputs: int, width: int, twist: int) -> None:
        super().__init__(inputs * (twist % 2) + 2 * width)
        self.a, self.b, self.through = conv(inputs, width), conv(inputs, width, 1), twist % 2

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x] * self.through + [F.relu(self.a(x)), torch.sigmoid(self.b(x))], 1)


@block("split")
class Split(Block):
    def __init__(self, inputs: int, width: int, twist: int) -> None:
        super().__init__(width + inputs - inputs // 2)
        self.cut, self.conv, self.chunks = (
            inputs // 2,
            conv(inputs // 2, width),
            twist % 2 and inputs % 2 == 0,
        )

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, 1) if self.chunks else (x[:, : self.cut], x[:, self.cut :])
        return torch.cat([right, self.conv(left)], 1)


@block("squeeze and excite")
class SqueezeExcite(Block):
    def __init__(self, inputs: int, width: int, twist: int) -> None:
        super().__init__(inputs)
        self.reduce, self.excite = nn.Linear(inputs, width), nn.Linear(width, inputs)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.excite(F.relu(self.reduce(x.mean((2, 3))))))
        return x * gate[:, :, None, None]


@block("attention")
class Attention(Block):
    def __init__(self, inputs: int, width: int, twist: int) -> None:
        super().__init__(inputs)
        self.attention = SelfAttention(inputs, 2 + twist % 2, width)
        self.norm = nn.LayerNorm(inputs) if twist % 3 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.attention(self.norm(x.flatten(2).transpose(1, 2)))
        return x + y.transpose(1, 2).reshape(x.shape)


@block("gated unit")
class GatedUnit(Block):
    def __init__(self, inputs: int, width: int, twist: int) -> None:
        super().__init__(width)
        self.conv, self.own = conv(inputs, 2 * width, 1), twist % 2

    def forward(self, x: Tensor) -> Tensor:
        if self.own:
            return F.glu(self.conv(x), 1)
        value, gate = self.conv(x).chunk(2, 1)
        return value * F.silu(gate)


@block("norm")
class Norm(Block):
    def __init__(self, inputs: int, width: int, twist: int) -> None:
        super().__init__(inputs)
        groups = 2 if inputs % 2 == 0 else 1
        self.norm = (
            nn.BatchNorm2d(inputs),
            nn.InstanceNorm2d(inputs, affine=True),
            nn.GroupNorm(groups, inputs),
            nn.LayerNorm(inputs),
        )[twist % 4]

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.norm, nn.LayerNorm):
            return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.norm(x)


@block("reshape")
class Reshape(Block):
    """Channels dealt out anew, or into pixels and back."""

    def __init__(self, inputs: int, width: int, twist: int) -> None:
        even, fours = inputs % 2 == 0, inputs % 4 == 0 and inputs > 4
        way = ("deal" if even else "none", "unshuffle", "shuffle" if fours else "none")[twist % 3]
        super().__init__({"unshuffle": 4 * inputs, "shuffle": inputs // 4}.get(way, inputs))
        self.way = way

    def forward(self, x: Tensor) -> Tensor:
        if self.way == "deal":
            batch, channels, height, width = x.shape
            x = x.view(batch, 2, channels // 2, height, width).transpose(1, 2)
            return x.reshape(batch, channels, height, width)
        if self.way == "unshuffle":  # from any size, doubled first so that it is even
            return F.pixel_unshuffle(F.interpolate(x, scale_factor=2), 2)
        return F.pixel_shuffle(x, 2) if self.way == "shuffle" else x


@block("pooling")
class Pooling(Block):
    def __init__(self, inputs: int, width: int, twist: int) -> None:
        super().__init__(inputs)
        self.twist = twist

    def forward(self, x: Tensor) -> Tensor:
        if self.twist % 3 == 2:
            return F.interpolate(x, scale_factor=2)
        return (F.avg_pool2d, F.max_pool2d)[self.twist % 3](x, 3, 1, 1)


class Composed(nn.Module):
    """Blocks in a row and a head that reads positions or their mean."""

    def __init__(self, steps: Sequence[Step]) -> None:
        super().__init__()
        channels, blocks = 3, []
        for step in [Step("convolution", 6, 1), *steps]:
            module, channels = BLOCKS[step.block](channels, WIDTHS[step.width % len(WIDTHS)], step.twist)
            blocks.append(module)
        self.body, self.head = nn.Sequential(*blocks), Head(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def composed(steps: Sequence[Step]) -> nn.Module:
    """The network of these steps with random weights, always the same ones, in float64."""
    with torch.random.fork_rng():
        torch.manual_seed(len(steps))
        module = Composed(steps).eval()
        randomise(module)
        return module.double()
