"""Arrays to code, and .prz files with right checksums around any content."""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np

from pruning.coding.blocks import deflated
from pruning.coding.reader import DICTIONARY, FIXED, MAGIC


def clustered(
    shape: tuple[int, ...], bits: int, density: float, seed: int = 0, dtype: str = "float32"
) -> np.ndarray:
    """Normal weights of which a share is kept, with 2**bits distinct values."""
    draw = np.random.default_rng(seed)
    weights = draw.standard_normal(shape).astype(dtype)
    book = np.linspace(-3, 3, 2**bits).astype(dtype)
    shared = book[np.abs(weights.reshape(-1, 1) - book).argmin(axis=1)].reshape(shape)
    return np.where(draw.random(shape) < density, shared, 0).astype(dtype)


def smooth(seed: int = 0) -> np.ndarray:
    """(40, 400) sparse shared weights whose neighbours are alike, as a first layer's are."""
    draw = np.random.default_rng(seed)
    waves = np.cumsum(draw.standard_normal((40, 400)), axis=1)
    waves -= np.convolve(waves.reshape(-1), np.ones(25) / 25, "same").reshape(waves.shape)
    return np.where(np.abs(waves) > 3, np.round(waves), 0).astype("float32")


def same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> bool:
    """Whether names, order, dtypes, shapes and all bits are equal."""
    return list(found) == list(wanted) and all(
        found[name].dtype == array.dtype
        and found[name].shape == array.shape
        and found[name].tobytes() == array.tobytes()
        for name, array in wanted.items()
    )


def file_of(header: Any, body: bytes, *, version: int = 1, unpacked: int | None = None) -> bytes:
    """A file of any header and any sections, its checksums right."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    packed = deflated(text, dictionary=DICTIONARY)
    fixed = FIXED.pack(MAGIC, version, len(packed), len(text) if unpacked is None else unpacked, 0)[:-4]
    check = zlib.crc32(packed, zlib.crc32(fixed)).to_bytes(4, "little")
    return fixed + check + packed + body + zlib.crc32(body).to_bytes(4, "little")


def file_of_section(section: bytes, shape: Any = (4,), dtype: Any = "float32") -> bytes:
    """A file of one tensor with any section."""
    record = ["w", dtype, list(shape), len(section)]
    return file_of({"tensors": [record], "metadata": {}}, section)
