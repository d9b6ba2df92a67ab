"""The safetensors container at the level of bytes: write it with a known size, read it distrusting every
number.

Own code rather than the `safetensors` package for two reasons: the header written here is a pure function of
names, shapes and metadata, so that a file's size is known exactly before there is a file; and the reader
answers every fault with one plain sentence. Files are the same: tests read them with `safetensors`, and back.

Source: the format's description, https://huggingface.co/docs/safetensors (8 bytes of header length, JSON
header padded with spaces, tensor bytes without holes).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from pruning.checkpoint.text import quoted, shape_text

MAX_HEADER_BYTES = (
    16 * 2**20
)  # a hundred thousand tensors' names and shapes; Python needs about 10x to parse it
MAX_TENSORS = 100_000
ALIGNMENT = 8

DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
CODES = {dtype: code for code, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Entry:
    """One tensor as the header announces it."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


def ordered(entries: Iterable[Entry]) -> list[Entry]:
    """Entries in the file's order: wide dtypes first, so that every tensor is aligned, then by name."""
    return sorted(entries, key=lambda entry: (-entry.dtype.itemsize, entry.name))


def header_bytes(entries: Iterable[Entry], metadata: Mapping[str, str]) -> bytes:
    """The file's first bytes, up to the first tensor: length, JSON, padding.

    Args:
        entries: the tensors; they follow the header in `ordered` order.
        metadata: free text pairs, written as they are.
    Raises:
        ValueError: if a tensor has a dtype that the container does not know.
    """
    table: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    position = 0
    for entry in ordered(entries):
        if entry.dtype not in CODES:
            raise ValueError(f"The tensor {quoted(entry.name)} is {entry.dtype}, which no checkpoint holds.")
        offsets = [position, position + entry.nbytes]
        table[entry.name] = {"dtype": CODES[entry.dtype], "shape": list(entry.shape), "data_offsets": offsets}
        position += entry.nbytes
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def tensor_bytes(tensor: Tensor) -> bytes:
    """A tensor's elements in row order, little endian, as the file holds them."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def read_container(data: bytes | bytearray) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a safetensors file; each tensor owns its memory.

    Args:
        data: the whole file.
    Returns:
        The tensors by name in the file's order, and the metadata.
    Raises:
        ValueError: one sentence, if anything at all is not as the format says.
    """
    table, start = _parse_header(data)
    metadata = _metadata(table.pop("__metadata__", {}))
    if len(table) > MAX_TENSORS:
        raise ValueError(f"The file lists {len(table):,} tensors; at most {MAX_TENSORS:,} are read.")
    spans = [_span(name, record) for name, record in table.items()]
    spans.sort(key=lambda span: (span[1], span[2]))
    _check_layout(spans, len(data) - start)
    return {entry.name: _tensor(data, entry, start + begin) for entry, begin, _ in spans}, metadata


def _parse_header(data: bytes | bytearray) -> tuple[dict[str, Any], int]:
    """The header as a dict, and where the tensors' bytes begin."""
    if len(data) < 8:
        raise ValueError(
            f"The file is cut off: it has {len(data)} of the 8 bytes that a .safetensors starts with."
        )
    length = int.from_bytes(data[:8], "little")
    if length > MAX_HEADER_BYTES:
        raise ValueError(
            f"The header claims {length:,} bytes; at most {MAX_HEADER_BYTES:,} are read, so this is damaged "
            "or no .safetensors file."
        )
    if 8 + length > len(data):
        raise ValueError(
            f"The file is cut off: the header claims {length:,} bytes, {len(data) - 8:,} are there."
        )
    try:
        table = json.loads(data[8 : 8 + length].decode("utf-8"), object_pairs_hook=_no_duplicates)
    except _Duplicate as error:
        raise ValueError(f"The file's header names {quoted(error.args[0])} twice.") from None
    except (ValueError, RecursionError):
        raise ValueError("The file's header is not readable JSON, so the file is damaged.") from None
    if not isinstance(table, dict):
        raise ValueError("The file's header is not a table of tensors, so the file is damaged.")
    return table, 8 + length


class _Duplicate(Exception):
    """A name stands twice in one table; JSON itself would silently take the last."""


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name, value in pairs:
        if name in table:
            raise _Duplicate(name)
        table[name] = value
    return table


def _metadata(found: object) -> dict[str, str]:
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError("The file's metadata is not a table of texts, so the file is damaged.")
    return found


def _span(name: str, record: object) -> tuple[Entry, int, int]:
    """One line of the header, checked: the tensor, its first byte and its end."""
    if not isinstance(record, dict) or set(record) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"The header's record of {quoted(name)} is not a tensor's.")
    code, shape, offsets = record["dtype"], record["shape"], record["data_offsets"]
    if not isinstance(code, str) or code not in DTYPES:
        raise ValueError(f"The tensor {quoted(name)} has the unknown dtype {quoted(code)}.")
    if not _counts(shape) or len(shape) > 64:
        raise ValueError(f"The tensor {quoted(name)} has a shape that is not a list of sizes.")
    if not _counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(f"The tensor {quoted(name)} has offsets that are not a range of bytes.")
    entry = Entry(name, DTYPES[code], tuple(shape))
    if entry.nbytes != offsets[1] - offsets[0]:
        raise ValueError(
            f"The tensor {quoted(name)} of shape {shape_text(shape)} needs another number of bytes than its "
            "offsets give it."
        )
    return entry, offsets[0], offsets[1]


def _counts(value: object) -> bool:
    """Whether this is a list of whole numbers >= 0 that fit in 63 bits (True is no number here)."""
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**63 for item in value)


def _check_layout(spans: list[tuple[Entry, int, int]], available: int) -> None:
    """Tensors must follow each other without overlap or hole, and end where the file ends."""
    position = 0
    for entry, begin, end in spans:
        if end > available:
            raise ValueError(
                f"The file is cut off: the tensor {quoted(entry.name)} ends at byte {end:,} of the data, "
                f"{available:,} are there."
            )
        if begin != position:
            fault = "overlaps the one before it" if begin < position else "leaves a hole before it"
            raise ValueError(f"The tensor {quoted(entry.name)} {fault}, so the file is damaged.")
        position = end
    if position != available:
        raise ValueError(f"The file has {available - position:,} bytes that belong to no tensor.")


def _tensor(data: bytes | bytearray, entry: Entry, begin: int) -> Tensor:
    """One tensor, copied out of the file."""
    if not entry.nbytes:
        return _empty(entry)
    piece = bytearray(data[begin : begin + entry.nbytes])
    if entry.dtype is torch.bool and max(piece) > 1:
        raise ValueError(f"The tensor {quoted(entry.name)} is boolean but holds other bytes than 0 and 1.")
    return torch.frombuffer(piece, dtype=entry.dtype).reshape(entry.shape)


def _empty(entry: Entry) -> Tensor:
    """A tensor without elements; its other sizes may still be absurd enough for torch to refuse them."""
    try:
        return torch.empty(entry.shape, dtype=entry.dtype)
    except (RuntimeError, OverflowError):
        raise ValueError(f"The tensor {quoted(entry.name)} has an impossible shape.") from None
