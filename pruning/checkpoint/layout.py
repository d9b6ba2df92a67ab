"""What stands in a checkpoint of a pruned network, and exactly how many bytes that takes.

A checkpoint is a .safetensors file. Its tensors are the pruned network's state dict under its own names, so
that any program that has the (smaller) architecture can load them. In the sparse form a masked tensor
`x.weight` is instead two tensors, `x.weight.values` (k,) and `x.weight.positions` (bytes), see
`pruning.checkpoint.sparse`. The metadata:

- `format`: "pt", as other tools of the ecosystem expect;
- `pruning.version`: of this layout, "1";
- `pruning.architecture`: `module.architecture`, a name in `pruning.MODELS` or "";
- `pruning.form`: "dense" or "sparse" (or "prz", which is another container: `pruning.checkpoint.prz`);
- `pruning.recipe`: the recipe's JSON;
- `pruning.keep`: JSON, group id -> {"size": n, "kept": hexadecimal digits, first unit in the highest bit},
  and block id -> the same with size 1 for each rule of granularity "layer"; padded with zero bits to whole
  bytes, so that the length does not depend on what is kept;
- `pruning.masked`: JSON, parameter -> {"encoding": "plain" | "bitmap" | "elias-fano", "shape": [...]} for
  every tensor whose single weights were pruned;
- `pruning.low_rank`: only of a network with factorised layers: JSON, a `pruning.lowrank.record.Record`;
- `pruning.digest`: SHA-256 of the whole file with these 64 digits replaced by zeros: no byte can change
  unnoticed;
- whatever else the caller adds under keys of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Literal, get_args

import torch

from pruning.checkpoint.container import Entry, header_bytes, ordered
from pruning.checkpoint.sparse import Encoding, best_encoding, positions_bytes
from pruning.recipe import Recipe

Form = Literal["dense", "sparse", "prz"]
FORMS: tuple[Form, ...] = get_args(Form)

VERSION = "1"
OURS = "pruning."
NO_DIGEST = "0" * 64
DIGEST_FIELD = b'"pruning.digest":"'
VALUES, POSITIONS = ".values", ".positions"


@dataclass(frozen=True)
class Contents:
    """All that decides a checkpoint's header and size; no tensor among it.

    Args:
        tensors: the pruned network's state dict, as names, dtypes and shapes.
        masked: parameter -> number of weights kept, of those whose single weights were pruned.
        groups: group id or block id -> (size, hexadecimal digits of the units kept).
        architecture: name of the dense network's architecture.
        recipe: what was decided.
        form: of the masked tensors.
        extra: more metadata; keys of its own.
        low_rank: JSON of what was factorised, "" if nothing was.
    """

    tensors: tuple[Entry, ...]
    masked: Mapping[str, int]
    groups: Mapping[str, tuple[int, str]]
    architecture: str
    recipe: Recipe
    form: Form = "dense"
    extra: Mapping[str, str] = field(default_factory=dict)
    low_rank: str = ""

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ValueError(
                f"There is no form {self.form!r} of a checkpoint; choose one of {', '.join(FORMS)}."
            )
        taken = [key for key in self.extra if key.startswith(OURS) or key == "format"]
        if taken:
            raise ValueError(
                f"The extra metadata key {taken[0]!r} is one of the checkpoint's own; rename it."
            )

    @cached_property
    def encodings(self) -> dict[str, Encoding]:
        """Parameter -> how its kept weights are stored, for every masked one."""
        if self.form != "sparse":
            return dict.fromkeys(self.masked, "plain")
        return {
            entry.name: best_encoding(prod(entry.shape), self.masked[entry.name], entry.dtype.itemsize)
            for entry in self.tensors
            if entry.name in self.masked
        }

    @cached_property
    def entries(self) -> list[Entry]:
        """The tensors that the file holds, in its order."""
        stored: list[Entry] = []
        for entry in self.tensors:
            encoding = self.encodings.get(entry.name, "plain")
            if encoding == "plain":
                stored.append(entry)
                continue
            kept = self.masked[entry.name]
            position_bytes = positions_bytes(encoding, prod(entry.shape), kept)
            stored.append(Entry(entry.name + VALUES, entry.dtype, (kept,)))
            stored.append(Entry(entry.name + POSITIONS, torch.uint8, (position_bytes,)))
        return ordered(stored)

    @property
    def metadata(self) -> dict[str, str]:
        """All that the file says of itself, but for the digest and what the caller adds."""
        shapes = {entry.name: list(entry.shape) for entry in self.tensors if entry.name in self.masked}
        masked = {name: {"encoding": self.encodings[name], "shape": shape} for name, shape in shapes.items()}
        keep = {key: {"size": size, "kept": digits} for key, (size, digits) in self.groups.items()}
        return {
            "pruning.version": VERSION,
            "pruning.architecture": self.architecture,
            "pruning.form": self.form,
            "pruning.recipe": self.recipe.model_dump_json(),
            "pruning.keep": json.dumps(keep, separators=(",", ":")),
            "pruning.masked": json.dumps(masked, separators=(",", ":")),
            **({"pruning.low_rank": self.low_rank} if self.low_rank else {}),
        }

    def header(self) -> bytes:
        """The file up to its first tensor, the digest still blank."""
        metadata = {"format": "pt", **self.metadata, "pruning.digest": NO_DIGEST, **self.extra}
        return header_bytes(self.entries, metadata)

    @property
    def size(self) -> int:
        """The file's size in bytes, exact.

        Raises:
            ValueError: for a .prz, whose size depends on the weights themselves.
        """
        if self.form == "prz":
            raise ValueError("The size of a .prz is known once it is written; write it with prz_bytes.")
        return len(self.header()) + sum(entry.nbytes for entry in self.entries)


def ending_of(form: Form) -> str:
    """How the name of a file of this form ends."""
    return ".prz" if form == "prz" else ".safetensors"


def digits_of(size: int) -> int:
    """How many hexadecimal digits the units of a group take, whatever is kept."""
    return 2 * ((size + 7) // 8)


def switches(recipe: Recipe) -> dict[str, torch.Tensor]:
    """Block id -> (1,) bool, True = kept, for every rule of a whole layer."""
    rules = recipe.rules.items()
    return {key: torch.tensor([rule.ratio == 0]) for key, rule in rules if rule.granularity == "layer"}


def digest_place(data: bytes | bytearray) -> int | None:
    """Where the 64 digits of the digest stand in a file, None if there is not exactly one such place."""
    end = 8 + int.from_bytes(data[:8], "little")
    begin = data.find(DIGEST_FIELD, 8, end)
    if begin < 0 or data.find(DIGEST_FIELD, begin + 1, end) >= 0:
        return None
    begin += len(DIGEST_FIELD)
    after = begin + len(NO_DIGEST)
    return begin if after < end and data[after : after + 1] == b'"' else None


def digest(data: bytes | bytearray, place: int) -> str:
    """SHA-256 of a file with the digits at `place` taken as zeros, as 64 lower-case digits."""
    view = memoryview(data)
    sha = hashlib.sha256(view[:place])
    sha.update(NO_DIGEST.encode())
    sha.update(view[place + len(NO_DIGEST) :])
    return sha.hexdigest()
