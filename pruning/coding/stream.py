"""Symbols as bytes: of fixed width, Huffman coded, or with a Huffman code for each context.

Neighbouring weights are alike: in the first layer of a network for pictures, whether the weight before is
the direct neighbour, and its sign, say much about the next one. A code of its own for each such context
costs a table and saves more than that, where there is something to save.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pruning.coding.bits import number, packed_bits
from pruning.coding.blocks import block
from pruning.coding.huffman import canonical_codes, code_lengths
from pruning.coding.reader import MAX_EDGES, MAX_LENGTH

SHORT, FEW = 12, 2**10  # bits of the longest code of alphabets up to so many symbols: their tables stay small
PAIRED = 2**8  # symbols of the largest alphabet whose pairs of neighbours are counted
CLASSES = (2, 3, 4, 6)  # of the symbol before, each about as frequent as the others
SIDES = (1, 4)  # edges of gaps, of which none, the first or both are used
TABLE_BYTES = 0.4  # what a symbol takes in a packed table of code lengths, about
TRIED = 3  # of the contexts that look best by their entropy, these get codes to see which is


@dataclass(frozen=True)
class Contexts:
    """Edges of the classes of the symbol before, and of the gap before."""

    edges: tuple[int, ...] = ()
    sides: tuple[int, ...] = ()

    def __len__(self) -> int:
        return (len(self.edges) + 1) * (len(self.sides) + 1)

    def of(self, symbols: np.ndarray, gaps: np.ndarray | None, alphabet: int) -> np.ndarray:
        """(n,) the context of each symbol."""
        found = np.zeros(len(symbols), np.int64)
        if self.edges:
            classes = np.searchsorted(self.edges, np.arange(alphabet), side="right")
            found[1:] = classes[symbols[:-1]]
        if self.sides and gaps is not None:
            found += (len(self.edges) + 1) * _side(gaps, self.sides)
        return found


@dataclass(frozen=True)
class _Code:
    """Contexts, (contexts, alphabet) code lengths, all that stands before the bits, and the whole size."""

    contexts: Contexts
    lengths: np.ndarray
    head: bytes
    size: int


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
    if huffman:
        often = np.bincount(symbols, minlength=alphabet)
        codes = [_code(Contexts(), often[None])]
        if contexts and alphabet <= PAIRED:
            codes += [_code(*each) for each in _promising(symbols, often, gaps, edge)]
        best = min(codes, key=lambda code: code.size)
        if best.size < 1 + (width * len(symbols) + 7) // 8:
            return _written(symbols, gaps, best)
    return b"\0" + packed_bits(symbols, np.full(len(symbols), width, np.uint8))


def _promising(
    symbols: np.ndarray, often: np.ndarray, gaps: np.ndarray | None, edge: int
) -> list[tuple[Contexts, np.ndarray]]:
    """The contexts that look best by their entropy, with (contexts, alphabet) counts of their symbols.

    None that looks no better than no context.
    """
    alphabet, sides = len(often), _side(gaps, SIDES) if gaps is not None else 0
    before = np.concatenate([[0], symbols[:-1]])
    pairs = np.bincount((sides * alphabet + before) * alphabet + symbols, minlength=3 * alphabet**2)
    pairs = pairs.reshape(3, alphabet, alphabet)
    found = []
    for many in (1, 2, 3) if gaps is not None else (1,):
        joined = np.concatenate([pairs[: many - 1], pairs[many - 1 :].sum(axis=0, keepdims=True)])
        for edges in _candidates(often, edge):
            counts = np.add.reduceat(joined, [0, *edges], axis=1).reshape(-1, alphabet)
            cost = entropy_bits(counts) / 8 + TABLE_BYTES * np.count_nonzero(counts)
            found.append((cost, Contexts(edges, SIDES[: many - 1]), counts))
    plain = found[0][0]  # neither edges nor sides
    better = sorted((each for each in found if each[0] < plain), key=lambda each: each[0])
    return [(contexts, counts) for _, contexts, counts in better[:TRIED]]


def _candidates(often: np.ndarray, edge: int) -> list[tuple[int, ...]]:
    """Edges of classes of symbols that are about as frequent as each other; first of all none."""
    kinds = {edge} if 0 < edge < len(often) else set()
    share = np.cumsum(often) / often.sum()
    found: list[tuple[int, ...]] = [(), tuple(kinds)]
    for many in CLASSES:
        quantiles = np.searchsorted(share, np.arange(1, many) / many) + 1
        cuts = {int(cut) for cut in quantiles if cut < len(often)}
        found.append(tuple(sorted(cuts | kinds))[:MAX_EDGES])
    return list(dict.fromkeys(found))


def _side(gaps: np.ndarray, edges: tuple[int, ...]) -> np.ndarray:
    """(n,) the class of each gap: how many edges it reaches."""
    return sum(((gaps >= edge).astype(np.int64) for edge in edges), start=np.zeros(len(gaps), np.int64))


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


def _code(contexts: Contexts, counts: np.ndarray) -> _Code:
    """Huffman codes for symbols that occur so often, (contexts, alphabet)."""
    lengths = np.stack([code_lengths(row, _limit(len(row))) for row in counts])
    halves = np.zeros((lengths.size + 1) // 2 * 2, np.uint8)
    halves[: lengths.size] = lengths.reshape(-1)
    size = (int((lengths * counts).sum()) + 7) // 8
    edges, sides = contexts.edges, contexts.sides
    kind = bytes([1 + 2 * len(edges) + 16 * len(sides)]) + b"".join(map(number, (*edges, *sides)))
    head = kind + block((halves[::2] << 4 | halves[1::2]).tobytes()) + number(size)
    return _Code(contexts, lengths, head, len(head) + size)


def _written(symbols: np.ndarray, gaps: np.ndarray | None, code: _Code) -> bytes:
    alphabet = code.lengths.shape[1]
    where = code.contexts.of(symbols, gaps, alphabet) * alphabet + symbols
    codes = np.stack([canonical_codes(row) for row in code.lengths])
    return code.head + packed_bits(codes.reshape(-1)[where], code.lengths.reshape(-1)[where])
