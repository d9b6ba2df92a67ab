"""Write numbers and codes as bytes."""

from __future__ import annotations

import numpy as np

PIECE = 2**18  # codes that are written together


def number(value: int) -> bytes:
    """An integer >= 0 in 7 bits a byte, the lowest first (LEB128)."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def packed_bits(codes: np.ndarray, lengths: np.ndarray) -> bytes:
    """Codes one after another, each from its highest bit on, and zeros up to a whole byte.

    Args:
        codes: (n,), unsigned integers.
        lengths: (n,), bits of each, 1 to 32.
    """
    total, start = int(lengths.sum(dtype=np.int64)), 0
    words = np.zeros(total // 32 + 2, np.uint32)
    for begin in range(0, len(codes), PIECE):
        piece = lengths[begin : begin + PIECE].astype(np.int64)
        ends = start + np.cumsum(piece)
        starts, start = ends - piece, int(ends[-1])
        # a code touches two words of 32 bits at most: it is put in its place among 64, and those that begin
        # in the same word are joined
        shifts = (64 - piece - (starts & 31)).astype(np.uint64)
        places = codes[begin : begin + PIECE].astype(np.uint64) << shifts
        word = starts >> 5
        first = np.flatnonzero(np.diff(word, prepend=-1))
        joined, at = np.bitwise_or.reduceat(places, first), word[first]
        words[at] |= (joined >> np.uint64(32)).astype(np.uint32)
        words[at + 1] |= (joined & np.uint64(2**32 - 1)).astype(np.uint32)
    return words.astype(">u4").tobytes()[: (total + 7) // 8]
