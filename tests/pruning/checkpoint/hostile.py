"""Files that somebody might upload by mistake or in malice."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from typing import Any

import torch


def torch_saved(content: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def container(table: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """A .safetensors file with any header at all."""
    header = table if isinstance(table, bytes) else json.dumps(table).encode()
    return (len(header) if length is None else length).to_bytes(8, "little") + header + data


def record(shape: Any, begin: Any, end: Any, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def rezipped(
    change: Callable[[str, bytes], bytes], compression: int = zipfile.ZIP_STORED, content: Any = None
) -> bytes:
    """A .pt file whose parts have been changed."""
    source = zipfile.ZipFile(io.BytesIO(torch_saved(content or {"w": torch.arange(4.0)})))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as target:
        for name in source.namelist():
            target.writestr(name, change(name, source.read(name)))
    return buffer.getvalue()


def with_pickle(pickled: bytes) -> bytes:
    return rezipped(lambda name, data: pickled if name.endswith("data.pkl") else data)


class Code:
    """Unpickled the ordinary way, this would leave a file behind."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.path}",)


def nested_twice(levels: int) -> bytes:
    """A pickle with a tuple as dict key whose hash visits 2 ** levels values."""
    body = b"\x80\x02}K\x01"
    for level in range(levels):
        body += b"q" + bytes([level]) + b"h" + bytes([level]) + b"\x86"
    return body + b"K\x01s."


def nested_deep(levels: int) -> bytes:
    """A pickle with a tuple as dict key, one in the other."""
    return b"\x80\x02}K\x01" + b"\x85" * levels + b"K\x01s."


FLOATS = b"\x00\x00\x80\x3f" * 4  # 1.0 four times
HUGE = 2**62

SAFETENSORS: dict[str, tuple[bytes, str]] = {
    "zero bytes": (b"", "empty"),
    "three bytes": (b"abc", "cut off"),
    "eight bytes": (b"\x02" + bytes(7), "cut off"),
    "a web page": (b"<!DOCTYPE html><html><body>Not found</body></html>", "neither"),
    "header beyond the file": (container(b"{}", length=500), "cut off"),
    "header of exabytes": (container(b"{}", length=HUGE), "header claims"),
    "header of 4 GB": (container(b"{}", length=2**32), "header claims"),
    "not JSON": (container(b"{nonsense}"), "JSON"),
    "not UTF-8": (container(b'{"\xff":1}'), "JSON"),
    "nested JSON": (container(b'{"a":' + b"[" * 100_000), "JSON"),
    "endless number": (container(b'{"a":' + b"9" * 10_000 + b"}"), "JSON"),
    "no tensors": (container({}), "no tensors"),
    "only metadata": (container({"__metadata__": {"a": "b"}}), "no tensors"),
    "odd metadata": (container({"__metadata__": {"a": 1}}), "metadata"),
    "record is a number": (container({"w": 3}), "not a tensor's"),
    "record lacks offsets": (container({"w": {"dtype": "F32", "shape": [4]}}), "not a tensor's"),
    "unknown dtype": (container({"w": record([4], 0, 16, "F33")}, FLOATS), "dtype"),
    "dtype is a list": (container({"w": record([4], 0, 16, [])}, FLOATS), "dtype"),
    "shape negative": (container({"w": record([-4], 0, 16)}, FLOATS), "shape"),
    "shape of booleans": (container({"w": record([True, 4], 0, 16)}, FLOATS), "shape"),
    "shape of fractions": (container({"w": record([4.0], 0, 16)}, FLOATS), "shape"),
    "shape is a text": (container({"w": record("4", 0, 16)}, FLOATS), "shape"),
    "shape of too many sizes": (container({"w": record([1] * 100, 0, 4)}, FLOATS[:4]), "shape"),
    "shape of 2^62 floats": (container({"w": record([HUGE], 0, 4 * HUGE)}, FLOATS), "offsets"),
    "a terabyte": (container({"w": record([2**38], 0, 2**40)}, FLOATS), "cut off"),
    "shape larger than bytes": (container({"w": record([5], 0, 16)}, FLOATS), "number of bytes"),
    "shape smaller than bytes": (container({"w": record([3], 0, 16)}, FLOATS), "number of bytes"),
    "nothing of absurd sizes": (container({"w": record([0, HUGE, HUGE], 0, 0)}), "impossible"),
    "offsets reversed": (container({"w": record([4], 16, 0)}, FLOATS), "offsets"),
    "offsets negative": (container({"w": record([4], -16, 0)}, FLOATS), "offsets"),
    "data cut off": (container({"w": record([4], 0, 16)}, FLOATS[:-1]), "cut off"),
    "data too long": (container({"w": record([4], 0, 16)}, FLOATS + b"\0"), "belong to no tensor"),
    "overlap": (container({"v": record([4], 0, 16), "w": record([3], 4, 16)}, FLOATS), "overlaps"),
    "twice the same bytes": (
        container({"v": record([4], 0, 16), "w": record([4], 0, 16)}, FLOATS),
        "overlaps",
    ),
    "hole": (container({"v": record([1], 0, 4), "w": record([2], 8, 16)}, FLOATS), "hole"),
    "name twice": (container(b'{"w":{},"w":{}}'), "twice"),
    "boolean of sevens": (container({"w": record([4], 0, 4, "BOOL")}, b"\7" * 4), "boolean"),
    "NaN": (container({"w": record([4], 0, 16)}, b"\xff" * 16), "NaN"),
    "infinity": (container({"w": record([1], 0, 4)}, b"\x00\x00\x80\x7f"), "infinite"),
}

