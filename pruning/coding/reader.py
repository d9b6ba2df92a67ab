"""Read a .prz file: a self-contained decoder that needs Python and numpy, nothing else.

It is written to be handed out beside a .prz. As a program, `python reader.py network.prz` writes
network.npz with all tensors; as a module, `decode(data)` gives them.

The file, byte by byte. Integers are little-endian; a *number* is a LEB128 integer (7 bits a byte, the lowest
first, the highest bit set on all but the last byte); *deflated* means raw deflate, RFC 1951.

    0   4  "\\x89PRZ"
    4   4  version of the format, 1
    8   4  h, bytes of the header as it lies here
    12  4  bytes of the header once it is inflated
    16  4  CRC-32 of the 16 bytes before and of the header as it lies here
    20  h  the header: JSON, deflated with DICTIONARY as preset dictionary
    ..     one section for each tensor, in the header's order, without holes
    ..     pools
    -4  4  CRC-32 of all sections and pools

A CRC-32 detects every change within 32 neighbouring bits, so every single changed byte.

Header: {"tensors": [[name, dtype, shape, bytes of its section], ...], "metadata": {text: text, ...}}.

A tensor whose section has no bytes lies in a *pool*: small ones that are stored as they are, in the header's
order, together take less. There is a pool, a block, for the tensors of 1 byte an element, then one of 2, of 4
and of 8; none where there are no such tensors.

Section of a tensor of n elements, w bytes each. Its elements are looked at as patterns of bits (so -0.0 is
not zero), in rows, or in columns: the tensor as (first size, rest), transposed.

    byte    form: bits 0-1 where values stand (0 everywhere, 1 a bitmap, 2 gaps); bit 2: in columns;
            bit 3: values are shared
    number  k, the elements that are not zero; left out (k = n) where values stand everywhere
    bitmap: a block of n bits, the first in the highest bit of the first byte, 1 = not zero
    gaps:   byte b, number f of fillers, stream of k + f symbols of an alphabet of 2^b. Symbol s < 2^b - 1
            says: s zeros, then a value. Symbol 2^b - 1, a filler, says: 2^b - 1 zeros. (No gaps if k = 0.)
    shared: number m, block of m values (the codebook, rising as unsigned integers), and if m > 1 a stream of
            k symbols of an alphabet of m
    else:   block of k values

A *block* of known size: a byte, 0 = as it is; 1 = number of bytes, deflated; 2 = the same after the bytes
were shuffled (all first bytes of the values, then all second ones, ...).

A *stream* of symbols: a byte, 0 = each symbol in ceil(log2(alphabet)) bits; odd = Huffman codes:

    byte    1 + 2 e + 16 s
    e + s numbers  edges of classes, rising from 1, first those of the symbol before, then those of the gap
    block   half a byte for each code length (0 = never used), high half first: alphabet after alphabet,
            (s + 1)(e + 1) of them, one for each context
    number  bytes of the bits
    bits    highest bit first, zeros up to a whole byte

The context of a symbol is (class of the gap before it) (e + 1) + (class of the symbol before it, of symbol 0
at the start); a class is the number of edges that are not above. Gaps (zeros before a value) have edges
only in the stream of values. Codes are canonical: of equal length in the order of the symbols, shorter ones
first, counting up from zero.

Source: D. A. Huffman 1952, Proc. IRE 40(9); relative gaps with fillers and shared values as in Deep
Compression, Han et al. 2015, arXiv:1510.00149.
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

MAGIC, VERSION = b"\x89PRZ", 1
FIXED = struct.Struct("<4s4I")  # magic, version, header packed, header unpacked, CRC-32
CHECK = struct.Struct("<I")
MAX_BYTES = 2**30
MAX_HEADER_BYTES = 16 * 2**20
MAX_TENSORS, MAX_DIMS = 100_000, 64
MAX_LENGTH = 15  # bits of a Huffman code
MAX_ALPHABET = 2**16
MAX_EDGES = 7
PIECE = 2**16  # bytes of bits that are looked at together
INVALID = 255  # instead of the length of a code where there is none

DTYPES = tuple(
    ["bool", *(f"{sign}int{bits}" for bits in (8, 16, 32, 64) for sign in ("", "u"))]
    + [f"float{bits}" for bits in (16, 32, 64)]
)
EVERYWHERE, BITMAP, GAPS = range(3)
COLUMNS, SHARED = 4, 8
PLAIN, DEFLATED, SHUFFLED = range(3)

# What headers often say, the most frequent last; part of the format.
DICTIONARY = (
    b'"choices""epochs""learning_rate""kernel""block""n:m""neuron""head""layer""channel""global"'
    b'num_batches_tracked","int64",[],.running_mean","float32",[.running_var","float32",['
    b'conv1.weight","float32",[conv2.weight","float32",[norm1.weight","float32",[bn1.weight","float32",['
    b'.fc1.weight","float32",[.fc2.weight","float32",[head.weight","float32",[.bias","float32",['
    b'{"tensors":[["],"metadata":{"pruning.version":"1","pruning.architecture":"digits-mnist-lenet-'
    b'cifar10-resnet","pruning.recipe":"{\\"rules\\":{\\"\\":{\\"ratio\\":0.9,\\"granularity\\":'
    b'\\"weight\\",\\"criterion\\":\\"l2\\"},\\"\\":{\\"ratio\\":0.5,\\"granularity\\":\\"channel\\",'
    b'\\"criterion\\":\\"l1\\"}},\\"scope\\":\\"layer\\",\\"multiple_of\\":1,\\"seed\\":0,'
    b'\\"heads\\":\\"whole\\",\\"norms\\":\\"exact\\",\\"model\\":\\"\\",\\"version\\":1}",'
    b'"pruning.keep":"{\\"\\":{\\"size\\":,\\"kept\\":\\"","pruning.masked":"[]","pruning.bfloat16":"[]"}}'
)


def decode(
    data: bytes | bytearray, max_bytes: int = MAX_BYTES
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """All tensors of a .prz file, bit for bit what was encoded, and its metadata.

    Args:
        data: the whole file.
        max_bytes: that all tensors together may take; refused before anything is unpacked.
    Returns:
        name -> array, in the file's order; metadata.
    Raises:
        ValueError: one sentence, if anything at all is not as the format says.
    """
    entries, metadata = read_header(data, max_bytes)
    pooled = unpack_pools(entries, parse_pools(data, entries))
    return {
        entry.name: pooled[entry.name] if entry.pooled else unpack(entry, parse(data, entry))
        for entry in entries
    }, metadata


@dataclass(frozen=True)
class Entry:
    """One tensor as the header announces it; its section lies from `begin` to `end` in the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def itemsize(self) -> int:
        return np.dtype(self.dtype).itemsize

    @property
    def pooled(self) -> bool:
        return self.begin == self.end


