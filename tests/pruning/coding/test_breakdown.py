"""Where the bytes are: sums are exact, figures are those of the file."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prz_files import clustered, smooth

from pruning.coding import Coding, breakdown, encode
from pruning.coding.reader import read_header
from pruning.coding.stream import entropy_bits


def tensors(seed: int = 0) -> dict[str, np.ndarray]:
    return {
        "dense": clustered((30, 20), 4, 1, seed),
        "sparse": clustered((60, 50), 5, 0.1, seed),
        "half": clustered((9, 8, 3, 3), 3, 0.6, seed),
        "plain": np.random.default_rng(seed).standard_normal((20, 30)).astype("float32"),
        "smooth": smooth(seed),
        "one value": np.full((5, 5), 2.5, "float32"),
        "no value": np.zeros((5, 5), "float32"),
        "empty": np.zeros((0, 5), "float32"),
        "scalar": np.array(7),
    }


@given(
    seed=st.integers(0, 20),
    gap_bits=st.none() | st.integers(1, 10),
    huffman=st.booleans(),
    share=st.booleans(),
    sparse=st.booleans(),
)
@settings(max_examples=25)
def test_the_parts_are_the_file(
    seed: int, gap_bits: int | None, huffman: bool, share: bool, sparse: bool
) -> None:
    given_tensors = tensors(seed)
    data = encode(given_tensors, {"about": "x"}, Coding(gap_bits, huffman, share, sparse))
    found = breakdown(data)
    assert found.file_bytes == len(data)
    assert found.overhead + sum(part.bytes for part in found.parts) == len(data)
    for part, entry in zip(found.parts, read_header(data)[0], strict=True):
        assert entry.pooled == (part.form == "pooled")
        assert entry.pooled or part.bytes == entry.end - entry.begin
    assert all(min(p.weights, p.indices, p.codebook, p.overhead) >= 0 for p in found.parts)
    for part in found.parts:
        assert part.shape == given_tensors[part.name].shape
        assert part.nonzero == np.count_nonzero(given_tensors[part.name])


def test_bits_of_a_sparse_shared_tensor() -> None:
    weights = clustered((100, 100), 5, 0.08)
    kept = np.count_nonzero(weights)
    (part,) = breakdown(encode({"w": weights}, {}, Coding(gap_bits=4, contexts=False))).parts
    assert (part.nonzero, part.stored, part.gap_bits) == (kept, kept, 4)
    assert part.form.startswith("gaps, shared")
    assert part.weight_bits == 5
    assert part.index_bits == pytest.approx(4 * (kept + part.fillers) / kept)
    assert part.fillers > 0
    assert part.values.tolist() == np.unique(weights[weights != 0].view("u4")).view("f4").tolist()
    assert part.symbols.frequencies.tolist() == [np.count_nonzero(weights == v) for v in part.values]
    coded = (part.symbols.lengths * part.symbols.frequencies).sum()
    assert part.weights == -(-coded // 8)
    assert part.weight_bits_coded == pytest.approx(coded / kept, abs=8 / kept)
    assert part.indices == -(-(part.gaps.lengths * part.gaps.frequencies).sum() // 8)
    assert part.gaps.frequencies.sum() == kept + part.fillers


def test_codes_are_within_a_bit_of_the_entropy() -> None:
    (part,) = breakdown(encode({"w": clustered((100, 100), 6, 0.1)}, {}, Coding(contexts=False))).parts
    least = entropy_bits(part.symbols.frequencies) / part.nonzero
    assert least <= (part.symbols.lengths * part.symbols.frequencies).sum() / part.nonzero < least + 0.1


def test_without_huffman_bits_are_what_they_were() -> None:
    data = encode({"w": clustered((100, 100), 5, 0.08)}, {}, Coding(gap_bits=5, huffman=False))
    (part,) = breakdown(data).parts
    assert part.weight_bits_coded == pytest.approx(part.weight_bits, abs=0.01)
    assert part.index_bits_coded == pytest.approx(part.index_bits, abs=0.01)
    assert set(part.symbols.lengths.tolist()) == {5}


def test_a_pool_is_shared_out_among_its_tensors() -> None:
    draw = np.random.default_rng(0)
    small = {f"norm{i}": draw.standard_normal(20 + i).astype("float32") for i in range(9)}
    found = breakdown(encode(small))
    assert {part.form for part in found.parts} == {"pooled"}
    sizes = np.array([array.size for array in small.values()])
    whole = sum(part.weights for part in found.parts)
    assert [part.weights for part in found.parts] == pytest.approx(
        (whole * sizes / sizes.sum()).tolist(), abs=1
    )
    assert all(part.bytes == part.weights for part in found.parts)


def test_without_huffman_nothing_is_deflated() -> None:
    found = breakdown(encode(tensors(), {}, Coding(huffman=False, share=False)))
    for part in found.parts:
        assert part.form.partition(",")[2] in ("", " plain", " plain, in columns")
        assert part.weights >= part.stored * part.weight_bits // 8


def test_entropy() -> None:
    assert entropy_bits(np.array([4, 4])) == 8
    assert entropy_bits(np.array([[4, 4], [8, 0]])) == 8
    assert entropy_bits(np.array([0, 0])) == 0
