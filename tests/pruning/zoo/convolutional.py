"""Convolutional trunks, pyramids and decoders."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.members import IMAGE, Head, conv, member, unit


@member(*IMAGE)
class Bottleneck(nn.Module):
    """ResNet-50's block with a projected shortcut (He et al. 2015)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = unit(3, 8)
        self.a, self.b, self.c = unit(8, 4, 1), unit(4, 4, 3, 2), nn.Conv2d(4, 12, 1)
        self.norm, self.shortcut = nn.BatchNorm2d(12), conv(8, 12, 1, stride=2)
        self.head = Head(12)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(F.relu(self.norm(self.c(self.b(self.a(x)))) + self.shortcut(x)))


@member(*IMAGE)
class PreActivation(nn.Module):
    """Norm and activation before each convolution; the shortcut carries raw sums (He et al. 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = conv(3, 8), nn.BatchNorm2d(8)
        self.a, self.b, self.c, self.d = conv(8, 6), conv(6, 8), conv(8, 5), conv(5, 8)
        self.norms = nn.ModuleList(
            [nn.BatchNorm2d(8), nn.BatchNorm2d(6), nn.BatchNorm2d(8), nn.BatchNorm2d(5)]
        )
        self.head = Head(8)

    def forward(self, x: Tensor) -> Tensor:
        n = self.norms
        x = self.stem(x)
        x = x + self.b(F.relu(n[1](self.a(F.relu(n[0](x))))))
        x = x + self.d(F.relu(n[3](self.c(F.relu(n[2](x))))))
        return self.head(F.relu(self.norm(x)))


@member(*IMAGE)
class ResNeXt(nn.Module):
    """A bottleneck whose middle convolution is in groups (Xie et al. 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = unit(3, 10), Head(10)
        self.a, self.b, self.c = unit(10, 12, 1), unit(12, 12, groups=4), nn.Conv2d(12, 10, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(F.relu(x + self.c(self.b(self.a(x)))))


@member(*IMAGE)
class Res2Net(nn.Module):
    """Each piece is filtered after the piece before was added to it (Gao et al. 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.out, self.head = unit(3, 16, 1), nn.Conv2d(16, 6, 1), Head(6)
        self.convs, self.width = nn.ModuleList([conv(4, 4) for _ in range(3)]), 4

    def forward(self, x: Tensor) -> Tensor:
        pieces = torch.split(self.a(x), self.width, 1)
        y, parts = pieces[0], [pieces[0]]
        for piece, layer in zip(pieces[1:], self.convs, strict=True):
            y = F.relu(layer(piece if len(parts) == 1 else piece + y))
            parts.append(y)
        return self.head(self.out(torch.cat(parts, 1)))


@member(*IMAGE)
class CrossStagePartial(nn.Module):
    """One half goes around the residual blocks of the other (CSPNet, Wang et al. 2019; YOLO's C2f)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b = unit(3, 12), unit(6, 6), unit(6, 6)
        self.fuse, self.head, self.width = unit(18, 8, 1), Head(8), 6

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.stem(x).split((self.width, self.width), 1))
        parts.append(parts[-1] + self.b(self.a(parts[-1])))
        return self.head(self.fuse(torch.cat(parts, 1)))


@member(*IMAGE)
class Elan(nn.Module):
    """Two stems and every second convolution of a chain side by side (YOLOv7, Wang et al. 2022)."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = unit(3, 5, 1), unit(3, 6, 1)
        self.chain = nn.ModuleList([unit(6, 4), unit(4, 7), unit(7, 4), unit(4, 5)])
        self.fuse, self.head = unit(23, 9, 1), Head(9)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.left(x), self.right(x)]
        y = parts[-1]
        for number, layer in enumerate(self.chain):
            y = layer(y)
            if number % 2:
                parts.append(y)
        return self.head(self.fuse(torch.cat(parts, 1)))


@member(*IMAGE)
class DenseNet(nn.Module):
    """Every layer reads all before it through norms of its own, then a transition (Huang et al. 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 6)
        self.norms = nn.ModuleList([nn.BatchNorm2d(6 + 4 * n) for n in range(3)])
        self.layers = nn.ModuleList([conv(6 + 4 * n, 4) for n in range(3)])
        self.transition, self.head = (
            nn.Sequential(nn.BatchNorm2d(18), nn.Conv2d(18, 8, 1), nn.AvgPool2d(2)),
            Head(8),
        )

    def forward(self, x: Tensor) -> Tensor:
        features = [self.stem(x)]
        for norm, layer in zip(self.norms, self.layers, strict=True):
            features.append(layer(F.relu(norm(torch.cat(features, 1)))))
        return self.head(self.transition(torch.cat(features, 1)))


@member(*IMAGE)
class Inception(nn.Module):
    """Branches of several kernels and a pooled one, side by side (Szegedy et al. 2014)."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.three = unit(3, 4, 1), nn.Sequential(unit(3, 3, 1), unit(3, 5))
        self.five = nn.Sequential(unit(3, 2, 1), nn.Conv2d(2, 3, (1, 5), padding=(0, 2)))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(3, 4, 1))
        self.after, self.head = unit(16, 6), Head(6)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.after(torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], 1)))


@member(*IMAGE)
class UNet(nn.Module):
    """Down and up, the upper levels handed across (Ronneberger et al. 2015); the output is a map."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2, self.bottom = unit(3, 6), unit(6, 8), unit(8, 10)
        self.up2, self.join2 = nn.ConvTranspose2d(10, 5, 2, stride=2), unit(13, 7)
        self.up1, self.join1, self.out = (
            nn.ConvTranspose2d(7, 4, 2, stride=2),
            unit(10, 6),
            nn.Conv2d(6, 2, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        a = self.down1(x)
        b = self.down2(F.max_pool2d(a, 2))
        y = self.up2(self.bottom(F.max_pool2d(b, 2)))
        y = self.join2(torch.cat([y, b], 1))
        return self.out(self.join1(torch.cat([self.up1(y), a], 1)))


@member(*IMAGE)
class FeaturePyramid(nn.Module):
    """Laterals plus what comes from above, one head for all levels (FPN, RetinaNet: Lin et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2, self.c3 = unit(3, 6), unit(6, 8, stride=2), unit(8, 10, stride=2)
        self.l1, self.l2, self.l3 = nn.Conv2d(6, 5, 1), nn.Conv2d(8, 5, 1), nn.Conv2d(10, 5, 1)
        self.smooth, self.tower, self.out = conv(5, 5), unit(5, 7), nn.Conv2d(7, 2, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        c1 = self.c1(x)
        c2 = self.c2(c1)
        p3 = self.l3(self.c3(c2))
        p2 = self.l2(c2) + F.interpolate(p3, scale_factor=2, mode="nearest")
        p1 = self.l1(c1) + F.interpolate(p2, size=c1.shape[-2:], mode="bilinear", align_corners=False)
        return [self.out(self.tower(self.smooth(level))) for level in (p1, p2, p3)]


@member(*IMAGE)
class AtrousPyramid(nn.Module):
    """Dilated branches and a pooled one that is spread again (ASPP of DeepLab, Chen et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = unit(3, 7)
        self.branches = nn.ModuleList(
            [nn.Conv2d(7, 4, 1), *(nn.Conv2d(7, 4, 3, padding=rate, dilation=rate) for rate in (2, 3))]
        )
        self.pooled, self.project, self.out = nn.Conv2d(7, 5, 1), unit(17, 6, 1), nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        pooled = F.relu(self.pooled(F.adaptive_avg_pool2d(x, 1))).expand(-1, -1, *x.shape[-2:])
        return self.out(self.project(torch.cat([*(branch(x) for branch in self.branches), pooled], 1)))


@member(*IMAGE)
class HighResolution(nn.Module):
    """Two resolutions that exchange their features (HRNet, Wang et al. 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.high, self.low, self.hh, self.ll = unit(3, 5), unit(5, 7, stride=2), conv(5, 5), conv(7, 7)
        self.down, self.up, self.head = conv(5, 7, stride=2), nn.Conv2d(7, 5, 1), Head(12)

    def forward(self, x: Tensor) -> Tensor:
        high = self.high(x)
        low = self.low(high)
        a, b = self.hh(high), self.ll(low)
        high = F.relu(a + F.interpolate(self.up(b), size=a.shape[-2:]))
        low = F.relu(b + self.down(a))
        low = F.interpolate(low, scale_factor=2, mode="bilinear", align_corners=True)
        return self.head(torch.cat([high, low], dim=1))


@member(*IMAGE)
class DualPath(nn.Module):
    """A residual and a dense path that grow out of the same convolution (DPN, Chen et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first, self.second = unit(3, 9), conv(9, 8), conv(11, 8)
        self.residual, self.head = 6, Head(13)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer in (self.first, self.second):
            y = layer(F.relu(x))
            added = x[:, : self.residual] + y[:, : self.residual]
            x = torch.cat([added, x[:, self.residual :], y[:, self.residual :]], 1)
        return self.head(x)


class StandardisedConv(nn.Conv2d):
    """Each filter minus its mean, by its deviation, by a gain (Brock et al. 2021)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)
        self.gain = nn.Parameter(torch.ones(outputs, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        mean = self.weight.mean((1, 2, 3), keepdim=True)
        var = self.weight.var((1, 2, 3), keepdim=True)
        weight = (self.weight - mean) * torch.rsqrt(var + 1e-4) * self.gain
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


@member(*IMAGE)
class WeightStandardised(nn.Module):
    """Filters standardised over what they read: that stays, what nobody reads so is free (NFNet)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.head = (
            StandardisedConv(3, 8),
            conv(8, 6),
            StandardisedConv(6, 8),
            Head(8),
        )
        self.scale = nn.Parameter(torch.tensor(0.2))

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.a(x))
        return self.head(x + self.scale * self.c(F.silu(self.b(x)) * 1.7))


@member(2, 2, 4, 6, 6)
class Volumes(nn.Module):
    """3-D convolutions, one in two parts, with 3-D norms and pools (R(2+1)D, Tran et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.space, self.time = (
            nn.Conv3d(2, 6, (1, 3, 3), padding=(0, 1, 1)),
            nn.Conv3d(6, 8, (3, 1, 1), padding=(1, 0, 0)),
        )
        self.norm, self.instance = nn.BatchNorm3d(6), nn.InstanceNorm3d(8, affine=True)
        self.depthwise, self.last, self.head = (
            nn.Conv3d(8, 8, 3, groups=8),
            nn.Conv3d(8, 5, 1),
            nn.Linear(5, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.space(x)))
        x = F.max_pool3d(F.relu(self.instance(self.time(x))), (1, 2, 2))
        x = F.interpolate(x, scale_factor=2)
        return self.head(F.adaptive_avg_pool3d(self.last(self.depthwise(x)), 1).flatten(1))


@member(2, 3, 16)
class TemporalConvolution(nn.Module):
    """Causal dilated 1-D convolutions, padded on the left or cut on the right (TCN, Bai et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv1d(3, 8, 3, dilation=2), nn.Conv1d(8, 8, 3, padding=8, dilation=4)
        self.shortcut, self.norm, self.out = nn.Conv1d(3, 8, 1), nn.BatchNorm1d(8), nn.Conv1d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.a(F.pad(x, (4, 0))))
        y = F.relu(self.norm(self.b(y)[:, :, :-8]))
        y = F.max_pool1d(y + self.shortcut(x), 2)
        return self.out(F.interpolate(y, scale_factor=2, mode="linear"))
