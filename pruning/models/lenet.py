"""LeNet-5 as the pruning literature uses it."""

from __future__ import annotations

from torch import Tensor, nn


class LeNet5(nn.Module):
    """Two convolutions without padding, max pooling, two linear layers: 20-50-500-10, 431,080 parameters.

    This is the form of the Caffe example that pruning papers since Han et al. 2015 compare on; the original
    has 6-16-120-84-10 and subsampling layers with weights.

    Source: LeCun et al. 1998, Proc. IEEE 86(11); Han et al. 2015, arXiv:1506.02626.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.pool2 = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(50 * 4 * 4, 500)
        self.relu = nn.ReLU()
        self.fc2 = nn.Linear(500, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (b, classes) of images (b, 1, 28, 28)."""
        x = self.pool2(self.conv2(self.pool1(self.conv1(x))))
        return self.fc2(self.relu(self.fc1(self.flatten(x))))
