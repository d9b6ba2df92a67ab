"""Take apart a file that `save_checkpoint` wrote: digest first, then every field of its metadata."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from pruning.checkpoint.layout import (
    OURS,
    POSITIONS,
    VALUES,
    VERSION,
    Form,
    digest,
    digest_place,
    digits_of,
    switches,
)
from pruning.checkpoint.sparse import ENCODINGS, Encoding, decode_positions, scatter
from pruning.checkpoint.text import quoted, shape_text
from pruning.lowrank.record import Record
from pruning.recipe import Recipe

# A mask of a huge tensor can be tiny in the file. Where no architecture says how large the tensor may be,
# this much is believed: any network of a few million weights, or 256 times the file.
FREE_BYTES, FREE_FACTOR = 64 * 2**20, 256


@dataclass(frozen=True)
class Masked:
    """How one tensor with pruned single weights is stored."""

    encoding: Encoding
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Stored:
    """A checkpoint taken apart; the masked tensors are not decoded yet.

    Args:
        raw: the tensors as they lie in the file; of a coded file only their shapes and dtypes.
        keep: group id -> (size,) bool, block id -> (1,) bool.
        masked: parameter -> how it is stored.
        recipe, architecture, form, extra: as they were saved.
        file_bytes: size of the file.
        low_rank: which layers were factorised, if any.
        decode: gives the tensors of a coded file.
    """

    raw: Mapping[str, Tensor]
    keep: Mapping[str, Tensor]
    masked: Mapping[str, Masked]
    recipe: Recipe
    architecture: str
    form: Form
    extra: Mapping[str, str]
    file_bytes: int
    low_rank: Record | None = None
    decode: Callable[[], dict[str, Tensor]] | None = None

    @property
    def factorised_last(self) -> Record | None:
        """Which layers were factorised when the network had been pruned."""
        return self.low_rank if self.low_rank and self.low_rank.after_pruning else None

    @property
    def dropped(self) -> list[str]:
        """Ids of the blocks that were dropped."""
        return [key for key, rule in self.recipe.rules.items() if rule.granularity == "layer" and rule.ratio]

    @property
    def channels(self) -> dict[str, Tensor]:
        """Group id -> (size,) bool."""
        rules = self.recipe.rules
        blocks = {key for key, rule in rules.items() if rule.granularity == "layer"}
        return {key: keep for key, keep in self.keep.items() if key not in blocks}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the network's tensors, decoded or not."""
        hidden = {name + end for name in self._packed() for end in (VALUES, POSITIONS)}
        plain = {name: tuple(tensor.shape) for name, tensor in self.raw.items() if name not in hidden}
        return plain | {name: self.masked[name].shape for name in self._packed()}

    def tensors(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The network's state dict, zeros filled in, and the masks of single weights by parameter.

        Raises:
            ValueError: if a packed tensor cannot be unpacked.
        """
        hidden = {name + end for name in self._packed() for end in (VALUES, POSITIONS)}
        raw = self.decode() if self.decode else self.raw
        state = {name: tensor for name, tensor in raw.items() if name not in hidden}
        masks: dict[str, Tensor] = {}
        for name, how in self.masked.items():
            if how.encoding == "plain":
                masks[name] = state[name] != 0
            else:
                state[name], masks[name] = self._unpacked(name, how)
        return state, masks

    def check_claims(self, max_bytes: int) -> None:
        """Refuse packed tensors that would unpack to far more than the file holds.

        Raises:
            ValueError: if they would.
        """
        claimed = sum(
            prod(self.masked[name].shape) * self.raw[name + VALUES].element_size() for name in self._packed()
        )
        if claimed > min(max_bytes, FREE_BYTES + FREE_FACTOR * self.file_bytes):
            raise ValueError(f"The file's packed tensors claim {claimed:,} bytes, far more than it holds.")

    def _packed(self) -> list[str]:
        return [name for name, how in self.masked.items() if how.encoding != "plain"]

    def _unpacked(self, name: str, how: Masked) -> tuple[Tensor, Tensor]:
        values, positions = self.raw[name + VALUES], self.raw[name + POSITIONS]
        try:
            found = decode_positions(how.encoding, positions.numpy().tobytes(), prod(how.shape), len(values))
        except ValueError as error:
            raise ValueError(f"The packed tensor {quoted(name)} is damaged: {error}.") from None
        return scatter(values, found, how.shape), scatter(
            torch.ones(len(values), dtype=torch.bool), found, how.shape
        )


def is_ours(metadata: Mapping[str, str]) -> bool:
    """Whether a .safetensors file says that it is a checkpoint of a pruned network."""
    return any(key.startswith(OURS) for key in metadata)


def read_stored(data: bytes | bytearray, raw: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Stored:
    """Verify and take apart a checkpoint whose container has been read.

    Args:
        data: the whole file.
        raw, metadata: of `read_container`.
    Raises:
        ValueError: one sentence: not such a file, changed after it was written, of another version,
        inconsistent.
    """
    if not is_ours(metadata):
        raise ValueError("The file is a plain .safetensors, not a checkpoint that save_checkpoint wrote.")
    place = digest_place(data)
    if place is None or bytes(data[place : place + 64]) != digest(data, place).encode():
        raise ValueError("The file's digest does not match: it is damaged or was changed after it was saved.")
    return taken_apart(metadata, raw, forms=("dense", "sparse"), file_bytes=len(data))


def taken_apart(
    metadata: Mapping[str, str],
    raw: Mapping[str, Tensor],
    *,
    forms: Sequence[Form],
    file_bytes: int,
    decode: Callable[[], dict[str, Tensor]] | None = None,
) -> Stored:
    """Every field of the metadata, checked.

    Args:
        metadata: of the file.
        raw, file_bytes, decode: as in `Stored`.
        forms: that the file may have.
    Raises:
        ValueError: one sentence: of another version, inconsistent.
    """
    version = metadata.get("pruning.version", "")
    if version != VERSION:
        raise ValueError(f"The file is of version {quoted(version)}; this program reads version {VERSION}.")
    form = metadata.get("pruning.form", "")
    if form not in forms:
        raise ValueError(f"The file is of the unknown form {quoted(form)}.")
    recipe = Recipe.from_json(metadata.get("pruning.recipe", ""))
    keep = {key: _keep(key, record) for key, record in _table(metadata, "keep").items()}
    _check_decided(keep, recipe)
    return Stored(
        raw=raw,
        keep=keep,
        masked={name: _masked(name, record, raw) for name, record in _table(metadata, "masked").items()},
        recipe=recipe,
        architecture=metadata.get("pruning.architecture", ""),
        form=cast(Form, form),
        extra={key: text for key, text in metadata.items() if not key.startswith(OURS) and key != "format"},
        file_bytes=file_bytes,
        low_rank=Record.from_json(metadata["pruning.low_rank"]) if "pruning.low_rank" in metadata else None,
        decode=decode,
    )


def _table(metadata: Mapping[str, str], field: str) -> dict[str, Any]:
    try:
        table = json.loads(metadata.get(f"pruning.{field}", ""))
    except (ValueError, RecursionError):
        table = None
    if not isinstance(table, dict) or not all(isinstance(record, dict) for record in table.values()):
        raise ValueError(f"The file's record of what was pruned ({field}) is not readable.")
    return table


def _keep(key: str, record: dict[str, Any]) -> Tensor:
    """One group's units from their hexadecimal digits."""
    size, digits = record.get("size"), record.get("kept")
    if type(size) is not int or size < 1 or not isinstance(digits, str):
        raise ValueError(f"The file's record of the group {quoted(key)} is not readable.")
    if len(digits) != digits_of(size) or not re.fullmatch("[0-9a-f]*", digits):
        raise ValueError(f"The file's record of the group {quoted(key)} does not fit its {size:,} units.")
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(digits), dtype=np.uint8))
    if bits[size:].any():
        raise ValueError(f"The file's record of the group {quoted(key)} does not fit its {size:,} units.")
    return torch.from_numpy(bits[:size].astype(bool))


