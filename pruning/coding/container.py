"""Tensors as one .prz file; the format is in the docstring of `pruning.coding.reader`."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping

import numpy as np

from pruning.coding.blocks import block, deflated
from pruning.coding.reader import CHECK, DICTIONARY, DTYPES, FIXED, MAGIC, MAX_DIMS, VERSION
from pruning.coding.tensor import Coding, section

BEST = Coding()
POOLED_BYTES = 2**14  # larger tensors have nothing to gain from being packed with others
POOLED_SHARE = 0.5  # of its bytes; a tensor that packs better than that alone stays alone


def encode(
    tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None, coding: Coding = BEST
) -> bytes:
    """A .prz file; `decode` gives back the same tensors bit for bit, NaN and -0.0 included.

    Args:
        tensors: name -> array of booleans, integers or floats of 16 to 64 bits; any shape.
        metadata: texts that go with them.
        coding: how; by default as small as it can.
    Raises:
        ValueError: if a tensor has another dtype or too many dimensions.
    """
    arrays = {name: _checked(name, np.asarray(array)) for name, array in tensors.items()}
    sections, pools = _pooled(
        [*arrays.values()], [section(array, coding) for array in arrays.values()], coding
    )
    records = [
        [name, array.dtype.name, list(array.shape), len(each)]
        for (name, array), each in zip(arrays.items(), sections, strict=True)
    ]
    table = {"tensors": records, "metadata": dict(metadata or {})}
    text = json.dumps(table, separators=(",", ":")).encode()
    header, body = deflated(text, dictionary=DICTIONARY), b"".join([*sections, *pools])
    fixed = FIXED.pack(MAGIC, VERSION, len(header), len(text), 0)[: -CHECK.size]
    check = CHECK.pack(zlib.crc32(header, zlib.crc32(fixed)))
    return fixed + check + header + body + CHECK.pack(zlib.crc32(body))


def _pooled(
    arrays: list[np.ndarray], sections: list[bytes], coding: Coding
) -> tuple[list[bytes], list[bytes]]:
    """Sections, those of small tensors empty where a pool of them is smaller; and these pools."""
    pools: list[bytes] = []
    for width in (1, 2, 4, 8):
        small = [
            place
            for place, array in enumerate(arrays)
            if array.itemsize == width
            and array.nbytes <= POOLED_BYTES
            and len(sections[place]) > POOLED_SHARE * array.nbytes
        ]
        pool = block(b"".join(arrays[place].tobytes() for place in small), width, pack=coding.huffman)
        if small and len(pool) < sum(len(sections[place]) for place in small):
            pools.append(pool)
            sections = [b"" if place in small else each for place, each in enumerate(sections)]
    return sections, pools


def _checked(name: str, array: np.ndarray) -> np.ndarray:
    """An array as it can be written, little-endian."""
    if array.dtype.name not in DTYPES or array.ndim > MAX_DIMS:
        raise ValueError(f"The tensor {name!r} is {array.dtype}, {array.ndim}-d, which a .prz cannot hold.")
    return array.astype(array.dtype.newbyteorder("<"), copy=False)
