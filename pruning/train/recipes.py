"""How each built-in network is trained, as data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from pruning.registry import Registry


@dataclass(frozen=True)
class Training:
    """Everything that the training of one network depends on besides its data.

    Args:
        epochs: passes over the training images.
        optimizer: "sgd" (Nesterov momentum 0.9) or "adamw".
        lr: the highest learning rate, reached after `warmup`, then falling to 0 along a cosine.
        warmup: share of all steps in which the rate rises linearly from 0.
        batch_size: images a step.
        weight_decay: of all weight matrices and kernels; biases, norms and positions have none.
        shift: images are moved by up to this many pixels each way.
        rotate: and turned by up to this many degrees.
        zoom: and scaled by up to this share, up or down.
        flip: and mirrored left to right half of the time.
        smoothing: of the labels.
        low_precision: compute in bfloat16 (weights and optimizer stay float32).
        seed: of the weights, the order and the augmentation.
    """

    epochs: int
    optimizer: Literal["sgd", "adamw"]
    lr: float
    warmup: float = 0.1
    batch_size: int = 128
    weight_decay: float = 5e-4
    shift: float = 0.0
    rotate: float = 0.0
    zoom: float = 0.0
    flip: bool = False
    smoothing: float = 0.0
    low_precision: bool = False
    seed: int = 0


TRAININGS: Registry[Training] = Registry("training recipe")

_DIGITS = Training(
    epochs=150,
    optimizer="adamw",
    lr=3e-3,
    batch_size=64,
    weight_decay=0.05,
    shift=0.8,
    rotate=10,
    zoom=0.1,
    smoothing=0.05,
)
_MNIST = Training(epochs=30, optimizer="adamw", lr=2e-3, weight_decay=0.05, shift=1.0, rotate=8, zoom=0.05)

TRAININGS.add("digits-mlp", replace(_DIGITS, epochs=300))
TRAININGS.add("digits-cnn", _DIGITS)
TRAININGS.add("digits-resnet", _DIGITS)
TRAININGS.add("digits-mobilenet", _DIGITS)
TRAININGS.add("digits-vit", replace(_DIGITS, epochs=250, lr=1.5e-3))
TRAININGS.add("mnist-lenet-300-100", _MNIST)
TRAININGS.add("mnist-lenet-5", replace(_MNIST, epochs=20))
TRAININGS.add(
    "cifar10-resnet20",
    Training(epochs=40, optimizer="sgd", lr=0.15, shift=4.0, flip=True, low_precision=True),
)
