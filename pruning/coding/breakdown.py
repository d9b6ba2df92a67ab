"""Where the bytes of a .prz file are, exactly: the parts add up to the file."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pruning.coding.bits import number
from pruning.coding.reader import (
    BITMAP,
    EVERYWHERE,
    GAPS,
    MAX_BYTES,
    PLAIN,
    SHUFFLED,
    Block,
    Entry,
    Section,
    Stream,
    code_lengths,
    parse,
    parse_pools,
    places_of,
    read_header,
    read_stream,
    unpack_pools,
    unpacked,
)
from pruning.coding.stream import Contexts

PLACES = {EVERYWHERE: "everywhere", BITMAP: "bitmap", GAPS: "gaps"}
NOTHING = np.zeros(0)


@dataclass(frozen=True)
class Symbols:
    """What a stream's symbols cost.

    Args:
        lengths: (alphabet,), bits of each symbol's code; where there is a code for each context, the mean
            over its occurrences; 0 for symbols that do not occur.
        frequencies: (alphabet,), how often each occurs.
    """

    lengths: np.ndarray = field(default_factory=lambda: NOTHING)
    frequencies: np.ndarray = field(default_factory=lambda: NOTHING.astype(np.int64))


@dataclass(frozen=True)
class Part:
    """The bytes of one tensor. `weights` + `indices` + `codebook` + `overhead` are its section's.

    Args:
        name, shape: of the tensor.
        nonzero: elements that are not zero.
        stored: values in the file: the same, or all elements where zeros are stored too.
        form: where values stand ("everywhere", "bitmap", "gaps"), whether they are "shared" or "plain", and
            whether they lie "in columns"; or "pooled" with other small tensors.
        weights: bytes of the values, or of their symbols if they are shared; of a pool, in proportion.
        indices: bytes that say where they stand.
        codebook: bytes of shared values and of all tables of code lengths.
        overhead: bytes that say how the rest is to be read.
        weight_bits, index_bits: bits of a stored value before Huffman coding; indices with their fillers.
        weight_bits_coded, index_bits_coded: the same in the file.
        gap_bits: bits of a gap; 0 without gaps.
        fillers: gaps that were too long for their bits.
        values: (m,), the shared values, rising as patterns of bits; none if they are not shared.
        symbols, gaps: of the streams.
    """

    name: str
    shape: tuple[int, ...]
    nonzero: int
    stored: int
    form: str
    weights: int
    weight_bits: float
    weight_bits_coded: float
    indices: int = 0
    codebook: int = 0
    overhead: int = 0
    index_bits: float = 0.0
    index_bits_coded: float = 0.0
    gap_bits: int = 0
    fillers: int = 0
    values: np.ndarray = field(default_factory=lambda: NOTHING)
    symbols: Symbols = field(default_factory=Symbols)
    gaps: Symbols = field(default_factory=Symbols)

    @property
    def bytes(self) -> int:
        return self.weights + self.indices + self.codebook + self.overhead


@dataclass(frozen=True)
class Breakdown:
    """A file's bytes: `overhead` (header, metadata, checksums) and those of all parts."""

    file_bytes: int
    overhead: int
    parts: tuple[Part, ...]


def breakdown(data: bytes | bytearray, max_bytes: int = MAX_BYTES) -> Breakdown:
    """Where the bytes of a .prz file are.

    Args:
        data: the whole file.
        max_bytes: as for `decode`.
    Raises:
        ValueError: as `decode`.
    """
    entries, _ = read_header(data, max_bytes)
    pools = parse_pools(data, entries)
    pooled = _pooled(entries, pools)
    parts = tuple(
        pooled[entry.name] if entry.pooled else _part(entry, parse(data, entry)) for entry in entries
    )
    return Breakdown(len(data), len(data) - sum(part.bytes for part in parts), parts)


