"""Uploads: what is good is read, what is not is named in one sentence and nothing else happens."""

from __future__ import annotations

import io
import tracemalloc
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hostile import PICKLED, SAFETENSORS, Code, container, record, torch_saved
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load as safetensors_load
from safetensors.torch import save as safetensors_save
from torch import nn

from pruning.checkpoint.container import DTYPES, Entry, header_bytes, ordered, read_container, tensor_bytes
from pruning.checkpoint.read import check_state_dict, read_state_dict
from pruning.checkpoint.text import quoted

HOSTILE = {f"safetensors, {name}": case for name, case in SAFETENSORS.items()}
HOSTILE |= {f"pt, {name}": case for name, case in PICKLED.items()}
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


def assert_one_sentence(message: str) -> None:
    assert 10 < len(message) < 400
    assert message.endswith(".")
    assert message.isprintable(), repr(message)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_bad_file_gives_one_sentence_and_takes_no_memory(name: str) -> None:
    data, word = HOSTILE[name]
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=word) as caught:
            read_state_dict(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert_one_sentence(str(caught.value))
    assert peak < 50 * 2**20 + 20 * len(data)


def test_code_in_a_pickle_is_named_and_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    with pytest.raises(ValueError, match="system"):
        read_state_dict(torch_saved({"w": torch.ones(2), "x": Code(str(mark))}))
    assert not mark.exists()


def test_a_file_of_two_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "big.safetensors"
    with path.open("wb") as file:
        file.truncate(2 * 2**30)  # takes no space on disk
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"2\.15 GB; at most 1\.07 GB"):
            read_state_dict(path)
        with path.open("rb") as file, pytest.raises(ValueError, match=r"2\.15 GB"):
            read_state_dict(file)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_stream_without_a_size_is_read_no_further_than_the_limit() -> None:
    class Endless(io.RawIOBase):
        taken = 0

        def seekable(self) -> bool:
            return False

        def read(self, size: int = -1) -> bytes:
            self.taken += size
            return bytes(size)

    endless = Endless()
    with pytest.raises(ValueError, match=r"at most 1\.0 kB"):
        read_state_dict(endless, max_bytes=1000)
    assert endless.taken == 1001


@pytest.mark.parametrize("source", ["missing", ".", "a\0b", io.StringIO("text")])
def test_what_is_no_file_gives_one_sentence(source: str | io.StringIO) -> None:
    with pytest.raises(ValueError, match="file") as caught:
        read_state_dict(source)
    assert_one_sentence(str(caught.value))


def test_a_hostile_name_is_shortened_and_escaped() -> None:
    name = "w\x1b[31m\u202e\n\ud800" * 5000
    with pytest.raises(ValueError, match="NaN") as caught:
        read_state_dict(container({name: record([1], 0, 4)}, b"\xff" * 4))
    assert_one_sentence(str(caught.value))
    assert quoted("a\nb") == "'a\\nb'"
    assert len(quoted("x" * 10**6)) < 70


STATE = {"a.weight": torch.randn(3, 4), "a.bias": torch.zeros(3), "n": torch.tensor(7)}


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        OrderedDict(STATE),
        {"state_dict": STATE, "epoch": 3, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}},
        {"model": STATE},
        {"checkpoint": 1, "model": {"state_dict": STATE}},
        {f"module.{name}": tensor for name, tensor in STATE.items()},
        {"model": {f"_orig_mod.module.{name}": tensor for name, tensor in STATE.items()}},
        {
            name: nn.Parameter(tensor) if tensor.is_floating_point() else tensor
            for name, tensor in STATE.items()
        },
    ],
)
def test_the_state_dict_is_found_in_what_training_scripts_save(content: object) -> None:
    state = read_state_dict(torch_saved(content))
    assert list(state) == list(STATE)
    assert all(torch.equal(state[name], STATE[name]) and not state[name].requires_grad for name in STATE)


@pytest.mark.parametrize("how", ["path", "text", "bytes", "file", "pt"])
def test_every_kind_of_source(how: str, tmp_path: Path) -> None:
    data = torch_saved(STATE) if how == "pt" else safetensors_save(STATE)
    path = tmp_path / "any.name"
    path.write_bytes(data)
    source = {"path": path, "text": str(path), "file": io.BytesIO(data)}.get(how, data)
    if isinstance(source, io.BytesIO):
        source.seek(5)  # an upload that somebody else has looked into
    state = read_state_dict(source)
    assert all(torch.equal(state[name], STATE[name]) for name in STATE)


