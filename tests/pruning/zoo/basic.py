"""One network for each basic kind of coupling; tests that take long use these alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.members import IMAGE, TOKENS, FusedAttention, Head, SelfAttention, conv, member


@member(*IMAGE)
class Plain(nn.Module):
    """Convolutions in a chain, BatchNorm with and without scale, in-place ReLU, pooling, no bias."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(3, 8, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            conv(8, 6),
            nn.BatchNorm2d(6, affine=False),
            nn.Hardswish(),
        )
        self.flatten = nn.Flatten()
        self.head = nn.Sequential(nn.Linear(6 * 16, 10), nn.GELU(), nn.Linear(10, 4, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.flatten(self.body(x)))


@member(*IMAGE)
class Residual(nn.Module):
    """A stem added to a block, twice, once in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 8)
        self.a, self.b, self.c = conv(8, 8), conv(8, 8), conv(8, 8)
        self.norm = nn.BatchNorm2d(8)
        self.head = Head(8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.norm(self.b(F.relu(self.a(x))))
        x += self.c(x)
        return self.head(F.silu(x))


@member(3, 12)
class Tied(nn.Module):
    """An autoencoder whose decoder is the encoder's weight, and two layers that share one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(12, 8)
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
        self.second.weight = self.first.weight
        self.decoder_bias = nn.Parameter(torch.zeros(12))

    def forward(self, x: Tensor) -> Tensor:
        code = torch.relu(self.encoder(x))
        code = torch.relu(self.second(torch.relu(self.first(code))))
        return F.linear(code, self.encoder.weight.t(), self.decoder_bias)


@member(*IMAGE)
class SharedModule(nn.Module):
    """One convolution called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.twice, self.head = conv(3, 8), conv(8, 8), Head(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.twice(F.relu(self.twice(self.stem(x))))))


@member(*IMAGE)
class Depthwise(nn.Module):
    """Depthwise convolutions, one with two filters for each channel, and squeeze-and-excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.expand, self.depthwise = conv(3, 8, 1), conv(8, 16, groups=8)
        self.norm = nn.BatchNorm2d(16)
        self.reduce, self.excite = nn.Conv2d(16, 5, 1), nn.Conv2d(5, 16, 1)
        self.project, self.head = conv(16, 6, 1), Head(6)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self.norm(self.depthwise(F.relu6(self.expand(x)))))
        gate = self.excite(F.relu(self.reduce(F.adaptive_avg_pool2d(x, 1))))
        return self.head(self.project(x * torch.sigmoid(gate)))


@member(*IMAGE)
class Grouped(nn.Module):
    """Convolutions in groups: the groups stay equally wide."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.grouped = conv(3, 12), conv(12, 18, groups=3)
        self.head = Head(18)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.grouped(F.relu(self.stem(x)))))


@member(*TOKENS)
class Transformer(nn.Module):
    """Two kinds of attention, a perceptron, LayerNorm, learned positions, a class token, a layer scale."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 12))
        self.positions = nn.Parameter(torch.randn(1, 6, 12))
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(12), nn.LayerNorm(12), nn.LayerNorm(12)
        self.separate = SelfAttention(12, 4, 4)
        self.fused = FusedAttention(12, 3, 5)
        self.fc1, self.fc2 = nn.Linear(12, 20), nn.Linear(20, 12)
        self.scale = nn.Parameter(torch.rand(20) + 0.5)
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        x = x + self.separate(self.norm1(x))
        x = x + self.fused(self.norm2(x))
        x = x + self.fc2(F.gelu(self.fc1(self.norm3(x))) * self.scale)
        return self.head(x[:, 0])


class Pad(nn.Module):
    """Zero channels before and after."""

    def __init__(self, lo: int, hi: int) -> None:
        super().__init__()
        self.lo, self.hi = lo, hi

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.lo, self.hi))


