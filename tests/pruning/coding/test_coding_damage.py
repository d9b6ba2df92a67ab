"""Files that are damaged or made to do harm: one sentence, whatever they are."""

from __future__ import annotations

import json
import re
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prz_files import clustered, file_of, file_of_section, smooth

from pruning.coding import breakdown, decode, encode
from pruning.coding.bits import number
from pruning.coding.blocks import block, deflated
from pruning.coding.reader import read_header

SMALL = encode(
    {"w": clustered((6, 10), 2, 0.3), "b": np.arange(3, dtype="float32"), "n": np.array(5)}, {"a": "text"}
)


def refused(data: bytes) -> str:
    """The one sentence with which a file is refused."""
    with pytest.raises(ValueError, match=r"^The file.*\.$|^The (header|checksum).*\.$") as error:
        decode(data)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("flip", [1, 2, 16, 128, 255])
def test_every_changed_byte_is_noticed(flip: int) -> None:
    for place in range(len(SMALL)):
        damaged = bytearray(SMALL)
        damaged[place] ^= flip
        refused(bytes(damaged))


def test_every_length_but_the_right_one_is_noticed() -> None:
    for length in range(len(SMALL)):
        refused(SMALL[:length])
    refused(SMALL + b"\0")
    refused(SMALL + SMALL)


def test_every_pair_of_changed_neighbours_is_noticed() -> None:
    for place in range(len(SMALL) - 1):
        damaged = bytearray(SMALL)
        damaged[place : place + 2] = damaged[place] ^ 0x55, damaged[place + 1] ^ 0xAA
        refused(bytes(damaged))


@pytest.mark.parametrize(
    "data", [b"", b"PK\x03\x04" + bytes(40), b"\x10" + bytes(7) + b'{"a":1}' + bytes(40)]
)
def test_other_files(data: bytes) -> None:
    assert refused(data) == "The file is not a .prz, by its first bytes."


def test_another_version() -> None:
    assert "version 2" in refused(file_of({"tensors": [], "metadata": {}}, b"", version=2))


@pytest.mark.parametrize(
    "header",
    [
        b"not JSON",
        b"\xff\xfe",
        b"[" * 100_000,
        [],
        {"tensors": []},
        {"tensors": [], "metadata": {"a": 1}},
        {"tensors": {}, "metadata": {}},
        {"tensors": [[]], "metadata": {}},
        {"tensors": [["w", "float32", [2], 0], ["w", "float32", [2], 0]], "metadata": {}},
        {"tensors": [["w", "complex64", [2], 0]], "metadata": {}},
        {"tensors": [["w", ["float32"], [2], 0]], "metadata": {}},
        {"tensors": [[3, "float32", [2], 0]], "metadata": {}},
        {"tensors": [["w", "float32", 2, 0]], "metadata": {}},
        {"tensors": [["w", "float32", [-1], 0]], "metadata": {}},
        {"tensors": [["w", "float32", [True], 0]], "metadata": {}},
        {"tensors": [["w", "float32", [2.0], 0]], "metadata": {}},
        {"tensors": [["w", "float32", [2], -4]], "metadata": {}},
        {"tensors": [["w", "float32", [1] * 65, 0]], "metadata": {}},
        {"tensors": [["w", "float32", [0, 2**59, 2**59], 0]], "metadata": {}},
        {"tensors": [["w", "float32", [2], 7]], "metadata": {}},
        {"tensors": [["w", "float32", [2**40], 0]], "metadata": {}},
    ],
)
def test_headers(header: Any) -> None:
    refused(file_of(header, b""))


VALUES = np.arange(4, dtype="float32").tobytes()


@pytest.mark.parametrize(
    "section",
    [
        b"",
        b"\x10" + b"\0" + VALUES,  # unknown form
        b"\x03" + b"\0" + VALUES,  # unknown places
        b"\0\3" + VALUES,  # unknown packing
        b"\0\0" + VALUES[:-1],  # cut off
        b"\0\0" + VALUES + b"\0",  # too long
        b"\0\1" + number(9) + deflated(VALUES)[:9],  # deflated, cut off
        b"\0\1" + number(len(deflated(VALUES * 2))) + deflated(VALUES * 2),  # deflated, too much
        b"\0\1" + number(20) + b"\xff" * 20,  # deflated, garbage
        b"\2" + number(5),  # more values than elements
        b"\2" + b"\xff" * 12,  # a number without end
        b"\2\1" + b"\0" + b"\0" + b"\0\0" + b"\0" + VALUES[:4],  # gaps of no bits
        b"\2\1" + b"\x11" + b"\0" + b"\0\0" + b"\0" + VALUES[:4],  # gaps of 17 bits
        b"\2\1" + b"\3\0" + b"\0\x80" + b"\0" + VALUES[:4],  # a place behind the tensor
        b"\2\1" + b"\3\0" + b"\0\xe0" + b"\0" + VALUES[:4],  # a filler, and no value
        b"\2\1" + b"\3\0" + b"\0\x21" + b"\0" + VALUES[:4],  # bits that are left over
        b"\2\1" + b"\3\0" + b"\2\0" + b"\0" + VALUES[:4],  # unknown coding
        b"\1\1" + b"\0\xc0" + b"\0" + VALUES[:4],  # another count than the bitmap has
        b"\1\1" + b"\0\x08" + b"\0" + VALUES[:4],  # a place behind the tensor
        b"\x08" + number(0) + b"\0",  # no codebook
        b"\x08" + number(5) + b"\0" + VALUES + VALUES[:4],  # more shared values than elements
        b"\x08\3\0" + VALUES[:12] + b"\0\xff",  # symbol 3 of 3
        b"\x08\2\0" + VALUES[:8] + b"\1" + b"\0\x00" + number(1) + b"\0",  # no code at all
        b"\x08\2\0" + VALUES[:8] + b"\1" + b"\0\x22" + number(1) + b"\0",  # an incomplete code
        b"\x08\3\0" + VALUES[:12] + b"\1" + b"\0\x11\x10" + number(1) + b"\0",  # too many codes
        b"\x08\2\0" + VALUES[:8] + b"\1" + b"\0\x10" + number(1) + b"\x10",  # a code that is none
        b"\x08\2\0" + VALUES[:8] + b"\1" + b"\0\x11" + number(0),  # no bits
        b"\x08\2\0" + VALUES[:8] + b"\1" + b"\0\x11" + number(2) + b"\0\0",  # too many bits
        b"\x08\2\0" + VALUES[:8] + b"\1" + b"\0\x11" + number(1) + b"\1",  # padding that is not zero
        b"\x08\2\0" + VALUES[:8] + b"\x11\1" + b"\0\x11\x11" + number(1) + b"\0",  # a gap where none is
        b"\x08\2\0" + VALUES[:8] + b"\3\0" + b"\0\x11\x11" + number(1) + b"\0",  # an edge of 0
        b"\x08\3\0" + VALUES[:12] + b"\5\2\1" + b"\0" + b"\x12\x21\x22" * 2 + number(1) + b"\0",  # falling
        b"\x08\2\0" + VALUES[:8] + b"\3\1" + b"\0\x11\x10" + number(1) + b"\x60",  # no code in a context
    ],
)
def test_sections(section: bytes) -> None:
    refused(file_of_section(section))


