"""Huffman codes of limited length, gaps, bits."""

from __future__ import annotations

import heapq
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruning.coding.bits import number, packed_bits
from pruning.coding.gaps import gap_symbols, symbol_counts
from pruning.coding.huffman import canonical_codes, code_lengths
from pruning.coding.reader import INVALID, canonical

COUNTS = st.lists(st.integers(0, 10_000), min_size=1, max_size=40).map(np.array)


def kraft(lengths: np.ndarray) -> Fraction:
    return sum((Fraction(1, 2 ** int(length)) for length in lengths if length), Fraction(0))


def huffman_bits(counts: np.ndarray) -> int:
    """Bits of the best prefix code, by Huffman's own merging of the two rarest."""
    heap = sorted(int(count) for count in counts if count)
    total = heap[0] if len(heap) == 1 else 0
    while len(heap) > 1:
        both = heapq.heappop(heap) + heapq.heappop(heap)
        total += both
        heapq.heappush(heap, both)
    return total


@given(COUNTS)
def test_as_short_as_huffmans(counts: np.ndarray) -> None:
    lengths = code_lengths(counts, 40)
    assert ((lengths > 0) == (counts > 0)).all()
    if counts.any():
        assert int((lengths * counts).sum()) == huffman_bits(counts)
    if np.count_nonzero(counts) > 1:
        assert kraft(lengths) == 1


@given(COUNTS, st.integers(6, 9))
def test_no_longer_than_the_limit(counts: np.ndarray, limit: int) -> None:
    lengths = code_lengths(counts, limit)
    assert lengths.max() <= limit
    assert kraft(lengths) == 1 or np.count_nonzero(counts) < 2


def test_the_limit_costs_the_least_that_is_possible() -> None:
    """Counts as of Fibonacci make the longest codes; all codes of at most 3 bits were tried by hand."""
    counts = np.array([1, 1, 2, 3, 5])
    assert code_lengths(counts, 9).tolist() == [4, 4, 3, 2, 1]
    assert int((code_lengths(counts, 3) * counts).sum()) == 26


@given(COUNTS)
def test_canonical_codes_are_read_back(counts: np.ndarray) -> None:
    lengths = code_lengths(counts, 12)
    codes = canonical_codes(lengths)
    symbols, found = canonical(lengths, 12)
    for symbol in np.flatnonzero(counts):
        first = int(codes[symbol]) << (12 - int(lengths[symbol]))
        span = slice(first, first + (1 << (12 - int(lengths[symbol]))))
        assert (symbols[span] == symbol).all()
        assert (found[span] == lengths[symbol]).all()
    assert (found == INVALID).any() == (np.count_nonzero(counts) < 2)


@pytest.mark.parametrize("lengths", [[1, 1, 1], [2, 2], [1, 2], [3]])
def test_what_is_no_code(lengths: list[int]) -> None:
    if lengths == [3]:  # one symbol alone may be of any length
        assert canonical(np.array(lengths, np.uint8), 3)[0][0] == 0
        return
    with pytest.raises(ValueError, match="Huffman"):
        canonical(np.array(lengths, np.uint8), 3)


@given(st.lists(st.tuples(st.integers(0, 2**20 - 1), st.integers(1, 20)), max_size=80))
def test_bits_one_after_another(pairs: list[tuple[int, int]]) -> None:
    codes = np.array([code & (1 << length) - 1 for code, length in pairs], np.uint32)
    lengths = np.array([length for _, length in pairs], np.uint8)
    text = "".join(
        f"{code:0{length}b}" for code, length in zip(codes.tolist(), lengths.tolist(), strict=True)
    )
    text += "0" * (-len(text) % 8)
    assert packed_bits(codes, lengths) == bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))


@given(st.lists(st.integers(0, 500), min_size=1, max_size=50).map(np.array), st.integers(1, 10))
def test_gaps_and_fillers(gaps: np.ndarray, bits: int) -> None:
    """Read by the definition: a filler is 2**bits - 1 zeros and no value."""
    filler, found, zeros = 2**bits - 1, [], 0
    symbols = gap_symbols(gaps, bits)
    for symbol in symbols.tolist():
        zeros += symbol
        if symbol < filler:
            found.append(zeros)
            zeros = 0
    assert found == gaps.tolist()
    assert zeros == 0
    counts = np.bincount(symbols, minlength=2**bits)
    assert symbol_counts(np.bincount(gaps), bits).tolist() == counts.tolist()


def test_numbers() -> None:
    assert [number(value) for value in (0, 127, 128, 16384)] == [b"\0", b"\x7f", b"\x80\1", b"\x80\x80\1"]
