"""The eight built-in networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from pruning.models.cnn import VGG
from pruning.models.lenet import LeNet5
from pruning.models.mlp import MLP
from pruning.models.mobilenet import MobileNet
from pruning.models.resnet import ResNet, cifar_resnet
from pruning.models.vit import ViT
from pruning.registry import Registry


@dataclass(frozen=True)
class ModelSpec:
    """One built-in network.

    Args:
        name: the key in `MODELS` and the stem of its file in assets/.
        label: its name on a screen.
        build: makes the module with random weights.
        input_shape: (C, H, W) of one image.
        task: the name in `TASKS` of the data that it is trained on.
        source: the paper it comes from.
        description: one sentence on what it is and what is worth seeing in it.
    """

    name: str
    label: str
    build: Callable[[], nn.Module]
    input_shape: tuple[int, int, int]
    task: str
    source: str
    description: str


MODELS: Registry[ModelSpec] = Registry("model")


def _add(
    name: str,
    label: str,
    build: Callable[[], nn.Module],
    input_shape: tuple[int, int, int],
    task: str,
    source: str,
    description: str,
) -> None:
    MODELS.add(name, ModelSpec(name, label, build, input_shape, task, source, description))


_add(
    "digits-mlp",
    "Digits MLP 300-100",
    partial(MLP, inputs=8 * 8),
    (1, 8, 8),
    "digits",
    "LeCun et al. 1998, Proc. IEEE 86(11)",
    "Two hidden layers of 300 and 100 neurons: the simplest network to prune.",
)
_add(
    "digits-cnn",
    "Digits CNN (VGG-like)",
    partial(VGG, size=8, widths=(32, 64, 128)),
    (1, 8, 8),
    "digits",
    "Simonyan and Zisserman 2014, arXiv:1409.1556",
    "Six convolutions in a chain with BatchNorm; each last channel feeds four columns of a linear layer.",
)
_add(
    "digits-resnet",
    "Digits ResNet",
    partial(ResNet, channels=1, widths=(24, 48, 96), blocks=2, shortcut="projection"),
    (1, 8, 8),
    "digits",
    "He et al. 2015, arXiv:1512.03385",
    "Six residual blocks in three stages: inner channels go freely, each stage's sum ties many layers.",
)
_add(
    "digits-mobilenet",
    "Digits MobileNet",
    partial(MobileNet, channels=1, widths=(24, 40, 64), blocks=2),
    (1, 8, 8),
    "digits",
    "Howard et al. 2019, arXiv:1905.02244",
    "Inverted residuals, depthwise convolutions, squeeze-and-excitation: small, and coupled everywhere.",
)
_add(
    "digits-vit",
    "Digits ViT",
    partial(ViT, size=8, patch=2),
    (1, 8, 8),
    "digits",
    "Dosovitskiy et al. 2020, arXiv:2010.11929",
    "Four transformer blocks of four heads on sixteen patches: whole heads and perceptron neurons can go.",
)
_add(
    "mnist-lenet-300-100",
    "LeNet-300-100 (MNIST)",
    partial(MLP, inputs=28 * 28),
    (1, 28, 28),
    "mnist",
    "LeCun et al. 1998, Proc. IEEE 86(11)",
    "The network on which most pruning papers start: 266,610 parameters in three linear layers.",
)
_add(
    "mnist-lenet-5",
    "LeNet-5 (MNIST)",
    LeNet5,
    (1, 28, 28),
    "mnist",
    "LeCun et al. 1998, Proc. IEEE 86(11); Caffe form as in Han et al. 2015, arXiv:1506.02626",
    "Two convolutions and two linear layers; 93 % of its 431,080 parameters sit in one linear layer.",
)
_add(
    "cifar10-resnet20",
    "ResNet-20 (CIFAR-10)",
    partial(cifar_resnet, depth=20),
    (3, 32, 32),
    "cifar10",
    "He et al. 2015, arXiv:1512.03385",
    "The small residual network of the literature: 269,722 parameters, shortcuts padded with zero channels.",
)


def build_model(name: str) -> nn.Module:
    """A built-in network with fresh random weights, in training mode.

    Its attribute `architecture` (str) says which one it is; copies and pruned copies keep it.

    Raises:
        ValueError: if there is no such model.
    """
    module = MODELS[name].build()
    module.architecture = name  # type: ignore[assignment]  # nn.Module's stub knows tensors and modules only
    return module