POOLED = {"tensors": [["w", "float32", [4], 0], ["b", "bool", [3], 0]], "metadata": {}}
POOLS = b"\0\0\1\1", b"\0" + VALUES  # of 1 byte an element, and of 4


def test_pools() -> None:
    assert decode(file_of(POOLED, b"".join(POOLS)))[0]["b"].tolist() == [False, True, True]
    for body in (b"", POOLS[0], POOLS[1], b"".join(POOLS)[:-1], b"".join(POOLS) + b"\0"):
        refused(file_of(POOLED, body))
    refused(file_of({"tensors": [], "metadata": {}}, b"\0"))


def test_a_boolean_is_0_or_1() -> None:
    assert "boolean" in refused(file_of_section(b"\0\0\0\1\2\1", dtype="bool"))
    assert "boolean" in refused(file_of(POOLED, b"\0\0\1\2" + POOLS[1]))


def test_a_deflated_header_gives_no_more_than_it_says() -> None:
    """A header of a few bytes that would inflate to very many is not inflated."""
    bomb = json.dumps({"tensors": [], "metadata": {"a": "0" * 50_000_000}}).encode()
    honest, liar = file_of(bomb, b""), file_of(bomb, b"", unpacked=1000)
    assert len(honest) < 100_000
    for data in (honest, liar):
        tracemalloc.start()
        try:
            refused(data)
            assert tracemalloc.get_traced_memory()[1] < 5_000_000
        finally:
            tracemalloc.stop()


def test_claims_are_refused_before_anything_is_allocated() -> None:
    nothing = b"\2\0\0"
    data = file_of_section(nothing, (20_000, 20_000))
    tracemalloc.start()
    try:
        assert "at most 1,073,741,824" in refused(data)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    small = file_of_section(nothing, (20, 20))
    with pytest.raises(ValueError, match=r"take 1,600 bytes; at most 1,599"):
        decode(small, 1599)
    assert not decode(small, 1600)[0]["w"].any()


def test_deflated_blocks_give_no_more_than_they_may() -> None:
    bomb = deflated(bytes(50_000_000))
    data = file_of_section(b"\0\1" + number(len(bomb)) + bomb, (1000,))
    tracemalloc.start()
    try:
        refused(data)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


FILES = [
    encode({"w": array})
    for array in (
        clustered((12, 20), 3, 0.2),
        clustered((12, 20), 3, 1),
        smooth()[:10],
        np.random.default_rng(0).standard_normal((5, 5)) * (np.arange(25).reshape(5, 5) % 3 == 0),
    )
]


@given(data=st.sampled_from(FILES), seed=st.integers(0, 2**32), often=st.integers(1, 6))
@settings(max_examples=200)
def test_sections_with_right_checksums_are_read_or_refused(data: bytes, seed: int, often: int) -> None:
    """Nothing but a ValueError, and nothing of another shape, whatever a section says."""
    entry = read_header(data)[0][0]
    section = bytearray(data[entry.begin : entry.end])
    draw = np.random.default_rng(seed)
    for _ in range(often):
        section[draw.integers(len(section))] = draw.integers(256)
    changed = file_of_section(bytes(section), entry.shape, entry.dtype)
    try:
        found = decode(changed)[0]["w"]
    except ValueError as error:
        with pytest.raises(ValueError, match=f"^{re.escape(str(error))}$"):
            breakdown(changed)
        return
    assert found.shape == entry.shape
    assert found.dtype == np.dtype(entry.dtype)
    parts = breakdown(changed)
    assert parts.overhead + sum(part.bytes for part in parts.parts) == len(changed)


def test_blocks_choose_the_smallest() -> None:
    noise = np.random.default_rng(0).bytes(999)
    assert block(noise) == b"\0" + noise
    assert block(bytes(999))[0] == 1
    assert block(np.linspace(1, 2, 999, dtype="float32").tobytes(), 4)[0] == 2
