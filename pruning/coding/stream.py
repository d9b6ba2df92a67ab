"""Symbols as bytes: of fixed width, Huffman coded, or with a Huffman code for each context.

Neighbouring weights are alike: in the first layer of a network for pictures, whether the weight before is
the direct neighbour, and its sign, say much about the next one. A code of its own for each such context
costs a table and saves more than that, where there is something to save.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pruning.coding.bits import number, packed_bits
from pruning.coding.blocks import block
from pruning.coding.huffman import canonical_codes, code_lengths
from pruning.coding.reader import MAX_EDGES, MAX_LENGTH

SHORT, FEW = 12, 2**10  # bits of the longest code of alphabets up to so many symbols: their tables stay small
CLASSES = (2, 3, 4, 6)  # of the symbol before, each about as frequent as the others
SIDES: tuple[tuple[int, ...], ...] = ((), (1,), (1, 4))  # edges of gaps
TABLE_BYTES = 0.4  # what a symbol takes in a packed table of code lengths, about
TRIED = 3  # of the contexts that look best, these are coded to see which is


@dataclass(frozen=True)
class Contexts:
    """Edges of the classes of the symbol before, and of the gap before."""

    edges: tuple[int, ...] = ()
    sides: tuple[int, ...] = ()

    def __len__(self) -> int:
        return (len(self.edges) + 1) * (len(self.sides) + 1)

    def of(self, symbols: np.ndarray, gaps: np.ndarray | None) -> np.ndarray:
        """(n,) the context of each symbol."""
        if len(self) == 1:
            return np.zeros(len(symbols), np.int64)
        before = np.concatenate([[0], symbols[:-1]])
        found = np.searchsorted(self.edges, before, side="right")
        if self.sides and gaps is not None:
            found = found + (len(self.edges) + 1) * np.searchsorted(self.sides, gaps, side="right")
        return found


def stream(
    symbols: np.ndarray,
    alphabet: int,
    *,
    huffman: bool = True,
    contexts: bool = True,
    gaps: np.ndarray | None = None,
    edge: int = 0,
) -> bytes:
    """A stream of the format, the shortest that is found.

    Args:
        symbols: (n,), n >= 1, below the alphabet.
        alphabet: of them.
        huffman: False leaves every symbol its fixed width.
        contexts: whether codes may depend on what is before; reading is then slower.
        gaps: (n,), zeros before each symbol's value; only in a stream of values.
        edge: a symbol from which on all are of another kind, such as negative values; 0 if there is none.
    """
    width = (alphabet - 1).bit_length()
    fixed = b"\0" + packed_bits(symbols, np.full(len(symbols), width, np.uint8))
    if not huffman:
        return fixed
    found = [Contexts()]
    if contexts:
        found += _promising(symbols, alphabet, gaps, edge)
    return min([fixed, *(_coded(symbols, alphabet, gaps, each) for each in found)], key=len)


def _promising(symbols: np.ndarray, alphabet: int, gaps: np.ndarray | None, edge: int) -> Iterator[Contexts]:
    """The contexts that look best by their entropy; none that looks no better than no context."""

    def cost(each: Contexts) -> float:
        counts = _counts(symbols, alphabet, each.of(symbols, gaps), len(each))
        return entropy_bits(counts) / 8 + TABLE_BYTES * np.count_nonzero(counts)

    costs = {each: cost(each) for each in _candidates(symbols, alphabet, gaps, edge)}
    plain = costs.pop(Contexts())
    better = sorted((each for each in costs if costs[each] < plain), key=lambda each: costs[each])
    return iter(better[:TRIED])


def _candidates(symbols: np.ndarray, alphabet: int, gaps: np.ndarray | None, edge: int) -> Iterator[Contexts]:
    share = np.cumsum(np.bincount(symbols, minlength=alphabet)) / len(symbols)
    found: list[tuple[int, ...]] = [()]
    for many in CLASSES:
        quantiles = np.searchsorted(share, np.arange(1, many) / many) + 1
        kinds = {int(cut) for cut in quantiles if cut < alphabet} | ({edge} if 0 < edge < alphabet else set())
        found.append(tuple(sorted(kinds))[:MAX_EDGES])
    if 0 < edge < alphabet:
        found.append((edge,))
    for edges in dict.fromkeys(found):
        for sides in SIDES if gaps is not None else SIDES[:1]:
            yield Contexts(edges, sides)


def _counts(symbols: np.ndarray, alphabet: int, places: np.ndarray, contexts: int) -> np.ndarray:
    """(contexts, alphabet), how often each symbol occurs in each context."""
    found = np.bincount(places * alphabet + symbols, minlength=contexts * alphabet)
    return found.reshape(contexts, alphabet)


def entropy_bits(counts: np.ndarray) -> float:
    """The least bits that symbols can take on average if each row has a code of its own.

    Args:
        counts: (rows, alphabet) or (alphabet,), how often each symbol occurs.
    Source: C. E. Shannon 1948, Bell Syst. Tech. J. 27(3).
    """
    rows = np.atleast_2d(counts).astype(np.float64)
    logs = np.log2(rows, out=np.zeros_like(rows), where=rows > 0)
    totals = rows.sum(axis=1)
    return float((totals * np.log2(np.maximum(totals, 1))).sum() - (rows * logs).sum())


def coded_bits(counts: np.ndarray) -> int:
    """Bits that symbols take with the Huffman code of their own counts, (alphabet,)."""
    return int((code_lengths(counts, _limit(len(counts))) * counts).sum())


def _limit(alphabet: int) -> int:
    """Bits of the longest code."""
    return SHORT if alphabet <= FEW else MAX_LENGTH


def _coded(symbols: np.ndarray, alphabet: int, gaps: np.ndarray | None, contexts: Contexts) -> bytes:
    """The stream with Huffman codes for these contexts."""
    places = contexts.of(symbols, gaps)
    counts = _counts(symbols, alphabet, places, len(contexts))
    lengths = np.stack([code_lengths(row, _limit(alphabet)) for row in counts])
    codes = np.stack([canonical_codes(row) for row in lengths])
    halves = np.zeros((lengths.size + 1) // 2 * 2, np.uint8)
    halves[: lengths.size] = lengths.reshape(-1)
    where = places * alphabet + symbols
    bits = packed_bits(codes.reshape(-1)[where], lengths.reshape(-1)[where])
    edges, sides = contexts.edges, contexts.sides
    head = bytes([1 + 2 * len(edges) + 16 * len(sides)]) + b"".join(map(number, (*edges, *sides)))
    return head + block((halves[::2] << 4 | halves[1::2]).tobytes()) + number(len(bits)) + bits
