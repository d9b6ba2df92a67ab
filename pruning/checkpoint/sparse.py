"""Compact forms of a masked tensor, whose sizes depend only on how many weights are kept.

A masked tensor of n elements, k of them kept, is stored as the k kept values in row order, and their
positions as

- `bitmap`: n bits, 1 = kept, first element in the highest bit of the first byte; or
- `elias-fano`: each position split into its l lowest bits, l = floor(log2(n / k)), written one after
  another (k * l bits, high bit first), then the rest of each position in unary: among k + ((n - 1) >> l)
  bits, the i-th 1 (from 0) stands at (position >> l) + i. About 2 + log2(n / k) bits a kept weight, under
  a bit more than the least possible.

Both end with zero bits up to a whole byte. `plain` stores all n values. The form with the fewest bytes is
taken; at density 1/4 and above that is the bitmap, below it Elias-Fano. No size depends on which weights
are kept, so a preview that knows only counts knows the exact size of the file.

Source: P. Elias 1974, Efficient storage and retrieval by content and address of static files, J. ACM 21(2);
R. M. Fano 1971, On the number of bits required to implement an associative memory, MIT Project MAC memo 61.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

Encoding = Literal["plain", "bitmap", "elias-fano"]
ENCODINGS: tuple[Encoding, ...] = ("plain", "bitmap", "elias-fano")


def positions_bytes(encoding: Encoding, n: int, k: int) -> int:
    """Bytes of the positions of k kept among n elements."""
    if encoding == "bitmap":
        return (n + 7) // 8
    if encoding == "elias-fano" and k:
        low = low_bits(n, k)
        return (k * low + k + ((n - 1) >> low) + 7) // 8
    return 0


def stored_bytes(encoding: Encoding, n: int, k: int, itemsize: int) -> int:
    """Bytes of values and positions together."""
    return n * itemsize if encoding == "plain" else k * itemsize + positions_bytes(encoding, n, k)


def best_encoding(n: int, k: int, itemsize: int) -> Encoding:
    """The form with the fewest bytes; of equal ones the first, which is the simpler."""
    return min(ENCODINGS, key=lambda encoding: stored_bytes(encoding, n, k, itemsize))


def low_bits(n: int, k: int) -> int:
    """floor(log2(n / k)) for 1 <= k <= n, in integers."""
    return (n // k).bit_length() - 1


def encode_positions(encoding: Encoding, mask: Tensor) -> bytes:
    """The kept positions of a mask (bool, any shape) in one of the two forms.

    Returns:
        Exactly `positions_bytes(encoding, mask.numel(), kept)` bytes.
    """
    flat = mask.detach().cpu().contiguous().reshape(-1).numpy()
    if encoding == "bitmap":
        return np.packbits(flat).tobytes()
    kept = np.flatnonzero(flat)
    if not len(kept):
        return b""
    low = low_bits(len(flat), len(kept))
    shifts = np.arange(low - 1, -1, -1)
    lows = ((kept[:, None] >> shifts) & 1).astype(np.uint8).reshape(-1)
    highs = np.zeros(len(kept) + ((len(flat) - 1) >> low), dtype=np.uint8)
    highs[(kept >> low) + np.arange(len(kept))] = 1
    return np.packbits(np.concatenate([lows, highs])).tobytes()


def decode_positions(encoding: Encoding, data: bytes, n: int, k: int) -> Tensor:
    """The k kept positions, rising, each below n.

    Returns:
        (k,), int64.
    Raises:
        ValueError: if the bytes are not what `encode_positions` writes for k kept among n.
    """
    if not 0 <= k <= n or len(data) != positions_bytes(encoding, n, k):
        raise ValueError("the positions have another number of bytes than the mask needs")
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8))
    if encoding == "bitmap":
        found = np.flatnonzero(bits)
    elif k:
        low = low_bits(n, k)
        powers = 1 << np.arange(low - 1, -1, -1, dtype=np.int64)
        highs = np.flatnonzero(bits[k * low :])
        if len(highs) != k:
            raise ValueError("the positions do not count up to the kept weights")
        found = ((highs - np.arange(k)) << low) | (bits[: k * low].reshape(k, low) @ powers)
    else:
        found = np.zeros(0, dtype=np.int64)
    if len(found) != k or (k and (found[-1] >= n or (np.diff(found) <= 0).any())):
        raise ValueError("the positions do not count up to the kept weights")
    return torch.from_numpy(found.astype(np.int64))


def scatter(values: Tensor, positions: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The dense tensor: `values` at `positions`, exact zeros elsewhere."""
    dense = torch.zeros(shape, dtype=values.dtype)
    dense.reshape(-1)[positions] = values
    return dense