def _pooled(entries: list[Entry], pools: dict[int, Block]) -> dict[str, Part]:
    """The parts of the tensors that lie in pools; each has as much of a pool's bytes as of its elements."""
    found: dict[str, Part] = {}
    arrays = unpack_pools(entries, pools)
    for width, pool in pools.items():
        together = [entry for entry in entries if entry.pooled and entry.itemsize == width]
        ends = np.cumsum([0, *(entry.size for entry in together)])
        cuts = ends * _size(pool) // max(int(ends[-1]), 1)
        for entry, weights in zip(together, np.diff(cuts).tolist(), strict=True):
            bits = arrays[entry.name].reshape(-1).view(f"u{width}")
            found[entry.name] = Part(
                name=entry.name,
                shape=entry.shape,
                nonzero=int(np.count_nonzero(bits)),
                stored=entry.size,
                form="pooled",
                weights=weights,
                weight_bits=8 * width,
                weight_bits_coded=8 * weights / max(entry.size, 1),
            )
    return found


def _part(entry: Entry, section: Section) -> Part:
    places = places_of(entry.size, section)
    before = None if places is None else np.diff(places, prepend=-1) - 1
    values = np.frombuffer(unpacked(section.codebook), f"<u{entry.itemsize}") if section.codebook else NOTHING
    symbols = _symbols(section.symbols, before)
    weights = _size(section.values) + (len(section.symbols.bits) if section.symbols else 0)
    indices = _size(section.bitmap) + (len(section.gaps.bits) if section.gaps else 0)
    codebook = _size(section.codebook) + _table(section.symbols) + _table(section.gaps)
    stored, gaps = max(section.count, 1), section.gaps
    steps = gaps.count * section.gap_bits if gaps else entry.size if section.bitmap else 0
    width = section.symbols.width if section.symbols else 0
    return Part(
        name=entry.name,
        shape=entry.shape,
        nonzero=_nonzero(section, values, symbols),
        stored=section.count,
        form=_form(section),
        weights=weights,
        indices=indices,
        codebook=codebook,
        overhead=entry.end - entry.begin - weights - indices - codebook,
        weight_bits=width if section.codebook else 8 * entry.itemsize,
        weight_bits_coded=8 * weights / stored,
        index_bits=steps / stored,
        index_bits_coded=8 * indices / stored,
        gap_bits=section.gap_bits,
        fillers=gaps.count - section.count if gaps else 0,
        values=values.view(entry.dtype) if section.codebook else NOTHING,
        symbols=symbols,
        gaps=_symbols(gaps, None),
    )


def _symbols(stream: Stream | None, before: np.ndarray | None) -> Symbols:
    if stream is None:
        return Symbols()
    found = read_stream(stream, before).astype(np.int64)
    lengths = code_lengths(stream)
    bits = lengths[Contexts(stream.edges, stream.sides).of(found, before, stream.alphabet), found]
    often = np.bincount(found, minlength=stream.alphabet)
    total = np.bincount(found, weights=bits, minlength=stream.alphabet)
    return Symbols(total / np.maximum(often, 1), often)


def _nonzero(section: Section, values: np.ndarray, symbols: Symbols) -> int:
    """Elements that are not zero; counted where zeros are stored too."""
    if section.places != EVERYWHERE:
        return section.count
    if section.values is not None:
        width = section.values.width
        return int(np.count_nonzero(np.frombuffer(unpacked(section.values), f"<u{width}")))
    if section.symbols is None:
        return section.count if values.any() else 0
    return int(symbols.frequencies[values != 0].sum())


def _form(section: Section) -> str:
    packed = {PLAIN: "plain", SHUFFLED: "shuffled"}
    how = (
        "shared" if section.codebook else packed.get(section.values.kind if section.values else 0, "deflated")
    )
    return f"{PLACES[section.places]}, {how}" + (", in columns" if section.columns else "")


def _size(block: Block | None) -> int:
    """Bytes of a block in the file."""
    if block is None:
        return 0
    return 1 + len(block.packed) + (len(number(len(block.packed))) if block.kind else 0)


def _table(stream: Stream | None) -> int:
    return _size(stream.codes) if stream else 0