@dataclass(frozen=True)
class Block:
    """Bytes as they lie in the file: the kind of packing, the size once unpacked, what each value takes."""

    kind: int
    size: int
    width: int
    packed: bytes


@dataclass(frozen=True)
class Stream:
    """Symbols as they lie in the file.

    Args:
        count: symbols.
        alphabet: of them.
        edges: of the classes of the symbol before.
        sides: of the classes of the gap before.
        codes: block of code lengths; None where every symbol takes the same number of bits.
        bits: the codes.
    """

    count: int
    alphabet: int
    edges: tuple[int, ...]
    sides: tuple[int, ...]
    codes: Block | None
    bits: bytes

    @property
    def width(self) -> int:
        """Bits of a symbol without Huffman codes."""
        return (self.alphabet - 1).bit_length()


@dataclass(frozen=True)
class Section:
    """A tensor as it lies in the file, taken apart but not unpacked; fields as in the format."""

    places: int
    columns: bool
    count: int
    bitmap: Block | None = None
    gap_bits: int = 0
    gaps: Stream | None = None
    values: Block | None = None
    codebook: Block | None = None
    symbols: Stream | None = None


# --- the file ---


def read_header(data: bytes | bytearray, max_bytes: int = MAX_BYTES) -> tuple[list[Entry], dict[str, str]]:
    """What the file holds, both checksums verified, nothing unpacked but the header.

    Raises:
        ValueError: one sentence: not a .prz, damaged, of another version, or larger than max_bytes.
    """
    if bytes(data[:4]) != MAGIC[: max(len(data), 1)]:
        raise ValueError("The file is not a .prz, by its first bytes.")
    if len(data) < FIXED.size + CHECK.size:
        raise ValueError(f"The file is cut off: {len(data)} bytes are too few for a .prz.")
    _, version, packed, unpacked, check = FIXED.unpack_from(data)
    if version != VERSION:
        raise ValueError(f"The file is of version {version} of the .prz format; this reader reads {VERSION}.")
    if FIXED.size + packed + CHECK.size > len(data):
        raise ValueError("The file is cut off: it ends before its header does.")
    view = memoryview(data)
    start, end = FIXED.size + packed, len(data) - CHECK.size
    if zlib.crc32(view[FIXED.size : start], zlib.crc32(view[: FIXED.size - CHECK.size])) != check:
        raise ValueError("The checksum of the file's header does not match: it is damaged or was changed.")
    if zlib.crc32(view[start:end]) != CHECK.unpack_from(data, end)[0]:
        raise ValueError("The checksum of the file's tensors does not match: it is damaged or cut off.")
    if unpacked > MAX_HEADER_BYTES:
        raise ValueError(f"The header claims {unpacked:,} bytes; at most {MAX_HEADER_BYTES:,} are read.")
    return _table(_inflated(view[FIXED.size : start], unpacked, DICTIONARY), start, end, max_bytes)


