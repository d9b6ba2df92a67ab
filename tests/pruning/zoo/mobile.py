"""Convolutional networks for small machines, and their modern relatives."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.members import IMAGE, Head, conv, member, unit


@member(*IMAGE)
class MobileNetV1(nn.Module):
    """Depthwise and pointwise in turn (Howard et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = unit(3, 6), Head(10)
        self.body = nn.Sequential(unit(6, 6, groups=6), unit(6, 8, 1), unit(8, 8, groups=8), unit(8, 10, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.stem(x)))


@member(*IMAGE)
class MobileNetV2(nn.Module):
    """Inverted residuals between linear bottlenecks (Sandler et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = unit(3, 6), Head(6)
        self.blocks = nn.ModuleList(
            nn.Sequential(unit(6, 12, 1), unit(12, 12, groups=12), nn.Conv2d(12, 6, 1), nn.BatchNorm2d(6))
            for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


@member(*IMAGE)
class MobileNetV3(nn.Module):
    """Inverted residual with squeeze-and-excitation and hard activations (Howard et al. 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.expand, self.depthwise = conv(3, 6), conv(6, 12, 1), conv(12, 12, 5, groups=12)
        self.norms = nn.ModuleList([nn.BatchNorm2d(6), nn.BatchNorm2d(12), nn.BatchNorm2d(12)])
        self.fc1, self.fc2, self.project = nn.Conv2d(12, 4, 1), nn.Conv2d(4, 12, 1), nn.Conv2d(12, 6, 1)
        self.last, self.head = nn.Linear(6, 9), nn.Linear(9, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.norms[0](self.stem(x)))
        y = F.hardswish(self.norms[1](self.expand(x)))
        y = self.norms[2](self.depthwise(y))
        y = y * F.hardsigmoid(self.fc2(F.relu(self.fc1(y.mean((2, 3), keepdim=True)))))
        x = x + self.project(F.hardswish(y))
        return self.head(F.hardswish(self.last(x.mean((2, 3)))))


class DropPath(nn.Module):
    """Stochastic depth (Huang et al. 2016): nothing happens outside of training."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        return x * torch.empty(len(x), 1, 1, 1).bernoulli_(0.8) / 0.8


@member(*IMAGE)
class EfficientNet(nn.Module):
    """MBConv with stochastic depth and static "same" padding (Tan and Le 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.expand = nn.Conv2d(3, 6, 3, stride=2), nn.Conv2d(6, 12, 1, bias=False)
        self.depthwise, self.norm = nn.Conv2d(12, 12, 3, groups=12, bias=False), nn.BatchNorm2d(12)
        self.reduce, self.excite, self.project = nn.Conv2d(12, 2, 1), nn.Conv2d(2, 12, 1), nn.Conv2d(12, 6, 1)
        self.drop, self.head = DropPath(), Head(6)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.stem(F.pad(x, (0, 1, 0, 1))))
        y = F.silu(self.norm(self.depthwise(F.pad(F.silu(self.expand(x)), [1, 1, 1, 1]))))
        y = torch.sigmoid(self.excite(F.silu(self.reduce(F.adaptive_avg_pool2d(y, 1))))) * y
        return self.head(F.dropout(self.drop(self.project(y)), 0.2, self.training) + x)


@member(*IMAGE)
class ShuffleNetV1(nn.Module):
    """Convolutions in groups with channels dealt out anew between them (Zhang et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b, self.head = (
            unit(3, 12),
            conv(12, 18, 1, groups=3),
            conv(18, 12, groups=3),
            Head(12),
        )
        self.groups = 3

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(self.stem(x))
        batch, channels, height, width = x.shape
        x = x.view(batch, self.groups, channels // self.groups, height, width).transpose(1, 2).contiguous()
        return self.head(F.relu(self.b(x.view(batch, channels, height, width))))


@member(*IMAGE)
class ShuffleNetV2(nn.Module):
    """Half goes around, then both halves are shuffled by PyTorch's own layer, twice (Ma et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head, self.shuffle = unit(3, 12), Head(12), nn.ChannelShuffle(2)
        self.blocks = nn.ModuleList(
            nn.Sequential(unit(6, 6, 1), conv(6, 6, groups=6), unit(6, 6, 1)) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            left, right = x.chunk(2, 1)
            x = self.shuffle(torch.cat([left, block(right)], 1))
        return self.head(x)


@member(*IMAGE)
class GhostNet(nn.Module):
    """Cheap depthwise copies beside the features, cut to length (Han et al. 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.primary, self.cheap, self.width = unit(3, 6, 1), unit(6, 6, groups=6), 11
        self.after, self.head = conv(11, 7), Head(7)

    def forward(self, x: Tensor) -> Tensor:
        x = self.primary(x)
        x = torch.cat([x, self.cheap(x)], 1)[:, : self.width]
        return self.head(F.relu(self.after(x)))


class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over the channels of images."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@member(*IMAGE)
class ConvNeXt(nn.Module):
    """Depthwise, LayerNorm, linear layers with channels last, layer scale (Liu et al. 2022)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first = nn.Conv2d(3, 8, 2, stride=2), LayerNorm2d(8)
        self.depthwise, self.norm = conv(8, 8, 7, groups=8), nn.LayerNorm(8)
        self.fc1, self.fc2, self.scale = nn.Linear(8, 20), nn.Linear(20, 8), nn.Parameter(torch.rand(8) + 0.1)
        self.last, self.head = nn.LayerNorm(8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.stem(x))
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.scale * self.fc2(F.gelu(self.fc1(y)))
        x = x + y.permute(0, 3, 1, 2)
        return self.head(self.last(x.mean([-2, -1])))


@member(*IMAGE)
class RepVGG(nn.Module):
    """A 3x3, a 1x1 and an identity branch with norms, added (Ding et al. 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.three, self.one = conv(3, 8), conv(8, 8, bias=False), conv(8, 8, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(8) for _ in range(3)])
        self.down, self.head = unit(8, 6, stride=2), Head(6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.norms[0](self.three(x)) + self.norms[1](self.one(x)) + self.norms[2](x)
        return self.head(self.down(F.relu(x)))


@member(*IMAGE)
class MixedKernels(nn.Module):
    """Depthwise convolutions of different kernels over pieces of the channels (MixConv, Tan and Le 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.expand, self.project, self.head = unit(3, 11, 1), conv(11, 6, 1), Head(6)
        self.mixed = nn.ModuleList(
            [conv(4, 4, 3, groups=4), conv(4, 4, 5, groups=4), conv(3, 3, 7, groups=3)]
        )
        self.lengths = [4, 4, 3]

    def forward(self, x: Tensor) -> Tensor:
        pieces = torch.split(self.expand(x), self.lengths, dim=1)
        mixed = [layer(piece) for layer, piece in zip(self.mixed, pieces, strict=True)]
        return self.head(self.project(torch.cat(mixed, dim=1)))
