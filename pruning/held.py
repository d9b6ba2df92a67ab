"""How much memory tensors take, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

_KEPT = 31 * 2**20  # bytes; glibc lets its threshold follow blocks of up to 32 MiB


def blocks_of(tensors: Iterable[Tensor]) -> dict[int, int]:
    """The blocks of memory that tensors lie in: address -> bytes. Tensors that share one count once, and a
    view counts for the whole block that it keeps."""
    storages = (tensor.untyped_storage() for tensor in tensors)
    return {storage.data_ptr(): storage.nbytes() for storage in storages}


def held_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of all blocks of memory that tensors lie in."""
    return sum(blocks_of(tensors).values())


def keep_freed_memory() -> None:
    """Let the process keep memory that it frees in blocks of up to 31 MiB, and use it again.

    Otherwise the system takes such blocks back and hands out empty pages for the next ones, which can take
    longer than the operation that asks for them. glibc keeps blocks of the size of the largest one that was
    freed so far, so it is enough to free one, which is never written; other libraries decide otherwise and
    are left alone.

    Source: the dynamic threshold of mallopt(3), M_MMAP_THRESHOLD.
    """
    torch.empty(_KEPT, dtype=torch.uint8)