def _check_decided(keep: Mapping[str, Tensor], recipe: Recipe) -> None:
    """What a recipe itself decides, whole layers and units by hand, must be what the record says."""
    for key, rule in recipe.rules.items():
        gone = torch.nonzero(~keep[key]).flatten().tolist() if rule.removed and key in keep else None
        if gone is not None and gone != list(rule.removed):
            raise ValueError(f"The file's record of the group {quoted(key)} does not fit its recipe.")
    for key, wanted in switches(recipe).items():
        if key not in keep or not torch.equal(keep[key], wanted):
            raise ValueError(f"The file's record of the layer {quoted(key)} does not fit its recipe.")


def _masked(name: str, record: dict[str, Any], raw: Mapping[str, Tensor]) -> Masked:
    """How one masked tensor is stored, checked against the tensors that are there."""
    encoding, shape = record.get("encoding"), record.get("shape")
    fault = ValueError(f"The file's record of the masked tensor {quoted(name)} is not readable.")
    if encoding not in ENCODINGS or not isinstance(shape, list) or len(shape) > 64:
        raise fault
    if not all(type(size) is int and 0 <= size < 2**63 for size in shape):
        raise fault
    how = Masked(encoding, tuple(shape))
    if encoding == "plain":
        if name not in raw or tuple(raw[name].shape) != how.shape:
            raise ValueError(
                f"The masked tensor {quoted(name)} of shape {shape_text(shape)} is not in the file."
            )
        return how
    values, positions = raw.get(name + VALUES), raw.get(name + POSITIONS)
    if values is None or positions is None or name in raw:
        raise ValueError(f"The packed tensor {quoted(name)} is not in the file as values and positions.")
    if (
        values.dim() != 1
        or positions.dim() != 1
        or positions.dtype != torch.uint8
        or len(values) > prod(shape)
    ):
        raise ValueError(f"The packed tensor {quoted(name)} has values and positions of impossible shapes.")
    return how