VIEWED = torch.ones(10_000)

PICKLED: dict[str, tuple[bytes, str]] = {
    "a module": (torch_saved(torch.nn.Linear(2, 2)), "Linear"),
    "a list": (torch_saved([torch.ones(2)]), "list"),
    "a number": (torch_saved(3), "int"),
    "a tensor": (torch_saved(torch.ones(2)), "Tensor"),
    "an empty dict": (torch_saved({}), "no tensors"),
    "no tensor in it": (torch_saved({"epoch": 3, "lr": 0.1}), "'epoch'"),
    "a number among tensors": (torch_saved({"w": torch.ones(2), "epoch": 3}), "'epoch'"),
    "number as name": (torch_saved({3: torch.ones(2)}), "no text"),
    "NaN": (torch_saved({"w": torch.tensor([1.0, float("nan")])}), "NaN"),
    "infinity": (torch_saved({"w": torch.tensor([float("-inf")])}), "infinite"),
    "complex": (torch_saved({"w": torch.ones(2, dtype=torch.complex64)}), "Complex"),
    "sparse": (torch_saved({"w": torch.ones(2).to_sparse()}), "sparse"),
    "a buffer": (torch_saved({"w": bytearray(3)}), "bytearray"),
    "stride zero": (torch_saved({"w": torch.ones(1).expand(2**40)}), "more elements"),
    "many views of one storage": (torch_saved({str(i): VIEWED[i:] for i in range(50)}), "more elements"),
    "old format": (torch_saved({"w": torch.ones(2)}, _use_new_zipfile_serialization=False), "bare pickle"),
    "plain pickle": (pickle.dumps({"w": [1.0]}), "bare pickle"),
    "no zip after all": (b"PK\x03\x04" + bytes(100), "cut off"),
    "another zip": (rezipped(lambda name, data: data).replace(b"data.pkl", b"data.txt"), "no torch.save"),
    "compressed": (rezipped(lambda name, data: data, zipfile.ZIP_DEFLATED), "compressed"),
    "zip bomb": (
        rezipped(lambda name, data: bytes(10**7) if "data/0" in name else data, zipfile.ZIP_DEFLATED),
        "compressed",
    ),
    "storage larger than its part": (
        rezipped(lambda name, data: data.replace(b"K\x04", b"K\x7f")),
        "damaged",
    ),
    "storage cut off": (rezipped(lambda name, data: data[:3] if "data/0" in name else data), "damaged"),
    "name that is no text": (
        torch_saved({"w": torch.ones(2)}).replace(b"archive/version", b"archive/vers\xffon"),
        "zip container",
    ),
    "empty pickle": (with_pickle(b""), "cannot be read"),
    "pickle of nothing": (with_pickle(b"\x80\x02."), "cannot be read"),
    "pickle breaks off": (with_pickle(b"\x80\x02}q\x00X\xff\xff\xff\x7f"), "cannot be read"),
    "gigabytes of zeros": (
        with_pickle(b"\x80\x02c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R."),
        "bytearray",
    ),
    "stack global": (with_pickle(b"\x80\x04\x8c\x02os\x8c\x06system\x93."), "objects"),
    "hash of two to the sixty": (with_pickle(nested_twice(60)), "nests"),
    "nested a million deep": (with_pickle(nested_deep(10**6)), "nests"),
}