def _table(text: bytes, start: int, end: int, max_bytes: int) -> tuple[list[Entry], dict[str, str]]:
    """The header's JSON, every field of it checked."""
    try:
        found = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        _fault("its header is not readable JSON")
    if not isinstance(found, dict) or set(found) != {"tensors", "metadata"}:
        _fault("its header is not a table of tensors and metadata")
    metadata, records = found["metadata"], found["tensors"]
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        _fault("its metadata is not a table of texts")
    if not isinstance(records, list) or len(records) > MAX_TENSORS:
        _fault(f"it does not list at most {MAX_TENSORS:,} tensors")
    entries: list[Entry] = []
    for record in records:
        entries.append(_entry(record, entries[-1].end if entries else start))
    if len({entry.name for entry in entries}) != len(entries):
        _fault("its header names a tensor twice")
    if (entries[-1].end if entries else start) > end:
        _fault("its sections end behind the file")
    if not entries and start != end:
        _fault("it has no tensors, but bytes of some")
    claimed = sum(entry.size * entry.itemsize for entry in entries)
    if claimed > max_bytes:
        raise ValueError(f"The file's tensors take {claimed:,} bytes; at most {max_bytes:,} are unpacked.")
    return entries, metadata


def _entry(record: Any, begin: int) -> Entry:
    if not isinstance(record, list) or len(record) != 4:
        _fault("its header's record of a tensor is not readable")
    name, dtype, shape, length = record
    if not isinstance(name, str) or not isinstance(dtype, str) or dtype not in DTYPES:
        _fault("its header's record of a tensor has no name or an unknown dtype")
    if not isinstance(shape, list) or len(shape) > MAX_DIMS or not all(map(_is_size, [*shape, length])):
        _fault("its header's record of a tensor has impossible sizes")
    if prod(max(size, 1) for size in shape) >= 2**60:  # numpy cannot hold it, even if it is empty
        _fault("its header's record of a tensor has impossible sizes")
    return Entry(name, dtype, tuple(shape), begin, begin + length)


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**60  # True is no size


