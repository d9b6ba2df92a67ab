"""The three built-in tasks: digits, MNIST, CIFAR-10."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from pruning.registry import Registry
from pruning.tasks.archive import MissingData, open_archive
from pruning.tasks.split import ImageStore, Split, cut, stratified_order

SPLIT_SEED = 20240601  # never change it: the shipped weights were trained on the split that it makes


@dataclass(frozen=True)
class Task:
    """Data and metric. Statistics come from calibration, tuning from validation, reported figures from test.

    Args:
        name: the key in `TASKS`.
        label: its name on a screen.
        classes: names of the classes, by number.
        input_shape: (C, H, W) of one image.
        train: what networks are trained and fine-tuned on.
        calibration: what activation statistics and gradients are collected on.
        validation: what scans and hand tuning are measured on.
        test: what final results are reported on.
        metric: "accuracy", the share of images whose largest logit is the right class.
    """

    name: str
    label: str
    classes: tuple[str, ...]
    input_shape: tuple[int, int, int]
    train: Split
    calibration: Split
    validation: Split
    test: Split
    metric: str = "accuracy"


@dataclass(frozen=True)
class TaskSpec:
    """How to load one task.

    Args:
        name: the key in `TASKS`.
        label: its name on a screen.
        classes: names of the classes, by number.
        input_shape: (C, H, W) of one image.
        filename: of the archive in the data directory; None where the data comes with an installed package.
        source: where the data comes from.
        load: makes the task from a data directory (None: the configured one).
    """

    name: str
    label: str
    classes: tuple[str, ...]
    input_shape: tuple[int, int, int]
    filename: str | None
    source: str
    load: Callable[[TaskSpec, str | Path | None], Task]


TASKS: Registry[TaskSpec] = Registry("task")


def load_task(name: str, data_dir: str | Path | None = None) -> Task:
    """A task with its four splits.

    Args:
        name: of an entry of `TASKS`.
        data_dir: where its archive is; the configured directory if not given, unused for "digits".
    Raises:
        ValueError: if there is no such task, or its archive is not what was expected.
        MissingData: a ValueError; if its archive is not there.
    """
    spec = TASKS[name]
    return spec.load(spec, data_dir)


def _task(spec: TaskSpec, splits: dict[str, Split]) -> Task:
    return Task(
        spec.name,
        spec.label,
        spec.classes,
        spec.input_shape,
        train=splits["train"],
        calibration=splits["calibration"],
        validation=splits["validation"],
        test=splits["test"],
    )


def _load_digits(spec: TaskSpec, _: str | Path | None) -> Task:
    """Scikit-learn's digits, read from the file inside the package.

    Importing scikit-learn would be a large part of the application's start, and this file is all that its
    `load_digits` reads.
    """
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise MissingData(
            "The digits come with scikit-learn, which is not installed: pip install scikit-learn."
        )
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if not path.is_file():
        raise MissingData(f"The digits are not in {path}: install the scikit-learn of requirements.txt.")
    with gzip.open(path, "rt") as lines:
        table = np.loadtxt(lines, delimiter=",", dtype=np.uint8)
    pixels, targets = table[:, :-1].reshape(-1, 8, 8), table[:, -1]
    store = ImageStore(pixels, white=16, mean=(0.3053,), std=(0.3760,))
    order = stratified_order(targets, SPLIT_SEED)
    parts = cut(order, {"train": 957, "calibration": 120, "validation": 360, "test": 360})
    return _task(spec, {name: Split(name, store, rows, targets[rows]) for name, rows in parts.items()})


def _load_archive(
    train: int, test: int, image: tuple[int, ...], mean: tuple[float, ...], std: tuple[float, ...]
) -> Callable[[TaskSpec, str | Path | None], Task]:
    """A loader of a Keras archive; 5,000 validation and 1,000 calibration images come out of x_train."""

    def load(spec: TaskSpec, directory: str | Path | None) -> Task:
        assert spec.filename is not None
        arrays = open_archive(spec.filename, train, test, image, directory)
        store = ImageStore(arrays["x_train"], 255, mean, std)
        targets = arrays["y_train"]
        order = stratified_order(targets, SPLIT_SEED)
        parts = cut(order, {"validation": 5000, "calibration": 1000, "train": train - 6000})
        splits = {name: Split(name, store, rows, targets[rows]) for name, rows in parts.items()}
        rows = stratified_order(arrays["y_test"], SPLIT_SEED)
        test_store = ImageStore(arrays["x_test"], 255, mean, std)
        splits["test"] = Split("test", test_store, rows, arrays["y_test"][rows])
        return _task(spec, splits)

    return load


_DIGITS = tuple("0123456789")
_CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def _add(
    name: str,
    label: str,
    classes: tuple[str, ...],
    input_shape: tuple[int, int, int],
    filename: str | None,
    source: str,
    load: Callable[[TaskSpec, str | Path | None], Task],
) -> None:
    TASKS.add(name, TaskSpec(name, label, classes, input_shape, filename, source, load))


_add(
    "digits",
    "Digits (scikit-learn)",
    _DIGITS,
    (1, 8, 8),
    None,
    "Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI; as in sklearn.datasets",
    _load_digits,
)
_add(
    "mnist",
    "MNIST",
    _DIGITS,
    (1, 28, 28),
    "mnist.npz",
    "LeCun et al. 1998, Proc. IEEE 86(11)",
    _load_archive(60_000, 10_000, (28, 28), mean=(0.1307,), std=(0.3081,)),
)
_add(
    "cifar10",
    "CIFAR-10",
    _CIFAR,
    (3, 32, 32),
    "cifar10.npz",
    "Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images",
    _load_archive(50_000, 10_000, (32, 32, 3), mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)),
)
