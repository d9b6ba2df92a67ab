"""Inverted residuals with depthwise convolutions and squeeze-and-excitation."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class SqueezeExcite(nn.Module):
    """Scale each channel by a number in 0..1 computed from the means of all: (b, C, H, W) -> same shape.

    Source: Hu et al. 2017, arXiv:1709.01507; hard sigmoid as in Howard et al. 2019, arXiv:1905.02244.
    """

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.relu = nn.ReLU()
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.expand(self.relu(self.reduce(self.pool(x)))))


class InvertedResidual(nn.Module):
    """Expand by a 1x1, filter each channel by a 3x3, project by a 1x1; added to the input where shapes allow.

    Args:
        inputs: channels in.
        hidden: channels between the two 1x1 convolutions.
        outputs: channels out.
        stride: of the depthwise convolution.
    Source: Sandler et al. 2018, arXiv:1801.04381.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(inputs, hidden, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(hidden)
        self.act1 = nn.Hardswish()
        self.depthwise = nn.Conv2d(hidden, hidden, 3, stride=stride, padding=1, groups=hidden, bias=False)
        self.norm2 = nn.BatchNorm2d(hidden)
        self.act2 = nn.Hardswish()
        self.excite = SqueezeExcite(hidden, hidden // 4)
        self.project = nn.Conv2d(hidden, outputs, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(outputs)
        # Decided here and not from the sizes at run time: pruning changes sizes, never the graph.
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(b, inputs, H, W) -> (b, outputs, ceil(H / stride), ceil(W / stride))."""
        inner = self.act1(self.norm1(self.expand(x)))
        inner = self.act2(self.norm2(self.depthwise(inner)))
        inner = self.norm3(self.project(self.excite(inner)))
        return x + inner if self.residual else inner


class MobileNet(nn.Module):
    """A stem, stages of `InvertedResidual`s, a 1x1 convolution, global average pooling and a linear head.

    Args:
        channels: of the images.
        widths: channels of each stage; the first block of every stage but the first halves height and width.
        blocks: blocks of each stage.
        expansion: hidden channels of a block per input channel.
        features: channels of the last convolution.
        classes: outputs.
    Source: Howard et al. 2019 (MobileNetV3), arXiv:1905.02244, made small.
    """

    def __init__(
        self,
        channels: int,
        widths: Sequence[int],
        blocks: int,
        expansion: int = 4,
        features: int = 256,
        classes: int = 10,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, widths[0], 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(widths[0])
        self.act = nn.Hardswish()
        self.stages = nn.Sequential()
        before = widths[0]
        for i, width in enumerate(widths, start=1):
            stage = nn.Sequential()
            for j in range(blocks):
                stride = 2 if i > 1 and j == 0 else 1
                stage.append(InvertedResidual(before, before * expansion, width, stride))
                before = width
            self.stages.add_module(f"stage{i}", stage)
        self.last = nn.Conv2d(before, features, 1, bias=False)
        self.last_norm = nn.BatchNorm2d(features)
        self.last_act = nn.Hardswish()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(features, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (b, classes) of images (b, channels, H, W)."""
        x = self.stages(self.act(self.norm(self.stem(x))))
        x = self.last_act(self.last_norm(self.last(x)))
        return self.head(self.flatten(self.pool(x)))