@member(*IMAGE)
class OptionA(nn.Module):
    """Shortcuts that pad with zero channels, evenly and unevenly (He et al. 2015, option A)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner = conv(3, 4), conv(4, 4)
        self.down1, self.pad1 = conv(4, 8, stride=2), Pad(2, 2)
        self.down2, self.pad2 = conv(8, 13, stride=2), Pad(2, 3)
        self.head = Head(13)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = F.relu(x + self.inner(x))
        x = F.relu(self.pad1(x) + self.down1(x))
        x = F.relu(self.pad2(x) + self.down2(x))
        return self.head(x)


@member(*IMAGE)
class Concat(nn.Module):
    """Outputs side by side, read by the next layers, as in DenseNet; one of them the input itself."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = conv(3, 4), conv(7, 5), conv(12, 6)
        self.norm, self.head = nn.BatchNorm2d(12), Head(6)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x, F.relu(self.a(x))], 1)
        x = torch.cat([x, F.relu(self.b(x))], 1)
        return self.head(F.relu(self.c(self.norm(x))))


@member(*IMAGE)
class Split(nn.Module):
    """Equal pieces by chunk (a gated unit), pieces by given lengths, and a slice up to an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.gated, self.wide, self.rest = conv(3, 12), conv(6, 10), conv(4, 6)
        self.cut = nn.Conv2d(6, 7, 1)
        self.lengths, self.half, self.few = [4, 6], 3, 2
        self.left, self.right = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
        self.head = Head(6)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.gated(x).chunk(2, dim=1)
        x = value * torch.sigmoid(gate)
        small, large = self.wide(x).split(self.lengths, dim=1)
        x = self.cut(torch.relu(self.rest(small)) + large)
        y = self.left(x[:, : self.half]) + self.right(x[:, self.half :])
        return self.head(torch.cat([y, x[:, : self.few]], 1))


@member(*IMAGE)
class Decoder(nn.Module):
    """Down and up again: transposed convolution, upsampling, PReLU, InstanceNorm, an unflattened vector."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.prelu = nn.Conv2d(3, 6, 2, stride=2), nn.PReLU(6)
        self.instance = nn.InstanceNorm2d(6, affine=True)
        self.squeeze, self.grow = nn.Linear(6 * 16, 5), nn.Linear(5, 7 * 4)
        self.unflatten = nn.Unflatten(1, (7, 2, 2))
        self.up, self.out = nn.ConvTranspose2d(7, 4, 2, stride=2), nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.instance(self.prelu(self.down(x)))
        x = self.unflatten(self.grow(torch.relu(self.squeeze(x.flatten(1)))))
        return self.out(F.interpolate(torch.relu(self.up(x)), scale_factor=2))


@member(*IMAGE)
class Filled(nn.Module):
    """A buffer of zeros made in the forward and filled by slices."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = conv(3, 8), conv(3, 8), Head(8)
        self.width = 8

    def forward(self, x: Tensor) -> Tensor:
        total = torch.zeros(len(x), self.width, 8, 8, dtype=x.dtype)
        total.add_(self.a(x))
        total[:, :, ::2] += self.b(x)[:, :, ::2]
        return self.head(torch.relu(total))


@member(*IMAGE)
class Fixed(nn.Module):
    """Much that must not be pruned: GroupNorm, a softmax over channels, a mean over channels, sorting."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = conv(3, 8), conv(3, 8), conv(3, 8), conv(3, 8)
        self.norm, self.head, self.free = nn.GroupNorm(2, 8), Head(5), conv(24, 5)
        self.unused = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        a = self.norm(self.a(x))
        b = self.b(x).softmax(1)
        c = self.c(x)
        c = c - c.mean(1, keepdim=True)
        d = self.d(x).sort(1).values.mean((1, 2, 3))
        return self.head(self.free(torch.cat([a, b, c], 1))) * d[:, None]


@member(2, 5, 12)
class TorchAttention(nn.Module):
    """nn.MultiheadAttention, whose code computes head widths itself, beside a free perceptron."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(12, 3, batch_first=True)
        self.fc1, self.fc2 = nn.Linear(12, 9), nn.Linear(9, 12)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(x, x, x)[0]
        return self.fc2(torch.relu(self.fc1(x)))


@member(2, 5, 12)
class Recurrent(nn.Module):
    """A GRU between linear layers: what it touches stays."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.gru, self.after = nn.Linear(12, 8), nn.GRU(8, 8, batch_first=True), nn.Linear(8, 6)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.after(self.gru(self.before(x))[0])))


class Baked(nn.Module):
    """A width written into the forward: its smaller copy cannot run."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(12, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.relu(self.a(x)).view(-1, 8))


class Scaled(nn.Module):
    """The width enters the arithmetic through Python: the smaller copy runs, and answers otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(12, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.a(x))
        return self.b(x) * x.shape[-1]
