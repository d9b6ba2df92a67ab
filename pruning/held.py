"""How much memory tensors take."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor


def blocks_of(tensors: Iterable[Tensor]) -> dict[int, int]:
    """The blocks of memory that tensors lie in: address -> bytes. Tensors that share one count once, and a
    view counts for the whole block that it keeps."""
    storages = (tensor.untyped_storage() for tensor in tensors)
    return {storage.data_ptr(): storage.nbytes() for storage in storages}


def held_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of all blocks of memory that tensors lie in."""
    return sum(blocks_of(tensors).values())
