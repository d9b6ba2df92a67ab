"""The compact forms of a mask: exact both ways, and sized by counts alone."""

from __future__ import annotations

from math import comb, log2

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pruning.checkpoint.sparse import (
    ENCODINGS,
    best_encoding,
    decode_positions,
    encode_positions,
    low_bits,
    positions_bytes,
    scatter,
    stored_bytes,
)

PACKED = [encoding for encoding in ENCODINGS if encoding != "plain"]


@st.composite
def masks(draw: st.DrawFn) -> torch.Tensor:
    shape = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    density = draw(st.sampled_from([0.0, 0.01, 0.1, 0.3, 0.9, 1.0]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    return torch.rand(shape, generator=generator) < density


@pytest.mark.parametrize("encoding", PACKED)
@given(mask=masks())
def test_positions_come_back_and_take_the_bytes_foretold(encoding: str, mask: torch.Tensor) -> None:
    kept = int(mask.sum())
    data = encode_positions(encoding, mask)
    assert len(data) == positions_bytes(encoding, mask.numel(), kept)
    found = decode_positions(encoding, data, mask.numel(), kept)
    assert found.tolist() == mask.flatten().nonzero().flatten().tolist()


@given(mask=masks())
def test_values_come_back_bit_for_bit(mask: torch.Tensor) -> None:
    dense = torch.randn(mask.shape) * mask
    values = dense[mask]
    again = scatter(values, mask.flatten().nonzero().flatten(), tuple(mask.shape))
    assert torch.equal(again, dense)
    assert not torch.signbit(again[~mask]).any()


@given(n=st.integers(1, 10**7), density=st.floats(0, 1))
def test_low_bits_are_the_whole_logarithm(n: int, density: float) -> None:
    k = max(1, int(n * density))
    low = low_bits(n, k)
    assert k * 2**low <= n < k * 2 ** (low + 1)


@pytest.mark.parametrize(("n", "k"), [(4000, 200), (4000, 40), (4000, 1), (4000, 900)])
def test_elias_fano_is_near_the_least_possible(n: int, k: int) -> None:
    """No code for k of n can do with fewer than log2(n choose k) bits."""
    least = log2(comb(n, k))
    bits = 8 * positions_bytes("elias-fano", n, k)
    assert least <= bits <= least + 0.75 * k + 8


@pytest.mark.parametrize(
    ("density", "best"),
    [(1.0, "plain"), (0.99, "plain"), (0.5, "bitmap"), (0.3, "bitmap"), (0.05, "elias-fano")],
)
def test_the_smallest_form_is_taken(density: float, best: str) -> None:
    n = 10_000
    k = int(n * density)
    assert best_encoding(n, k, 4) == best
    assert stored_bytes(best, n, k, 4) == min(stored_bytes(form, n, k, 4) for form in ENCODINGS)


def test_nothing_kept_takes_nothing() -> None:
    assert best_encoding(1000, 0, 4) == "elias-fano"
    assert stored_bytes("elias-fano", 1000, 0, 4) == 0
    assert decode_positions("elias-fano", b"", 1000, 0).numel() == 0


@given(
    data=st.binary(max_size=40),
    n=st.integers(0, 200),
    k=st.integers(0, 200),
    encoding=st.sampled_from(PACKED),
)
def test_any_bytes_decode_to_a_mask_or_a_value_error(data: bytes, n: int, k: int, encoding: str) -> None:
    try:
        found = decode_positions(encoding, data, n, k)
    except ValueError:
        return
    assert len(found) == k
    assert sorted(set(found.tolist())) == found.tolist()
    assert all(0 <= position < n for position in found.tolist())
