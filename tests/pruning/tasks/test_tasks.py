"""Splits are disjoint, stratified, always the same, and normalised."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from pruning.tasks import TASKS, MissingData, Task, load_task
from pruning.tasks.split import cut, stratified_order

SPLITS = ("train", "calibration", "validation", "test")
SIZES = {
    "digits": (957, 120, 360, 360),
    "mnist": (54_000, 1_000, 5_000, 10_000),
    "cifar10": (44_000, 1_000, 5_000, 10_000),
}


@pytest.fixture(scope="module", params=list(TASKS))
def task(request: pytest.FixtureRequest) -> Task:
    try:
        return load_task(request.param)
    except MissingData as error:
        pytest.skip(str(error))


def test_a_task_has_its_documented_sizes(task: Task) -> None:
    assert tuple(len(getattr(task, name)) for name in SPLITS) == SIZES[task.name]
    assert [getattr(task, name).name for name in SPLITS] == list(SPLITS)
    assert task.metric == "accuracy"
    assert len(task.classes) == 10


def test_splits_are_disjoint(task: Task) -> None:
    places = [(id(getattr(task, n).store), row) for n in SPLITS for row in getattr(task, n).rows.tolist()]
    assert len(places) == len(set(places))
    assert task.train.store is task.calibration.store is task.validation.store


def test_splits_are_stratified(task: Task) -> None:
    targets = torch.cat([task.train.targets, task.calibration.targets, task.validation.targets])
    overall = targets.bincount(minlength=10) / len(targets)
    for name in ("train", "calibration", "validation"):
        found = getattr(task, name).targets.bincount(minlength=10)
        assert (found - overall * found.sum()).abs().max() <= 2.0


def test_the_first_images_of_a_split_are_stratified_too(task: Task) -> None:
    for name in SPLITS:
        split = getattr(task, name)
        overall = split.targets.bincount(minlength=10) / len(split)
        assert (split.targets[:100].bincount(minlength=10) - 100 * overall).abs().max() <= 3


def test_an_image_is_the_same_by_index_and_in_a_batch(task: Task) -> None:
    split = task.validation
    batches = [batch for batch, _ in zip(split.batches(7), range(3), strict=False)]
    x = torch.cat([x for x, _ in batches])
    y = torch.cat([y for _, y in batches])
    assert x.shape == (21, *task.input_shape)
    assert (x.dtype, y.dtype) == (torch.float32, torch.int64)
    for i in (0, 6, 7, 20):
        one, label = split[i]
        assert torch.equal(one, x[i])
        assert label == int(y[i]) == int(split.targets[i])
    assert torch.equal(split[-1][0], split[len(split) - 1][0])


def test_batches_cover_a_split_once_in_order(task: Task) -> None:
    labels = torch.cat([y for _, y in task.calibration.batches(33)])
    assert torch.equal(labels, task.calibration.targets)


def test_inputs_have_mean_zero_and_deviation_one(task: Task) -> None:
    x = torch.cat([x for x, _ in task.calibration.batches(500)])
    assert x.mean(dim=(0, 2, 3)).abs().max() < 0.1
    assert (x.std(dim=(0, 2, 3)) - 1).abs().max() < 0.1


def test_images_to_look_at_lie_between_0_and_1(task: Task) -> None:
    images = task.validation.images([3, 1])
    assert images.shape == (2, *task.input_shape)
    assert images.min() >= 0
    assert images.max() <= 1
    store = task.validation.store
    assert torch.allclose(store.normalise(images * store.white)[0], task.validation[3][0], atol=1e-5)


def test_an_index_outside_is_an_index_error() -> None:
    split = load_task("digits").test
    with pytest.raises(IndexError):
        split[360]
    assert len(list(split)) == 360  # plain iteration ends by that error


def test_the_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    original = load_digits()
    task = load_task("digits")
    for name in SPLITS:
        split = getattr(task, name)
        assert np.array_equal(split.targets.numpy(), original.target[split.rows])
        assert np.allclose(split.images()[:, 0].numpy() * 16, original.images[split.rows])


def test_the_digits_do_not_import_scikit_learn() -> None:
    # It costs a second of the application's start.
    code = "import sys, pruning; pruning.load_task('digits'); assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_split_never_changes() -> None:
    # Weights were trained on this very split: with another one, test images would have been seen in training.
    task = load_task("digits")
    assert task.train.rows[:8].tolist() == [175, 93, 327, 1223, 1791, 415, 1238, 48]
    assert task.test.rows[:8].tolist() == [1621, 1765, 1715, 577, 1794, 1186, 713, 897]


def test_a_stratified_order_is_a_permutation_decided_by_its_seed() -> None:
    targets = np.repeat([0, 1, 2], [50, 30, 20])
    order = stratified_order(targets, 7)
    assert sorted(order) == list(range(100))
    assert np.array_equal(order, stratified_order(targets, 7))
    assert not np.array_equal(order, stratified_order(targets, 8))
    for start in range(0, 100, 10):
        assert np.bincount(targets[order[start : start + 10]]).tolist() == [5, 3, 2]


def test_cutting_gives_consecutive_parts() -> None:
    parts = cut(np.arange(10)[::-1], {"a": 3, "b": 7})
    assert parts["a"].tolist() == [9, 8, 7]
    assert parts["b"].tolist() == [6, 5, 4, 3, 2, 1, 0]


def test_an_unknown_task_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="digits, mnist, cifar10"):
        load_task("imagenet")