def test_tied_weights_and_views_come_back_as_tensors_of_their_own() -> None:
    base = torch.arange(12.0)
    state = read_state_dict(torch_saved({"a": base, "b": base, "c": base.view(3, 4).t()[1:]}))
    assert torch.equal(state["c"], base.view(3, 4).t()[1:])
    assert state["c"].is_contiguous()
    state["a"].zero_()
    assert torch.equal(state["b"], base)


@given(
    shapes=st.lists(st.lists(st.integers(0, 5), max_size=4), max_size=6),
    codes=st.lists(st.sampled_from(sorted(DTYPES)), min_size=6, max_size=6),
    metadata=st.dictionaries(TEXT, TEXT, min_size=1, max_size=3),
)
def test_the_container_is_the_one_of_safetensors(
    shapes: list[list[int]], codes: list[str], metadata: dict[str, str]
) -> None:
    tensors = {
        f"t{i}": (100 * torch.rand(shape)).to(DTYPES[code])
        for i, (shape, code) in enumerate(zip(shapes, codes, strict=False))
    }
    entries = [Entry(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()]
    data = header_bytes(entries, metadata)
    assert len(data) % 8 == 0
    for entry in ordered(entries):
        data += tensor_bytes(tensors[entry.name])
    theirs = safetensors_load(data)
    ours, found = read_container(safetensors_save(tensors, metadata))
    again, _ = read_container(data)
    assert found == metadata
    assert set(ours) == set(theirs) == set(again) == set(tensors)
    for name, tensor in tensors.items():
        assert ours[name].dtype == theirs[name].dtype == again[name].dtype == tensor.dtype
        assert torch.equal(ours[name], tensor)
        assert torch.equal(theirs[name], tensor)
        assert torch.equal(again[name], tensor)


GOOD = [safetensors_save(STATE), torch_saved(STATE)]


@given(which=st.sampled_from(GOOD), data=st.data())
def test_damage_gives_a_value_error_or_finite_tensors(which: bytes, data: st.DataObject) -> None:
    """A plain file has no digest, so damage may pass: as finite tensors, never as another exception."""
    damaged = bytearray(which)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.sampled_from([len(damaged), data.draw(st.integers(0, len(damaged)))]))]
    try:
        state = read_state_dict(bytes(damaged))
    except ValueError as error:
        assert_one_sentence(str(error))
    else:
        assert all(torch.isfinite(tensor).all() for tensor in state.values())


@given(data=st.binary(max_size=300))
def test_noise_gives_a_value_error(data: bytes) -> None:
    for start in (b"", b"PK\x03\x04", len(data).to_bytes(8, "little") + b"{"):
        with pytest.raises(ValueError, match="file"):
            read_state_dict(start + data)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 3)
        self.norm = nn.BatchNorm1d(3)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_fitting_state_dict_passes(prefix: str) -> None:
    check_state_dict(Small(), {prefix + name: tensor for name, tensor in Small().state_dict().items()})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("a.bias"), "lacks the tensor 'a.bias'"),
        (lambda s: (s.pop("a.bias"), s.pop("norm.bias")), r"lacks the tensor 'a.bias' \(and 1 more\)"),
        (lambda s: s.update({"b.weight": torch.ones(2)}), "has not: 'b.weight'"),
        (lambda s: s.update({"a.weight": torch.ones(5, 4)}), "'a.weight' has shape 5x4, expected is 3x4"),
        (lambda s: s.update({"a.bias": torch.ones(())}), "has shape scalar, expected is 3"),
        (
            lambda s: s.update({"a.weight": torch.ones(3, 4, dtype=torch.int64)}),
            "is int64, expected is float32",
        ),
        (lambda s: s.update({"a.weight": torch.full((3, 4), 1e300, dtype=torch.double)}), "too large"),
        (lambda s: (s.clear(), s.update({"x": torch.ones(1)})), "another architecture.*'a.weight'.*'x'"),
        (lambda s: s.clear(), "another architecture.*nothing"),
    ],
)
def test_a_misfit_is_named(change, message: str) -> None:
    state = dict(Small().state_dict())
    change(state)
    with pytest.raises(ValueError, match=message) as caught:
        check_state_dict(Small(), state)
    assert_one_sentence(str(caught.value))
