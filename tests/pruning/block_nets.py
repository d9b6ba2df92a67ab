"""Tiny networks with blocks that can be dropped, or just cannot: name -> (builder, ids of its blocks)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from zoo import FusedAttention, Head, conv, randomise

Built = tuple[nn.Module, tuple[Any, ...]]
NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], tuple[str, ...]]] = {}
IMAGE, TOKENS = (2, 3, 8, 8), (2, 5, 12)


def build(name: str, seed: int = 0) -> Built:
    """A network in eval mode, in float64, with example inputs."""
    make, shape, _ = NETS[name]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = make().eval()
        randomise(module)
        return module.double(), (torch.randn(shape, dtype=torch.float64),)


def net(shape: tuple[int, ...], *blocks: str) -> Callable[[type[nn.Module]], type[nn.Module]]:
    def add(cls: type[nn.Module]) -> type[nn.Module]:
        NETS[cls.__name__] = (cls, shape, blocks)
        return cls

    return add


class Basic(nn.Module):
    """A residual block, with a projection or a stride if asked for."""

    def __init__(self, inputs: int = 8, outputs: int = 8, stride: int = 1, project: bool = False) -> None:
        super().__init__()
        self.first, self.norm = conv(inputs, 6, stride=stride), nn.BatchNorm2d(6)
        self.second, self.relu = conv(6, outputs), nn.ReLU(inplace=True)
        changed = project or stride > 1 or inputs != outputs
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride) if changed else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(self.relu(self.norm(self.first(x))))
        y += self.shortcut(x)
        return self.relu(y)


@net(IMAGE, "stages.0.0", "stages.0.2", "stages.1.1")
class Stages(nn.Module):
    """Stages of blocks; one block projects its input, one halves the image. Activations work in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 8)
        first = nn.Sequential(Basic(), Basic(project=True), Basic())
        self.stages = nn.Sequential(first, nn.Sequential(Basic(8, 10, 2), Basic(10, 10)))
        self.head = Head(10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stages(torch.relu(self.stem(x))))


@net(IMAGE, "block")
class Overwritten(nn.Module):
    """What comes out of the block is overwritten, while its input is still needed."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.join, self.head = conv(3, 8), Basic(), conv(16, 8), Head(8)

    def forward(self, x: Tensor) -> Tensor:
        kept = self.stem(x)
        x = self.block(kept)
        x *= 3
        return self.head(self.join(torch.cat([kept, x], 1)))


class Layer(nn.Module):
    """A transformer layer that returns its hidden state among other things, in a tuple or a dict."""

    def __init__(self, form: str, post: bool = False) -> None:
        super().__init__()
        self.form, self.post = form, post
        self.norm1, self.norm2 = nn.LayerNorm(12), nn.LayerNorm(12)
        self.attention, self.up, self.down = FusedAttention(12, 3, 4), nn.Linear(12, 16), nn.Linear(16, 12)

    def forward(self, hidden: Tensor, scale: Tensor, label: str = "") -> Any:
        if self.post:
            hidden = self.norm1(hidden + self.attention(hidden) * scale)
            hidden = self.norm2(hidden + self.down(self.up(hidden).relu()))
        else:
            hidden = hidden + self.attention(self.norm1(hidden)) * scale
            hidden = hidden + self.down(self.up(self.norm2(hidden)).relu())
        if self.form == "tuple":
            return hidden, scale, hidden.mean(), None
        return {"label": label, "hidden": hidden} if self.form == "dict" else hidden


@net(TOKENS, "layers.0", "layers.1", "layers.2")
class Forms(nn.Module):
    """Layers that answer with a tuple, a dict and a tensor; the scale comes back through the first."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer("tuple"), Layer("dict", post=True), Layer("tensor")])
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        x, scale, _, nothing = self.layers[0](x, scale=x.mean())
        assert nothing is None
        answer = self.layers[1](hidden=x, scale=scale * 2, label="second")
        assert answer["label"] == "second"
        return self.head(self.layers[2](answer["hidden"], scale).mean(1))


@net(TOKENS, "encoder.layers.0", "encoder.layers.1")
class TorchEncoder(nn.Module):
    """PyTorch's own encoder, which reads an attribute of its first layer's attention."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(12, 3, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x).mean(1))


class Plus(nn.Module):
    """Adds what a part computes to its input."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        return x + self.part(x)


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 20), nn.GELU(), nn.Linear(20, 12))


@net(TOKENS, "outer", "layers.0.0", "layers.0.1", "layers.1.0", "layers.1.1")
class Nested(nn.Module):
    """A sum around two blocks is one block; chains of them are none, nor is a sum's only part."""

    def __init__(self) -> None:
        super().__init__()
        self.outer = Plus(nn.Sequential(Plus(perceptron()), nn.LayerNorm(12), Plus(perceptron())))
        pairs = [nn.Sequential(Plus(FusedAttention(12, 3, 4)), Plus(perceptron())) for _ in range(2)]
        self.layers, self.head = nn.Sequential(*pairs), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(self.outer(x)))


class Detached(nn.Module):
    """A call that recordings do not count."""

    def forward(self, x: Tensor) -> Tensor:
        return x.detach()


@net(TOKENS, "layers.0", "layers.1")
class Averages(nn.Module):
    """A stream of channels that norms average over, before, in and behind the blocks, and work in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.before, self.head = nn.Linear(12, 12), nn.LayerNorm(12), nn.Linear(12, 4)
        parts = [nn.Sequential(nn.LayerNorm(12), Detached(), perceptron()) for _ in range(2)]
        self.layers, self.behind = nn.Sequential(*map(Plus, parts)), nn.LayerNorm(12)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(self.before(self.stem(x)).detach()).relu_()
        return self.head(self.behind(x).mean(1))


class Gate(nn.Module):
    """Scales its input: no sum."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(12, 12), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


class Activated(nn.Module):
    """Adds to the activated input: the input itself is not handed on."""

    def __init__(self) -> None:
        super().__init__()
        self.part = perceptron()

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(x)
        return x + self.part(x)


class Both(nn.Module):
    """Returns a second tensor that others use."""

    def __init__(self) -> None:
        super().__init__()
        self.part = perceptron()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.part(x)
        return x + y, y


@net(TOKENS)
class Fast(nn.Module):
    """Nothing here can be dropped, each for a reason of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.activated, self.both = Gate(), Activated(), Both()
        self.twice, self.one, self.other = Plus(perceptron()), Plus(perceptron()), Plus(perceptron())
        self.other.part[0].weight = self.one.part[0].weight
        self.read, self.last = Plus(perceptron()), nn.Sequential(nn.Linear(12, 6), nn.Linear(6, 4))

    def forward(self, x: Tensor) -> Tensor:
        x, y = self.both(self.activated(self.gate(x)))
        x = self.other(self.one(self.twice(self.twice(x)))) + y
        return self.last(self.read(x) + self.read.part[2].bias)


@net(IMAGE, "block")
class Droppable(nn.Module):
    """One block between two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.head = conv(3, 8), Basic(), Head(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(self.stem(x)))
