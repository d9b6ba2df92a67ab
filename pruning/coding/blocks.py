"""Bytes of known size, packed whichever way is smallest."""

from __future__ import annotations

import zlib

import numpy as np

from pruning.coding.bits import number
from pruning.coding.reader import DEFLATED, PLAIN, SHUFFLED

SAMPLE = 2**14  # of larger blocks, this many bytes from the middle say whether packing is worth its time
GAIN = 0.98


def block(data: bytes, width: int = 1) -> bytes:
    """A block of the format: plain, deflated, or deflated after its bytes were shuffled.

    Args:
        data: the bytes; their number is known to the reader.
        width: bytes of each value, which shuffling keeps apart.
    """
    found = [bytes([PLAIN]) + data]
    for kind in (DEFLATED, SHUFFLED) if width > 1 else (DEFLATED,):
        middle = (len(data) - SAMPLE) // 2 // width * width
        if len(data) > 2 * SAMPLE:
            sample = data[middle : middle + SAMPLE]
            if len(deflated(_arranged(sample, kind, width))) > GAIN * len(sample):
                continue
        packed = deflated(_arranged(data, kind, width))
        found.append(bytes([kind]) + number(len(packed)) + packed)
    return min(found, key=len)


def deflated(data: bytes, dictionary: bytes = b"") -> bytes:
    """Raw deflate (RFC 1951)."""
    level = 9 if len(data) < SAMPLE else 6
    given = {"zdict": dictionary} if dictionary else {}
    machine = zlib.compressobj(level, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, **given)
    return machine.compress(data) + machine.flush()


def _arranged(data: bytes, kind: int, width: int) -> bytes:
    if kind != SHUFFLED:
        return data
    return np.frombuffer(data, np.uint8).reshape(-1, width).T.tobytes()
