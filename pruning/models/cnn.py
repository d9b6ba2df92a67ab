"""A plain convolutional network in the manner of VGG."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class ConvUnit(nn.Module):
    """3x3 convolution, BatchNorm, ReLU; keeps height and width."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(b, inputs, H, W) -> (b, outputs, H, W)."""
        return self.relu(self.norm(self.conv(x)))


class VGG(nn.Module):
    """Stages of two `ConvUnit`s with max pooling between them, then two linear layers.

    Args:
        size: height and width of the images; halved after each stage but the last.
        widths: channels of each stage.
        hidden: neurons of the hidden linear layer.
        channels: of the images.
        classes: outputs.
    Source: Simonyan and Zisserman 2014, arXiv:1409.1556; BatchNorm: Ioffe and Szegedy 2015, arXiv:1502.03167.
    """

    def __init__(
        self, size: int, widths: Sequence[int], hidden: int = 128, channels: int = 1, classes: int = 10
    ) -> None:
        super().__init__()
        self.features = nn.Sequential()
        before = channels
        for i, width in enumerate(widths, start=1):
            if i > 1:
                self.features.add_module(f"pool{i - 1}", nn.MaxPool2d(2))
                size //= 2
            self.features.add_module(f"unit{i}a", ConvUnit(before, width))
            self.features.add_module(f"unit{i}b", ConvUnit(width, width))
            before = width
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(before * size * size, hidden)
        self.relu = nn.ReLU()
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (b, classes) of images (b, channels, size, size)."""
        return self.head(self.relu(self.fc(self.flatten(self.features(x)))))
