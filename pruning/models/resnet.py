"""Residual networks for small images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

Shortcut = Literal["projection", "pad"]


class Subsample(nn.Module):
    """Every `stride`-th row and column: (b, C, H, W) -> (b, C, ceil(H / stride), ceil(W / stride))."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.stride, :: self.stride]

    def extra_repr(self) -> str:
        return f"stride={self.stride}"


class ChannelPad(nn.Module):
    """Add `lo` zero channels before and `hi` after: (b, C, H, W) -> (b, lo + C + hi, H, W)."""

    def __init__(self, lo: int, hi: int) -> None:
        super().__init__()
        self.lo = lo
        self.hi = hi

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (0, 0, 0, 0, self.lo, self.hi))

    def extra_repr(self) -> str:
        return f"lo={self.lo}, hi={self.hi}"


def make_shortcut(inputs: int, outputs: int, stride: int, kind: Shortcut) -> nn.Module:
    """What a block adds to its result: its input, brought to the result's shape.

    Args:
        kind: "pad" subsamples and pads with zeros (option A of the paper, no parameters); "projection" is
            a 1x1 convolution with BatchNorm (option B).
    """
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    if kind == "pad":
        lo = (outputs - inputs) // 2
        return nn.Sequential(Subsample(stride), ChannelPad(lo, outputs - inputs - lo))
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False),
        nn.BatchNorm2d(outputs),
    )


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with BatchNorm beside a shortcut: (b, inputs, H, W) -> (b, outputs, H', W')."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = make_shortcut(inputs, outputs, stride, shortcut)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.relu1(self.norm1(self.conv1(x)))
        return self.relu2(self.norm2(self.conv2(inner)) + self.shortcut(x))


class ResNet(nn.Module):
    """A 3x3 stem, stages of `BasicBlock`s, global average pooling and a linear head.

    The first block of every stage but the first halves height and width. With channels 3, widths
    (16, 32, 64), 3 blocks a stage and padded shortcuts this is ResNet-20 for CIFAR-10: 269,722 parameters.

    Args:
        channels: of the images.
        widths: channels of each stage.
        blocks: blocks of each stage; there are 1 + 2 * blocks * len(widths) layers of 3x3 convolutions.
        shortcut: see `make_shortcut`.
        classes: outputs.
    Source: He et al. 2015, arXiv:1512.03385, sections 3.3 and 4.2.
    """

    def __init__(
        self, channels: int, widths: Sequence[int], blocks: int, shortcut: Shortcut, classes: int = 10
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, widths[0], 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU()
        self.stages = nn.Sequential()
        before = widths[0]
        for i, width in enumerate(widths, start=1):
            stage = nn.Sequential()
            for j in range(blocks):
                stride = 2 if i > 1 and j == 0 else 1
                stage.append(BasicBlock(before, width, stride, shortcut))
                before = width
            self.stages.add_module(f"stage{i}", stage)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(before, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Logits (b, classes) of images (b, channels, H, W)."""
        x = self.stages(self.relu(self.norm(self.conv(x))))
        return self.head(self.flatten(self.pool(x)))


def cifar_resnet(depth: int) -> ResNet:
    """The CIFAR-10 network of the paper with `depth` layers with weights, 6n + 2: 20, 32, 44, 56, 110.

    Raises:
        ValueError: if the depth is not 6n + 2.
    """
    blocks, rest = divmod(depth - 2, 6)
    if rest or blocks < 1:
        raise ValueError(f"A CIFAR ResNet has 6n + 2 layers, such as 20 or 56, not {depth}.")
    return ResNet(channels=3, widths=(16, 32, 64), blocks=blocks, shortcut="pad")
