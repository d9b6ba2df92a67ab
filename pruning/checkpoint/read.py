"""Read a state dict that somebody uploads: `.safetensors`, `.prz` or `.pt`, whatever is in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor, nn

from pruning.checkpoint.container import read_container
from pruning.checkpoint.pickled import ZIP_MAGIC, read_pickled
from pruning.checkpoint.stored import is_ours, read_stored
from pruning.checkpoint.text import and_more, quoted, shape_text, size_text
from pruning.coding import MAGIC

MAX_BYTES = 2**30
MAX_SHARING = 4  # tied weights are saved once and listed several times
WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights", "params")
PREFIXES = ("module.", "_orig_mod.")  # DataParallel and torch.compile put these before every name

Source = Path | str | bytes | bytearray | BinaryIO


def read_state_dict(source: Source, max_bytes: int = MAX_BYTES) -> dict[str, Tensor]:
    """The tensors of an uploaded file, on the CPU, in the dtypes they were saved in.

    The content decides how it is read, not the name. A checkpoint that wraps its tensors ({"state_dict":
    ...}, {"model": ...}) is unwrapped, and a "module." before every name is taken off. Files of
    `save_checkpoint` are verified by their digest and come back with their zeros filled in.

    Args:
        source: a path, the file's bytes, or an open binary file.
        max_bytes: larger files are refused by their size alone, unread.
    Returns:
        name -> tensor, all finite, none empty of meaning (at least one tensor).
    Raises:
        ValueError: one sentence naming what is wrong with the file.
    """
    data = read_bytes(source, max_bytes)
    state = without_prefix(_tensors(data, max_bytes))
    check_finite(state)
    return state


def check_state_dict(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Make sure that `module.load_state_dict(state)` will succeed; a "module." before every name is no fault.

    Raises:
        ValueError: one sentence with the first missing, unexpected or ill-shaped tensor and how many there
        are.
    """
    expected = module.state_dict()
    found = without_prefix(state)
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    if missing and len(missing) == len(expected):
        instead = f"{quoted(extra[0])}{and_more(len(extra))}" if extra else "nothing"
        raise ValueError(
            f"The file is of another architecture: it has none of the {len(expected)} tensors expected "
            f"(such as {quoted(missing[0])}), but {instead}."
        )
    if missing:
        raise ValueError(f"The file lacks the tensor {quoted(missing[0])}{and_more(len(missing))}.")
    if extra:
        raise ValueError(
            f"The file has a tensor that this architecture has not: {quoted(extra[0])}{and_more(len(extra))}."
        )
    wrong = [name for name in expected if found[name].shape != expected[name].shape]
    if wrong:
        name = wrong[0]
        raise ValueError(
            f"The tensor {quoted(name)} has shape {shape_text(found[name].shape)}, expected is "
            f"{shape_text(expected[name].shape)}{and_more(len(wrong))}."
        )
    for name, tensor in expected.items():
        here = found[name]
        if here.is_floating_point() != tensor.is_floating_point():
            raise ValueError(f"The tensor {quoted(name)} is {_dtype(here)}, expected is {_dtype(tensor)}.")
        if here.dtype != tensor.dtype and not torch.isfinite(here.to(tensor.dtype)).all():
            raise ValueError(f"The tensor {quoted(name)} has values too large for {_dtype(tensor)}.")


def read_bytes(source: Source, max_bytes: int = MAX_BYTES) -> bytes | bytearray:
    """The whole file, refused by its size before it is read.

    Raises:
        ValueError: if it is empty, too large, not a file, or cannot be read.
    """
    if isinstance(source, bytes | bytearray):
        data = source
    elif isinstance(source, Path | str):
        data = _read_path(Path(source), max_bytes)
    else:
        data = _read_stream(source, max_bytes)
    _check_size(len(data), max_bytes)
    return data


def without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors without a wrapper's prefix, if every name carries it."""
    for prefix in PREFIXES:
        if state and all(name.startswith(prefix) for name in state):
            return without_prefix({name.removeprefix(prefix): tensor for name, tensor in state.items()})
    return dict(state)


