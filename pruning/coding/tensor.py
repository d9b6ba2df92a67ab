"""One tensor as a section of the format: of all the ways to write it, the shortest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pruning.coding.bits import number
from pruning.coding.blocks import block
from pruning.coding.gaps import MOST_BITS, gap_symbols, symbol_counts
from pruning.coding.reader import BITMAP, COLUMNS, EVERYWHERE, GAPS, SHARED
from pruning.coding.stream import TABLE_BYTES, coded_bits, stream

MOST_SHARED = 2**12  # of more distinct values a codebook would be no codebook
MOST_DISTINCT = 0.8  # of the values; but a single one is always shared
SAMPLE = 2**15  # this many values say quickly that there are too many distinct ones
FULL = 0.3  # of the elements: with more that are not zero, zero may be one more shared value
SLOW_SYMBOLS = 2**13  # more than these are given codes by context only where weights are mostly zero
NEARLY = 1.03  # gap bits whose code is so much longer than the shortest are tried too: contexts may turn it
SPARSE = 2  # elements to a value from which that is so


@dataclass(frozen=True)
class Coding:
    """How tensors are coded; all of it loses nothing.

    Args:
        gap_bits: bits of a gap between values, 1 to 10; None takes the best for each tensor.
        huffman: Huffman codes, those of deflate among them; else gaps and shared values take a fixed number
            of bits, and everything else is as it is.
        share: codebooks for tensors with few distinct values.
        sparse: zeros are left out; else they are stored.
        contexts: codes may depend on the value before, which saves up to a tenth; needs `huffman`.
    """

    gap_bits: int | None = None
    huffman: bool = True
    share: bool = True
    sparse: bool = True
    contexts: bool = True

    def __post_init__(self) -> None:
        if self.gap_bits is not None and (
            type(self.gap_bits) is not int or not 1 <= self.gap_bits <= MOST_BITS
        ):
            raise ValueError(
                f"A gap cannot have {self.gap_bits!r} bits; choose 1 to {MOST_BITS}, or None for the best."
            )


@dataclass(frozen=True)
class _Laid:
    """Values in one order, and what says where they stand: bits of the form, bytes, the gaps before them."""

    form: int
    places: bytes
    values: np.ndarray
    gaps: np.ndarray | None = None


def section(array: np.ndarray, coding: Coding) -> bytes:
    """The section of one tensor.

    Args:
        array: any shape; a dtype of the format, little-endian.
        coding: what is allowed.
    """
    rows = np.ascontiguousarray(array).reshape(-1).view(f"<u{array.dtype.itemsize}")
    count = int(np.count_nonzero(rows))
    found: list[bytes] = []
    if count > FULL * rows.size or not coding.sparse or not rows.size:
        found += _sections([_Laid(EVERYWHERE, b"", rows)], coding, rows.size)
    if coding.sparse and count < rows.size:
        found += _sections(list(_laid(rows, array.shape, coding)), coding, rows.size)
    return min(found, key=len)


def _sections(laid: list[_Laid], coding: Coding, size: int) -> Iterator[bytes]:
    """Sections with the values as they are, and shared ones, as far as either is promising."""
    shortest = min(laid, key=lambda each: len(each.places))
    book = codebook(shortest.values) if coding.share else None
    if book is None or 4 * len(book) > len(shortest.values):
        values = block(shortest.values.tobytes(), shortest.values.dtype.itemsize, pack=coding.huffman)
        yield bytes([shortest.form]) + shortest.places + values
    if book is None:
        return
    negative = int(np.searchsorted(book, book.dtype.type(1 << 8 * book.dtype.itemsize - 1)))
    packed = number(len(book)) + block(book.tobytes(), book.dtype.itemsize, pack=coding.huffman)
    for each in laid:
        coded = b""
        if len(book) > 1:
            coded = stream(
                np.searchsorted(book, each.values),
                len(book),
                huffman=coding.huffman,
                contexts=_contexts(coding, len(each.values), size),
                gaps=each.gaps,
                edge=negative,
            )
        yield bytes([each.form | SHARED]) + each.places + packed + coded


def _laid(rows: np.ndarray, shape: tuple[int, ...], coding: Coding) -> Iterator[_Laid]:
    """The values that are not zero, in rows and in columns, and where they stand."""
    flats = {0: rows}
    if len(shape) > 1 and 1 < shape[0] < rows.size:
        flats[COLUMNS] = np.ascontiguousarray(rows.reshape(shape[0], -1).T).reshape(-1)
    for order, flat in flats.items():
        places = np.flatnonzero(flat)
        gaps = np.diff(places, prepend=-1) - 1
        forms = {GAPS: _gaps(gaps, coding, rows.size)}
        if coding.gap_bits is None:
            forms[BITMAP] = block(np.packbits(flat != 0).tobytes(), pack=coding.huffman)
        form = min(forms, key=lambda form: len(forms[form]))
        yield _Laid(form | order, number(len(places)) + forms[form], flat[places], gaps)


def _gaps(gaps: np.ndarray, coding: Coding, size: int) -> bytes:
    """Bits of a gap, fillers and their stream, with the bits that were asked for or the best ones."""
    if not len(gaps):
        return b""
    often = np.bincount(gaps)

    def cost(bits: int) -> float:
        counts = symbol_counts(often, bits)
        if not coding.huffman:
            return float(counts.sum()) * bits
        return coded_bits(counts) + 8 * TABLE_BYTES * np.count_nonzero(counts)

    costs = {bits: cost(bits) for bits in ([coding.gap_bits] if coding.gap_bits else range(1, MOST_BITS + 1))}
    least = min(costs.values())
    found = []
    for bits in [bits for bits in costs if costs[bits] <= NEARLY * least]:
        symbols = gap_symbols(gaps, bits)
        contexts = _contexts(coding, len(symbols), size)
        coded = stream(symbols, 2**bits, huffman=coding.huffman, contexts=contexts)
        found.append(bytes([bits]) + number(len(symbols) - len(gaps)) + coded)
    return min(found, key=len)


def _contexts(coding: Coding, symbols: int, size: int) -> bool:
    """Whether codes may depend on what is before: not where reading would become slow."""
    return coding.contexts and (symbols <= SLOW_SYMBOLS or size >= SPARSE * symbols)


def codebook(values: np.ndarray) -> np.ndarray | None:
    """The distinct values, rising; None if there are too many for a codebook to pay, or none at all.

    Args:
        values: (k,), patterns of bits as unsigned integers.
    """
    if not values.size or len(np.unique(values[:SAMPLE])) > MOST_SHARED:
        return None
    found = np.unique(values)
    return found if len(found) <= max(1, min(MOST_SHARED, MOST_DISTINCT * values.size)) else None
