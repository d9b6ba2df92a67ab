"""Bytes of known size, packed whichever way is smallest."""

from __future__ import annotations

import zlib

import numpy as np

from pruning.coding.bits import number
from pruning.coding.reader import DEFLATED, PLAIN, SHUFFLED

SAMPLE = 2**14  # of larger blocks, this many bytes from the middle say whether to look for repetitions
GAIN = 0.98
REPEATS, CODES, RUNS = zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE  # what deflate looks for


def block(data: bytes, width: int = 1, *, pack: bool = True) -> bytes:
    """A block of the format: plain, deflated, or deflated after its bytes were shuffled.

    Args:
        data: the bytes; their number is known to the reader.
        width: bytes of each value, which shuffling keeps apart.
        pack: False leaves it plain.
    """
    found = [bytes([PLAIN]) + data]
    if not pack:
        return found[0]
    for kind in (DEFLATED, SHUFFLED) if width > 1 else (DEFLATED,):
        arranged = shuffled(data, width) if kind == SHUFFLED else data
        # Floats repeat nothing but their exponents: codes alone are smaller, and far faster.
        ways = [CODES, RUNS] if kind == SHUFFLED or width == 1 else []
        if _repeats(arranged):
            ways.append(REPEATS)
        for way in ways:
            packed = deflated(arranged, way)
            found.append(bytes([kind]) + number(len(packed)) + packed)
    return min(found, key=len)


def deflated(data: bytes, strategy: int = REPEATS, dictionary: bytes = b"") -> bytes:
    """Raw deflate (RFC 1951)."""
    level = 9 if len(data) <= SAMPLE else 6
    given = {"zdict": dictionary} if dictionary else {}
    machine = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy, **given)
    return machine.compress(data) + machine.flush()


def shuffled(data: bytes, width: int) -> bytes:
    """All first bytes of the values, then all second ones, ..."""
    return np.frombuffer(data, np.uint8).reshape(-1, width).T.tobytes()


def _repeats(data: bytes) -> bool:
    """Whether looking for repetitions is worth its time."""
    middle = len(data) // 2
    sample = data[middle : middle + SAMPLE]
    return len(data) <= 2 * SAMPLE or len(deflated(sample)) < GAIN * len(deflated(sample, CODES))