def check_finite(state: Mapping[str, Tensor]) -> None:
    """Refuse NaN and infinity.

    Raises:
        ValueError: naming the first tensor that holds one and how many tensors do.
    """
    bad = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if bad:
        what = "NaN" if torch.isnan(state[bad[0]]).any() else "an infinite value"
        raise ValueError(f"The tensor {quoted(bad[0])} holds {what}{and_more(len(bad))}.")


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise ValueError(f"The file has {size_text(size)}; at most {size_text(max_bytes)} are read.")
    if size == 0:
        raise ValueError("The file is empty (zero bytes).")


def _read_path(path: Path, max_bytes: int) -> bytes:
    try:
        size = path.stat().st_size if path.is_file() else None
    except (OSError, ValueError):  # a name with a zero byte is a ValueError
        size = None
    if size is None:
        raise ValueError(f"There is no file {quoted(path)}.")
    _check_size(size, max_bytes)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"The file {quoted(path)} cannot be read: {error.strerror}.") from None


def _read_stream(stream: BinaryIO, max_bytes: int) -> bytes:
    """An open file from its beginning; one that cannot tell its size is read no further than the limit."""
    try:
        if stream.seekable():
            _check_size(stream.seek(0, os.SEEK_END), max_bytes)
            stream.seek(0)
        data = stream.read(max_bytes + 1)
    except (OSError, AttributeError):
        raise ValueError("The file cannot be read.") from None
    if not isinstance(data, bytes | bytearray):
        raise ValueError("The file was opened as text; open it as binary.")
    return bytes(data)


def _tensors(data: bytes | bytearray, max_bytes: int) -> dict[str, Tensor]:
    """The file's tensors by what its first bytes say it is."""
    if data[:4] == ZIP_MAGIC:
        return _plain_tensors(_unwrapped(read_pickled(data)), len(data))
    if data[: len(MAGIC)] == MAGIC:
        from pruning.checkpoint.prz import prz_tensors

        return _some(prz_tensors(data, max_bytes))
    if data[8:9] == b"{":
        return _saved_tensors(data, max_bytes)
    if data[:1] == b"\x80":
        raise ValueError(
            "The file is a bare pickle, as torch before 1.6 or pickle.dump writes it; save the state dict "
            "again with a current torch.save or with safetensors."
        )
    if len(data) < 10:
        raise ValueError(f"The file is cut off: {len(data)} bytes are too few for any tensor.")
    raise ValueError("The file is neither a .safetensors nor a .prz nor a .pt file, by its first bytes.")


def _saved_tensors(data: bytes | bytearray, max_bytes: int) -> dict[str, Tensor]:
    tensors, metadata = read_container(data)
    if is_ours(metadata):
        stored = read_stored(data, tensors, metadata)
        stored.check_claims(max_bytes)
        tensors = stored.tensors()[0]
    return _some(tensors)


def _some(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    if not tensors:
        raise ValueError("The file holds no tensors.")
    return tensors


def _unwrapped(content: object) -> Mapping[object, object]:
    """The dict of tensors in whatever a training script saved around it."""
    for _ in range(3):
        if not isinstance(content, Mapping):
            raise ValueError(f"The file holds a {type(content).__name__}, not a dict of tensors by name.")
        if any(isinstance(value, Tensor) for value in content.values()):
            return content
        inner = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    names = ", ".join(quoted(key) for key in list(content)[:3]) if isinstance(content, Mapping) else ""
    raise ValueError(f"The file holds no tensors{f', only {names}' if names else ''}.")


def _plain_tensors(content: Mapping[object, object], file_bytes: int) -> dict[str, Tensor]:
    """Every entry as an ordinary dense tensor of its own; anything else is refused by name."""
    tensors: dict[str, Tensor] = {}
    total = 0
    for name, value in content.items():
        if not isinstance(name, str):
            raise ValueError(f"The file has a tensor under {quoted(name)}, which is no text.")
        if not isinstance(value, Tensor):
            raise ValueError(f"The entry {quoted(name)} is a {type(value).__name__}, not a tensor.")
        if value.layout != torch.strided or value.is_complex() or value.device.type != "cpu":
            raise ValueError(f"The tensor {quoted(name)} is not an ordinary dense tensor of real numbers.")
        # strides of 0, or many views of one storage, let a few bytes claim to be a terabyte
        total += value.numel() * value.itemsize
        if total > MAX_SHARING * file_bytes:
            raise ValueError(f"The tensors up to {quoted(name)} claim more elements than the file holds.")
        tensors[name] = value.detach().contiguous().clone()
    return tensors


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