def _fault(what: str) -> NoReturn:
    raise ValueError(f"The file is damaged: {what}.")


def _inflated(packed: bytes | memoryview, size: int, dictionary: bytes = b"") -> bytes:
    """Raw deflate that must give exactly so many bytes; never gives more, whatever it claims."""
    machine = zlib.decompressobj(-15, zdict=dictionary) if dictionary else zlib.decompressobj(-15)
    try:
        found = machine.decompress(packed, size + 1)
    except zlib.error:
        found = b""
    if len(found) != size or not machine.eof or machine.unused_data or machine.unconsumed_tail:
        _fault("a deflated part does not inflate to its size")
    return found


# --- a section, taken apart ---


class _Cursor:
    """Reads on through some bytes, never past their end."""

    def __init__(self, data: bytes | memoryview) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            _fault("a section is shorter than what it should hold")
        self.at += count
        return bytes(self.data[self.at - count : self.at])

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self, most: int) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if value > most or shift > 70:
                _fault("a number in a section is too large")
            if byte < 128:
                return value

    def block(self, size: int, width: int = 1) -> Block:
        kind = self.byte()
        if kind > SHUFFLED:
            _fault("a block is packed in an unknown way")
        return Block(kind, size, width, self.take(self.number(size) if kind else size))

    def stream(self, count: int, alphabet: int, sided: bool) -> Stream:
        kind = self.byte()
        if not kind & 1:
            width = (alphabet - 1).bit_length()
            if kind:
                _fault("a stream is coded in an unknown way")
            return Stream(count, alphabet, (), (), None, self.take((count * width + 7) // 8))
        edges = self._edges(kind >> 1 & 7, alphabet - 1)
        sides = self._edges(kind >> 4, 2**60 if sided else 0)
        contexts = (len(edges) + 1) * (len(sides) + 1)
        codes = self.block((contexts * alphabet + 1) // 2)
        bits = self.take(self.number(len(self.data)))
        if count > 8 * len(bits):
            _fault("a stream has fewer bits than symbols")
        return Stream(count, alphabet, edges, sides, codes, bits)

    def _edges(self, count: int, most: int) -> tuple[int, ...]:
        edges = tuple(self.number(most) for _ in range(count))
        if count > MAX_EDGES or any(b <= a for a, b in zip((0, *edges), edges, strict=False)):
            _fault("the edges of a stream's contexts do not rise")
        return edges


def parse(data: bytes | bytearray, entry: Entry) -> Section:
    """Take a tensor's section apart; what it claims is held against the header, nothing is unpacked.

    Raises:
        ValueError: if the section is not as the format says.
    """
    cursor = _Cursor(memoryview(data)[entry.begin : entry.end])
    form, count = cursor.byte(), entry.size
    places = form & 3
    if form > 15 or places > GAPS:
        _fault("a section has an unknown form")
    bitmap, gap_bits, gaps = None, 0, None
    if places != EVERYWHERE:
        count = cursor.number(entry.size)
    if places == BITMAP:
        bitmap = cursor.block((entry.size + 7) // 8)
    if places == GAPS and count:
        gap_bits = cursor.byte()
        if not 1 <= gap_bits <= 16:
            _fault("gaps have an impossible number of bits")
        gaps = cursor.stream(count + cursor.number(entry.size), 2**gap_bits, sided=False)
    values = codebook = symbols = None
    if form & SHARED:
        shared = cursor.number(min(count, MAX_ALPHABET))
        codebook = cursor.block(shared * entry.itemsize, entry.itemsize)
        if shared == 0 < count:
            _fault("a codebook is empty")
        if shared > 1:
            symbols = cursor.stream(count, shared, sided=places != EVERYWHERE)
    else:
        values = cursor.block(count * entry.itemsize, entry.itemsize)
    if cursor.at != len(cursor.data):
        _fault("a section is longer than what it holds")
    return Section(places, bool(form & COLUMNS), count, bitmap, gap_bits, gaps, values, codebook, symbols)


def parse_pools(data: bytes | bytearray, entries: list[Entry]) -> dict[int, Block]:
    """Bytes of an element -> the pool of such tensors.

    Raises:
        ValueError: if the file has others than it should.
    """
    if not entries:
        return {}
    cursor = _Cursor(memoryview(data)[entries[-1].end : len(data) - CHECK.size])
    found: dict[int, Block] = {}
    for width in (1, 2, 4, 8):
        sizes = [entry.size for entry in entries if entry.pooled and entry.itemsize == width]
        if sizes:
            found[width] = cursor.block(sum(sizes) * width, width)
    if cursor.at != len(cursor.data):
        _fault("it has bytes that belong to no tensor")
    return found


# --- a section, unpacked ---


def unpack_pools(entries: list[Entry], pools: dict[int, Block]) -> dict[str, np.ndarray]:
    """The tensors of the pools, by name.

    Raises:
        ValueError: if a pool is not as the format says.
    """
    left = {width: np.frombuffer(unpacked(block), f"<u{width}") for width, block in pools.items()}
    found: dict[str, np.ndarray] = {}
    for entry in entries:
        if entry.pooled:
            values, left[entry.itemsize] = np.split(left[entry.itemsize], [entry.size])
            found[entry.name] = _finished(entry, np.array(values))
    return found


def unpack(entry: Entry, section: Section) -> np.ndarray:
    """The tensor of a section of `parse`.

    Raises:
        ValueError: if the section is not as the format says.
    """
    pattern = np.dtype(f"<u{entry.itemsize}")
    places = places_of(entry.size, section)
    if section.codebook is not None:
        book = np.frombuffer(unpacked(section.codebook), pattern)
        before = None if places is None else np.diff(places, prepend=-1) - 1
        values = (
            book[read_stream(section.symbols, before)] if section.symbols else np.repeat(book, section.count)
        )
    else:
        assert section.values is not None
        values = np.frombuffer(unpacked(section.values), pattern)
    if places is None:
        flat = np.array(values)
    else:
        flat = np.zeros(entry.size, pattern)
        flat[places] = values
    if section.columns and entry.shape and entry.size:
        flat = np.ascontiguousarray(flat.reshape(-1, entry.shape[0]).T)
    return _finished(entry, flat)


def _finished(entry: Entry, flat: np.ndarray) -> np.ndarray:
    """Patterns of bits as the tensor that they are."""
    if entry.dtype == "bool" and flat.size and flat.max() > 1:
        _fault("a boolean tensor holds other bytes than 0 and 1")
    return flat.astype(flat.dtype.newbyteorder("="), copy=False).view(entry.dtype).reshape(entry.shape)


def unpacked(block: Block) -> bytes:
    """A block's bytes.

    Raises:
        ValueError: if they are not so many.
    """
    if block.kind == PLAIN:
        return block.packed
    data = _inflated(block.packed, block.size)
    if block.kind == SHUFFLED:
        data = np.frombuffer(data, np.uint8).reshape(block.width, -1).T.tobytes()
    return data


def places_of(size: int, section: Section) -> np.ndarray | None:
    """(k,) int64, where the values stand; None if everywhere."""
    if section.places == EVERYWHERE:
        return None
    if section.bitmap is not None:
        bits = np.unpackbits(np.frombuffer(unpacked(section.bitmap), np.uint8))
        places = np.flatnonzero(bits)
    elif section.gaps is not None:
        symbols = read_stream(section.gaps).astype(np.int64)
        filler = 2**section.gap_bits - 1
        stored = symbols != filler
        places = (np.cumsum(symbols + stored) - 1)[stored]
    else:
        places = np.zeros(0, np.int64)
    if len(places) != section.count or (len(places) and places[-1] >= size):
        _fault("the places of a tensor's values do not fit it")
    return places


def code_lengths(stream: Stream) -> np.ndarray:
    """(contexts, alphabet) uint8, bits of each symbol's code, 0 = never used."""
    contexts = (len(stream.edges) + 1) * (len(stream.sides) + 1)
    if stream.codes is None:
        return np.full((contexts, stream.alphabet), stream.width, np.uint8)
    halves = np.frombuffer(unpacked(stream.codes), np.uint8)
    lengths = np.stack([halves >> 4, halves & 15], axis=1).reshape(-1)
    return lengths[: contexts * stream.alphabet].reshape(contexts, stream.alphabet)


def canonical(lengths: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """What the next `longest` bits mean, for each value that they can have.

    Args:
        lengths: (alphabet,), bits of each symbol's code, 0 = never used.
        longest: bits, at least the longest code's.
    Returns:
        (2**longest,) symbols, uint16; (2**longest,) lengths of their codes, uint8, INVALID where none begins.
    Raises:
        ValueError: if there is no such code.
    """
    order = np.argsort(lengths, kind="stable").astype(np.int64)
    order = order[lengths[order] > 0]
    spans = 1 << (longest - lengths[order].astype(np.int64))
    total, room = int(spans.sum()), 1 << longest
    if total > room or (total < room and len(order) > 1):
        _fault("a table of code lengths is not one of a Huffman code")
    symbols, found = np.zeros(room, np.uint16), np.full(room, INVALID, np.uint8)
    symbols[:total] = np.repeat(order, spans)
    found[:total] = np.repeat(lengths[order], spans)
    return symbols, found


def read_stream(stream: Stream, gaps: np.ndarray | None = None) -> np.ndarray:
    """The symbols of a stream.

    Args:
        stream: of `parse`.
        gaps: (count,), zeros before each symbol's value, where the stream has sides.
    Returns:
        (count,), integers below the alphabet.
    Raises:
        ValueError: if the bits are not such symbols.
    """
    raw = np.frombuffer(stream.bits + bytes(8), np.uint8)
    if stream.codes is None:
        places = np.arange(stream.count, dtype=np.int64) * stream.width
        symbols, end = _windows(raw, places, stream.width), stream.count * stream.width
    else:
        lengths = code_lengths(stream)
        longest = int(lengths.max(initial=1))
        tables = [canonical(row, longest) for row in lengths]
        if len(tables) == 1:
            symbols, end = _alone(stream, raw, *tables[0], longest)
        else:
            symbols, end = _in_context(stream, raw, tables, longest, gaps)
    if symbols.size and symbols.max() >= stream.alphabet:
        _fault("a stream has a symbol that its alphabet has not")
    padding = 8 * len(stream.bits) - end
    if not 0 <= padding < 8 or (padding and stream.bits[-1] & (1 << padding) - 1):
        _fault("a stream does not end where its bits do")
    return symbols


def _windows(raw: np.ndarray, places: np.ndarray, width: int) -> np.ndarray:
    """The `width` bits from each place on, as integers; at most 17 bits."""
    at = places >> 3
    words = (raw[at].astype(np.uint32) << 16) | (raw[at + 1].astype(np.uint32) << 8) | raw[at + 2]
    return (words >> (24 - width - (places & 7)).astype(np.uint32)) & ((1 << width) - 1)


def _every_window(raw: np.ndarray, start: int, width: int) -> np.ndarray:
    """The `width` bits from every single bit of a piece on: (8 PIECE or less,) uint16."""
    piece = raw[start : start + PIECE + 2].astype(np.uint32)
    words = (piece[:-2] << 16) | (piece[1:-1] << 8) | piece[2:]
    found = np.empty(8 * len(words), np.uint16)
    for bit in range(8):
        found[bit::8] = (words >> (24 - width - bit)) & ((1 << width) - 1)
    return found


def _alone(
    stream: Stream, raw: np.ndarray, symbols: np.ndarray, lengths: np.ndarray, longest: int
) -> tuple[np.ndarray, int]:
    """Symbols of one code: its length is looked up at every bit at once, then followed from code to code."""
    found, seen, bit = [], 0, 0  # bit: where the next code begins
    for start, end in _pieces(raw):
        windows = _every_window(raw, start, longest)
        steps = lengths[windows].tobytes()
        at, last = bit - 8 * start, 8 * (end - start)
        places: list[int] = []
        append = places.append
        while at < last:
            append(at)
            at += steps[at]
        del places[stream.count - seen :]
        if not places:
            break
        chosen = windows[np.array(places)]
        if (lengths[chosen] == INVALID).any():
            _fault("a stream has a code that stands for nothing")
        found.append(symbols[chosen])
        seen += len(places)
        bit = 8 * start + places[-1] + steps[places[-1]]
    if seen != stream.count:
        _fault("a stream has too few symbols")
    return np.concatenate(found), bit


def _in_context(
    stream: Stream,
    raw: np.ndarray,
    tables: list[tuple[np.ndarray, np.ndarray]],
    longest: int,
    gaps: np.ndarray | None,
) -> tuple[np.ndarray, int]:
    """Symbols whose code depends on the gap and the symbol before: one after another."""
    many = len(stream.edges) + 1
    classes = np.searchsorted(stream.edges, np.arange(stream.alphabet), side="right")
    sides = np.zeros(stream.count, np.int64)
    if stream.sides and gaps is not None:
        sides = np.searchsorted(stream.sides, gaps, side="right")
    # what follows from the next bits, in one byte: the class of the symbol and the bits it takes, or 0
    steps = [
        np.where(lengths == INVALID, 0, classes[symbols] << 4 | lengths).astype(np.uint8).tobytes()
        for symbols, lengths in tables
    ]
    rows = [steps[side * many : (side + 1) * many] for side in range(len(stream.sides) + 1)]
    taken: list[int] = []
    append, before, bit = taken.append, 0, 0
    ahead = iter([rows[side] for side in sides.tolist()])
    for start, end in _pieces(raw):
        windows = array("H", _every_window(raw, start, longest).tobytes())
        at, last = bit - 8 * start, 8 * (end - start)
        for row in ahead if at < last else ():
            step = row[before][windows[at]]
            append(step)
            before = step >> 4
            at += step & 15
            if at >= last:
                break
        bit = 8 * start + at
    found = np.frombuffer(bytes(taken), np.uint8)
    if len(found) != stream.count or not found.all():
        _fault("a stream has too few symbols or a code that stands for nothing")
    ends = np.cumsum(found & 15, dtype=np.int64)
    contexts = sides * many
    contexts[1:] += found[:-1] >> 4
    meanings = np.stack([symbols for symbols, _ in tables])
    return meanings[contexts, _windows(raw, ends - (found & 15), longest)], bit


def _pieces(raw: np.ndarray) -> Iterator[tuple[int, int]]:
    """First and last byte of each piece of a stream's bits, without the zeros that were put behind them."""
    size = len(raw) - 8
    return ((start, min(start + PIECE, size)) for start in range(0, size, PIECE))


def main(paths: list[str]) -> None:
    """Write the tensors of each .prz into a .npz of the same name beside it."""
    for path in map(Path, paths):
        try:
            np.savez(path.with_suffix(".npz"), **decode(path.read_bytes())[0])  # type: ignore[arg-type]
        except (OSError, ValueError) as error:
            sys.exit(f"{path}: {error}")
        print("wrote", path.with_suffix(".npz"))


if __name__ == "__main__":
    main(sys.argv[1:])
