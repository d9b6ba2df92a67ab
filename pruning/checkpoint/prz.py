"""Checkpoints as .prz: the same network and the same metadata as in a .safetensors, in far fewer bytes.

The tensors are the pruned network's state dict under its own names, coded as `pruning.coding.reader`
describes. The metadata are those of `pruning.checkpoint.layout` but for three: `pruning.form` is "prz",
`pruning.masked` is a JSON list of the parameters whose single weights were pruned, and there is no digest,
since the file has checksums of its own. `pruning.bfloat16` lists tensors whose uint16 are really bfloat16.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from pruning.checkpoint.container import CODES
from pruning.checkpoint.read import check_finite
from pruning.checkpoint.stored import FREE_BYTES, FREE_FACTOR, Stored, is_ours, taken_apart
from pruning.checkpoint.text import quoted
from pruning.checkpoint.write import describe, weight_masks, write_atomically
from pruning.coding import MAGIC, MAX_BYTES, Coding, decode, encode
from pruning.coding.container import BEST
from pruning.coding.reader import Entry, read_header
from pruning.recipe import Recipe

if TYPE_CHECKING:
    from pruning.plan import Plan

BFLOAT16 = "pruning.bfloat16"  # numpy has no such dtype


def save_prz(
    path: Path | str,
    module: nn.Module,
    plan: Plan,
    recipe: Recipe,
    *,
    coding: Coding = BEST,
    extra: Mapping[str, str] | None = None,
) -> Path:
    """Write a pruned network as one .prz file, whole or not at all; arguments as of `save_checkpoint`.

    Args:
        coding: how tensors are coded; always exact.
    Raises:
        ValueError: as `save_checkpoint`.
    """
    return write_atomically(Path(path), prz_bytes(module, plan, recipe, coding=coding, extra=extra))


def prz_bytes(
    module: nn.Module,
    plan: Plan,
    recipe: Recipe,
    *,
    coding: Coding = BEST,
    extra: Mapping[str, str] | None = None,
) -> bytes:
    """The file that `save_prz` writes, in memory.

    Raises:
        ValueError: as `save_prz`.
    """
    state = {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}
    check_finite(state)
    masks = weight_masks(state, plan)
    contents = describe(module, plan, recipe, masks=masks, form="prz", extra=extra)
    metadata = {**contents.metadata, "pruning.masked": json.dumps([*masks]), **contents.extra}
    brain = [name for name, tensor in state.items() if tensor.dtype is torch.bfloat16]
    if brain:
        metadata[BFLOAT16] = json.dumps(brain)
    return encode({name: _array(name, tensor) for name, tensor in state.items()}, metadata, coding)


def is_prz(data: bytes | bytearray) -> bool:
    """Whether a file is a .prz, by its first bytes."""
    return data[: len(MAGIC)] == MAGIC


def read_prz(data: bytes | bytearray) -> Stored:
    """Verify a checkpoint and take it apart; its tensors are decoded only when `Stored.tensors` asks.

    Raises:
        ValueError: one sentence: damaged, not written by `save_prz`, inconsistent, or larger than is read.
    """
    entries, metadata = read_header(data)
    if not is_ours(metadata):
        raise ValueError("The file is a plain .prz, not a checkpoint that save_prz wrote.")
    brain = _names(metadata, BFLOAT16) if BFLOAT16 in metadata else []
    raw = {entry.name: _announced(entry, brain) for entry in entries}
    masked = {
        name: {"encoding": "plain", "shape": [*raw[name].shape]} if name in raw else {}
        for name in _names(metadata, "pruning.masked")
    }
    told = {key: text for key, text in metadata.items() if key != BFLOAT16}
    told["pruning.masked"] = json.dumps(masked)
    return taken_apart(told, raw, forms=("prz",), file_bytes=len(data), decode=partial(_decoded, data, brain))


def prz_tensors(data: bytes | bytearray, max_bytes: int) -> dict[str, Tensor]:
    """The tensors of any .prz, one that no checkpoint of ours is included.

    Args:
        data: the whole file.
        max_bytes: that the tensors may take; nor may they be very much larger than the file.
    Raises:
        ValueError: one sentence, if the file is damaged or its tensors are too large.
    """
    most = min(max_bytes, FREE_BYTES + FREE_FACTOR * len(data))
    entries, metadata = read_header(data, most)
    brain = _names(metadata, BFLOAT16) if BFLOAT16 in metadata else []
    for entry in entries:
        _announced(entry, brain)
    return _decoded(data, brain)


def _array(name: str, tensor: Tensor) -> np.ndarray:
    if tensor.dtype not in CODES:
        raise ValueError(f"The tensor {quoted(name)} is {tensor.dtype}, which a .prz cannot hold.")
    if tensor.dtype is torch.bfloat16:
        return tensor.contiguous().view(torch.int16).numpy().view(np.uint16)
    return tensor.numpy()


def _announced(entry: Entry, brain: list[str]) -> Tensor:
    """A tensor that has only a shape and a dtype."""
    dtype = torch.bfloat16 if entry.name in brain else getattr(torch, entry.dtype)
    if dtype not in CODES or (dtype is torch.bfloat16 and entry.dtype != "uint16"):
        raise ValueError(f"The tensor {quoted(entry.name)} is {entry.dtype}, which no network here has.")
    return torch.empty(entry.shape, dtype=dtype, device="meta")


def _decoded(data: bytes | bytearray, brain: list[str]) -> dict[str, Tensor]:
    arrays = decode(data, MAX_BYTES)[0]
    return {
        name: torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
        if name in brain
        else torch.from_numpy(array)
        for name, array in arrays.items()
    }


def _names(metadata: Mapping[str, str], field: str) -> list[str]:
    try:
        names = json.loads(metadata.get(field, ""))
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"The file's list of tensors {quoted(field)} is not readable.")
    return names
