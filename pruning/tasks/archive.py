"""Read image data sets in Keras' .npz layout without holding them in memory."""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np

from pruning.store import cache_dir

KERAS_NAMES = ("x_train", "y_train", "x_test", "y_test")


class MissingData(ValueError):
    """The data of a task is not on this machine; the message says what to put where."""


_data_dir: Path | None = None


def set_data_dir(path: str | Path | None) -> None:
    """Choose where data sets are read from, for this process; None goes back to PRUNING_DATA_DIR."""
    global _data_dir
    _data_dir = None if path is None else Path(path)


def data_dir() -> Path:
    """Where data sets are read from: `set_data_dir`, else PRUNING_DATA_DIR, else data/ under the start."""
    return _data_dir or Path(os.environ.get("PRUNING_DATA_DIR") or "data")


def open_archive(
    filename: str, train: int, test: int, image: tuple[int, ...], directory: str | Path | None = None
) -> dict[str, np.ndarray]:
    """The four arrays of a data set, images mapped from an unpacked copy in the cache directory.

    The first call unpacks (seconds); later ones only map. Where the cache cannot be written the arrays are
    read into memory.

    Args:
        filename: such as "mnist.npz".
        train: images that `x_train` must have.
        test: images that `x_test` must have.
        image: (H, W) or (H, W, C) of one image.
        directory: where the file is; `data_dir()` if not given.
    Returns:
        x_train (train, *image) uint8, y_train (train,) int64, x_test, y_test alike.
    Raises:
        MissingData: if the file is not there.
        ValueError: if it is not what was expected, in one sentence.
    """
    path = Path(directory or data_dir()) / filename
    if not path.is_file():
        raise MissingData(
            f"{filename} is not in {path.parent}: put it there in Keras' layout "
            "(x_train, y_train, x_test, y_test), or name its directory with --data-dir or PRUNING_DATA_DIR."
        )
    counts = {"train": train, "test": test}
    arrays: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in KERAS_NAMES:
                count = counts[name[2:]]
                if name.startswith("x"):
                    _check_header(archive, name, (count, *image), path)
                    arrays[name] = _mapped(archive, name, path)
                else:
                    arrays[name] = _labels(archive, name, count, path)
    except (zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"{path} is damaged ({error}); fetch it again.") from None
    return arrays


def _header(archive: zipfile.ZipFile, name: str, path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype that a member declares, before any of its data is unpacked."""
    try:
        member = archive.open(f"{name}.npy")
    except KeyError:
        raise ValueError(f"{path} has no array {name}; it needs {', '.join(KERAS_NAMES)}.") from None
    with member:
        try:
            version = np.lib.format.read_magic(member)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, fortran, dtype = read(member)
        except ValueError as error:
            raise ValueError(f"The array {name} of {path} cannot be read: {error}.") from None
    if fortran and len(shape) > 1:
        raise ValueError(f"The array {name} of {path} is stored column by column; save it in C order.")
    return shape, dtype


def _check_header(archive: zipfile.ZipFile, name: str, expected: tuple[int, ...], path: Path) -> None:
    shape, dtype = _header(archive, name, path)
    if shape != expected or dtype != np.uint8:
        raise ValueError(f"The array {name} of {path} must be uint8 {expected}; it is {dtype} {shape}.")


def _labels(archive: zipfile.ZipFile, name: str, count: int, path: Path) -> np.ndarray:
    """(count,) int64; Keras stores CIFAR's labels as (count, 1)."""
    shape, dtype = _header(archive, name, path)
    if shape not in ((count,), (count, 1)) or dtype.kind not in "iu":
        raise ValueError(f"The array {name} of {path} must be {count} integers; it is {dtype} {shape}.")
    with archive.open(f"{name}.npy") as member:
        labels = np.lib.format.read_array(member, allow_pickle=False).reshape(-1).astype(np.int64)
    if labels.min() < 0 or labels.max() > 9:
        raise ValueError(
            f"The classes in {name} of {path} must be 0 to 9; there are {labels.min()}..{labels.max()}."
        )
    return labels


def _mapped(archive: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    """A member as an array mapped read-only from its unpacked copy, which is made if it is not there yet."""
    stat = path.stat()
    identity = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    copy = cache_dir() / "data" / f"{path.stem}-{digest}-{name}.npy"
    try:
        if not copy.is_file():
            _unpack(archive, name, copy)
        return np.load(copy, mmap_mode="r", allow_pickle=False)
    except OSError:  # a read-only or full disk: slower and larger, but it works
        with archive.open(f"{name}.npy") as member:
            return np.lib.format.read_array(member, allow_pickle=False)


def _unpack(archive: zipfile.ZipFile, name: str, copy: Path) -> None:
    """Write a member beside its final place and move it there whole, so that nobody maps half a file."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=copy.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as target, archive.open(f"{name}.npy") as member:
            shutil.copyfileobj(member, target, 1 << 20)
        os.replace(temporary, copy)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
