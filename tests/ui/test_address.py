"""The page's address: what is written is read back, and nothing that is read can do harm."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ui.address import MAX_CHARS, NAMES, Address, pack, parse, unpack, write
from ui.draft import Draft

KEYS = ("conv1", "layer1.0.conv1", "layer1.0.conv2", "fc")
ratios = st.dictionaries(st.sampled_from(KEYS), st.integers(1, 100).map(lambda percent: percent / 100))


@given(
    st.sampled_from(["channel", "weight"]),
    st.sampled_from(["l2", "taylor", "fpgm"]),
    st.sampled_from(["layer", "global"]),
    st.integers(1, 1024),
    st.integers(0, 2**31 - 1),
    ratios,
    st.frozensets(st.sampled_from(KEYS)),
    st.sampled_from(["whole", "inside"]),
    st.sampled_from(["exact", "statistics"]),
)
def test_an_address_is_read_back(
    granularity: str,
    criterion: str,
    scope: str,
    multiple: int,
    seed: int,
    ratios: dict,
    locked: frozenset,
    heads: str,
    norms: str,
) -> None:
    how = {"heads": heads, "norms": norms}
    draft = Draft(granularity, criterion, scope, multiple, seed, ratios, locked, **how)  # type: ignore[arg-type]
    params = write("digits-cnn", "0123456789abcdef01234567", draft, KEYS, "Abcdefghijklmnop")
    found = parse(params)
    assert set(params) <= set(NAMES)
    assert (found.model, found.weights, found.owner) == (
        "digits-cnn",
        "0123456789abcdef01234567",
        "Abcdefghijklmnop",
    )
    assert found.draft == replace(draft, ratios={}, locked=frozenset())
    if ratios or locked:
        assert unpack(found.packed, KEYS) == (ratios, locked)


def test_defaults_leave_a_short_address() -> None:
    assert write("digits-resnet", None, Draft()) == {"model": "digits-resnet"}


@given(st.dictionaries(st.sampled_from([*NAMES, "other"]), st.text(max_size=40)))
def test_any_address_is_read_without_raising(params: dict[str, str]) -> None:
    found = parse(params)
    found.draft.recipe("digits-cnn")  # what survived is valid
    unpack(found.packed, KEYS)


@pytest.mark.parametrize(
    "params",
    [
        {"model": "../../etc/passwd"},
        {"model": "digits-cnn\n"},
        {"model": "<script>"},
        {"w": "0123456789ABCDEF01234567"},
        {"w": "../0123456789abcdef012345"},
        {"g": "everything"},
        {"c": "l2;drop"},
        {"s": "Global"},
        {"m": "0"},
        {"m": "9999999999"},
        {"m": "٣"},
        {"seed": "-1"},
        {"seed": "2147483648"},
        {"h": "outside"},
        {"n": "Statistics"},
        {"o": "short"},
    ],
)
def test_malformed_counts_as_absent(params: dict[str, str]) -> None:
    assert parse(params) == Address()


@given(st.dictionaries(st.sampled_from(KEYS), st.floats(0, 1)))
def test_ratios_come_back_closely(ratios: dict[str, float]) -> None:
    opened = unpack(pack(ratios, (), KEYS), KEYS)
    assert opened is not None
    assert all(math.isclose(opened[0].get(key, 0.0), value, abs_tol=2e-5) for key, value in ratios.items())


def test_ratios_of_other_keys_are_refused() -> None:
    packed = pack({"conv1": 0.5}, (), KEYS)
    assert unpack(packed, KEYS[::-1]) is None
    assert unpack(packed, KEYS[:3]) is None


@given(st.text(max_size=60))
def test_hostile_ratios_are_refused_or_valid(text: str) -> None:
    opened = unpack(text, KEYS)
    if opened is not None:
        assert all(0 < ratio <= 1 for ratio in opened[0].values())


def test_overlong_ratios_are_refused_and_not_forgotten() -> None:
    keys = [f"layer{i}" for i in range(MAX_CHARS)]
    packed = parse({"r": pack({}, keys, keys)}).packed
    assert packed, "whoever opens the link is told"
    assert unpack(packed, keys) is None


def test_sixty_ratios_make_a_short_parameter() -> None:
    keys = [f"layer{i}" for i in range(60)]
    assert len(pack(dict.fromkeys(keys, 0.37), keys[:3], keys)) <= 164
