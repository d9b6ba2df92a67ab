"""What is encoded comes back bit for bit, whatever it is and however it was coded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from prz_files import clustered, same, smooth

from pruning.coding import Coding, decode, encode
from pruning.coding import reader as reader_module
from pruning.coding.reader import DTYPES, parse, read_header

CODINGS = st.builds(
    Coding,
    gap_bits=st.none() | st.integers(1, 10),
    huffman=st.booleans(),
    share=st.booleans(),
    sparse=st.booleans(),
    contexts=st.booleans(),
)
SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=7)


@given(
    shape=SHAPES,
    bits=st.integers(1, 8),
    density=st.sampled_from([0, 0.02, 0.3, 0.9, 1]),
    seed=st.integers(0, 99),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    coding=CODINGS,
)
@settings(max_examples=150)
def test_clustered_weights(
    shape: tuple[int, ...], bits: int, density: float, seed: int, dtype: str, coding: Coding
) -> None:
    tensors = {"w": clustered(shape, bits, density, seed, dtype)}
    assert same(decode(encode(tensors, {}, coding))[0], tensors)


@given(
    tensors=st.dictionaries(
        st.text(max_size=8),
        arrays.arrays(st.sampled_from(DTYPES).map(np.dtype), SHAPES),
        max_size=4,
    ),
    metadata=st.dictionaries(st.text(max_size=8), st.text(max_size=30), max_size=3),
    coding=CODINGS,
)
@settings(max_examples=150)
def test_anything(tensors: dict[str, np.ndarray], metadata: dict[str, str], coding: Coding) -> None:
    """Names, texts and values as hypothesis likes them: NaN with any payload, -0.0, denormals, empty."""
    found, told = decode(encode(tensors, metadata, coding))
    assert same(found, tensors)
    assert told == metadata


@given(
    size=st.integers(1, 3000),
    density=st.floats(0, 1),
    spread=st.integers(1, 300),
    seed=st.integers(0, 99),
    coding=CODINGS,
)
@settings(max_examples=100)
def test_long_gaps(size: int, density: float, spread: int, seed: int, coding: Coding) -> None:
    draw = np.random.default_rng(seed)
    values = draw.integers(1, spread + 1, size).astype("uint16") * (draw.random(size) < density)
    tensors = {"w": values.astype("uint16")}
    assert same(decode(encode(tensors, {}, coding))[0], tensors)


@pytest.mark.parametrize("dtype", DTYPES)
def test_extremes_of_every_dtype(dtype: str) -> None:
    bits = np.random.default_rng(0).integers(0, 256, 4096, dtype=np.uint8)
    array = (bits & 1).astype(bool) if dtype == "bool" else bits.view(dtype)
    assert same(decode(encode({"w": array}))[0], {"w": array})


def test_zero_has_a_sign() -> None:
    array = np.array([0.0, -0.0, 1e-45, -1e-45, np.inf, np.nan, 0.0, 0.0] * 40, "float32")
    assert same(decode(encode({"w": array}))[0], {"w": array})


def test_layouts_of_memory_do_not_matter() -> None:
    rows = clustered((30, 50), 4, 0.2)
    for array in (np.asfortranarray(rows), rows[::-1, ::2], rows.T, rows.astype(">f4")):
        found = decode(encode({"w": array}))[0]["w"]
        assert np.array_equal(found, array)
        assert found.dtype == np.dtype("float32")


def test_small_tensors_are_put_together() -> None:
    """Together they take less than each in a file of its own, beyond what that file takes anyway."""
    draw = np.random.default_rng(0)
    tensors = {f"norm{i}": (1 + draw.standard_normal(32) / 8).astype("float32") for i in range(20)}
    tensors |= {f"count{i}": np.array(17) for i in range(20)}
    tensors |= {
        "none": np.zeros(0, "float16"),
        "mask": draw.random(40) < 0.5,
        "w": clustered((30, 40), 4, 0.2),
    }
    data = encode(tensors)
    entries = read_header(data)[0]
    assert [entry.name for entry in entries if not entry.pooled] == ["mask", "w"]  # bits pack better alone
    assert same(decode(data)[0], tensors)
    assert len(data) < 0.9 * sum(len(encode({"x": array})) - len(encode({})) for array in tensors.values())


def test_the_same_tensors_give_the_same_file() -> None:
    tensors = {"a": clustered((20, 30), 5, 0.2), "b": smooth()}
    assert encode(tensors, {"k": "v"}) == encode(tensors, {"k": "v"})


def test_columns_where_they_are_shorter() -> None:
    weights = np.zeros((64, 100), "float32")
    weights[:, [3, 40, 41, 90]] = clustered((64, 4), 4, 1)
    data = encode({"w": weights})
    assert parse(data, read_header(data)[0][0]).columns
    assert same(decode(data)[0], {"w": weights})


def test_contexts_save_where_neighbours_are_alike() -> None:
    weights = {"w": smooth()}
    data, plain = encode(weights), encode(weights, {}, Coding(contexts=False))
    stream = parse(data, read_header(data)[0][0]).symbols
    assert stream is not None
    assert stream.edges
    assert len(data) < 0.97 * len(plain)
    assert same(decode(data)[0], weights)


def test_what_is_said_about_each_option_is_so() -> None:
    """Huffman, sharing and leaving out zeros each make this file smaller; asking for gap bits gives them."""
    weights = {"w": clustered((200, 300), 5, 0.08)}
    best = len(encode(weights))
    for worse in (Coding(huffman=False), Coding(share=False), Coding(sparse=False), Coding(gap_bits=2)):
        assert len(encode(weights, {}, worse)) > 1.05 * best
    data = encode(weights, {}, Coding(gap_bits=3, huffman=False))
    section = parse(data, read_header(data)[0][0])
    assert section.gap_bits == 3
    assert section.gaps is not None
    assert section.symbols is not None
    assert section.gaps.codes is None
    assert section.symbols.codes is None


@pytest.mark.parametrize("bits", [0, 11, True, 2.5])
def test_impossible_gap_bits(bits: int) -> None:
    with pytest.raises(ValueError, match="choose 1 to 10"):
        Coding(gap_bits=bits)


def test_a_dtype_that_has_no_place() -> None:
    with pytest.raises(ValueError, match="'w' is complex64"):
        encode({"w": np.zeros(3, "complex64")})


def test_streams_longer_than_a_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes that lie across the pieces in which bits are read."""
    monkeypatch.setattr(reader_module, "PIECE", 64)
    tensors = {"w": smooth(), "dense": clustered((60, 70), 6, 1), "sparse": clustered((60, 70), 6, 0.2)}
    for coding in (Coding(), Coding(contexts=False)):
        assert same(decode(encode(tensors, {}, coding))[0], tensors)


def test_the_reader_alone_decodes(tmp_path: Path) -> None:
    """The file of the reader in another folder, in a Python that has no package `pruning`."""
    tensors = {
        "w": clustered((50, 40), 4, 0.1),
        "b": np.arange(7, dtype="float32"),
        "n": np.int64(3).reshape(()),
    }
    (tmp_path / "network.prz").write_bytes(encode(tensors, {"about": "a test"}))
    (tmp_path / "alone.py").write_bytes(Path(str(reader_module.__file__)).read_bytes())
    command = [sys.executable, "-I", "alone.py", "network.prz"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "wrote network.npz\n"
    with np.load(tmp_path / "network.npz") as found:
        assert same(dict(found), tensors)
    (tmp_path / "network.prz").write_bytes(b"something else")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "network.prz: The file is not a .prz, by its first bytes.\n"
