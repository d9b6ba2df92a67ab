"""Gates over the channels and positions of images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.members import IMAGE, Head, conv, member, unit


@member(*IMAGE)
class SqueezeExcite(nn.Module):
    """Channels are weighed by a perceptron over their means, made of linear layers (Hu et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.head = unit(3, 8), nn.Linear(8, 4), nn.Linear(4, 8), Head(8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        batch, channels, _, _ = x.size()
        gate = F.adaptive_avg_pool2d(x, 1).view(batch, channels)
        gate = torch.sigmoid(self.c(F.relu(self.b(gate)))).view(batch, channels, 1, 1)
        return self.head(x * gate.expand_as(x))


@member(*IMAGE)
class EfficientChannelAttention(nn.Module):
    """A convolution along the channels weighs them, so they stay (ECA-Net, Wang et al. 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = unit(3, 6), conv(6, 8), Head(8)
        self.along = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.b(self.a(x))
        gate = self.along(F.adaptive_avg_pool2d(x, 1).squeeze(-1).transpose(-1, -2)).transpose(-1, -2)
        return self.head(x * torch.sigmoid(gate.unsqueeze(-1)))


@member(*IMAGE)
class ConvolutionalAttention(nn.Module):
    """Channels by mean and maximum over positions, then positions likewise (CBAM, Woo et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.head = unit(3, 6), Head(8)
        self.free, self.b = unit(6, 5), conv(5, 8)
        self.reduce, self.expand = nn.Conv2d(8, 3, 1), nn.Conv2d(3, 8, 1)
        self.space = nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.b(self.free(self.a(x)))
        pooled = (x.mean((2, 3), keepdim=True), F.adaptive_max_pool2d(x, 1))
        x = x * torch.sigmoid(sum(self.expand(F.relu(self.reduce(part))) for part in pooled))
        space = torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True).values], 1)
        return self.head(x * torch.sigmoid(self.space(space)))


@member(*IMAGE)
class CoordinateAttention(nn.Module):
    """Means along each axis share a layer and are cut apart again (Hou et al. 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.shared, self.norm = unit(3, 8), nn.Conv2d(8, 4, 1), nn.BatchNorm2d(4)
        self.rows, self.columns, self.head = nn.Conv2d(4, 8, 1), nn.Conv2d(4, 8, 1), Head(8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        height, width = x.shape[2:]
        y = torch.cat([x.mean(3, keepdim=True), x.mean(2, keepdim=True).permute(0, 1, 3, 2)], 2)
        rows, columns = torch.split(F.hardswish(self.norm(self.shared(y))), [height, width], 2)
        columns = self.columns(columns.permute(0, 1, 3, 2))
        return self.head(x * torch.sigmoid(self.rows(rows)) * torch.sigmoid(columns))


@member(*IMAGE)
class SelectiveKernel(nn.Module):
    """A softmax over two branches, channel by channel (SKNet, Li et al. 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.small, self.large = unit(3, 8), unit(3, 8, 5)
        self.squeeze, self.weigh, self.head = nn.Linear(8, 5), nn.Linear(5, 2 * 8), Head(8)

    def forward(self, x: Tensor) -> Tensor:
        branches = torch.stack([self.small(x), self.large(x)], 1)
        scores = self.weigh(F.relu(self.squeeze(branches.sum(1).mean((2, 3)))))
        weights = scores.view(len(x), 2, -1).softmax(1)
        return self.head((branches * weights[..., None, None]).sum(1))


@member(*IMAGE)
class SplitAttention(nn.Module):
    """Groups and radices: a softmax over the radices of each group (ResNeSt, Zhang et al. 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.cardinality, self.radix = 2, 2
        self.conv = unit(3, 8 * 2)
        self.fc1, self.fc2 = nn.Conv2d(8, 4, 1, groups=2), nn.Conv2d(4, 16, 1, groups=2)
        self.out, self.head = nn.Conv2d(8, 6, 1), Head(6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        batch, channels = x.shape[:2]
        splits = x.view(batch, self.radix, channels // self.radix, *x.shape[2:])
        gap = self.fc2(F.relu(self.fc1(splits.sum(1).mean((2, 3), keepdim=True))))
        gap = gap.view(batch, self.cardinality, self.radix, -1).transpose(1, 2)
        weights = gap.softmax(1).reshape(batch, self.radix, -1, 1, 1)
        return self.head(self.out((splits * weights).sum(1)))
