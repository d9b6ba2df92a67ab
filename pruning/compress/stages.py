"""What a compression has come to after each of its stages: accuracy, and the bytes of a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from pruning.checkpoint import dense_size
from pruning.checkpoint.prz import prz_bytes
from pruning.coding import Breakdown, Coding, breakdown
from pruning.evaluate import Report
from pruning.plan import Plan
from pruning.recipe import Recipe

STAGES = {
    "dense": "Dense",
    "low-rank": "Low rank",
    "pruned": "Pruned and recovered",
    "shared": "Weights shared",
    "tuned": "Shared values trained",
    "coded": "Huffman coded",
}
PLAIN = Coding(share=False, huffman=False, contexts=False)  # kept weights as they are, gaps in fixed bits
INDEXED = Coding(huffman=False, contexts=False)  # codebooks, and fixed bits for what stands in them


@dataclass(frozen=True)
class Bytes:
    """Where the bytes of a file are.

    Args:
        weights: values, or indices into codebooks.
        indices: where weights that are not zero stand.
        codebooks: shared values.
        overhead: header, metadata, tables of codes, checksums.
    """

    weights: int
    indices: int
    codebooks: int
    overhead: int

    @property
    def total(self) -> int:
        """Size of the file."""
        return self.weights + self.indices + self.codebooks + self.overhead

    @classmethod
    def of(cls, found: Breakdown) -> Bytes:
        """Of a whole .prz file."""
        parts = found.parts
        return cls(
            weights=sum(part.weights for part in parts),
            indices=sum(part.indices for part in parts),
            codebooks=sum(part.codebook for part in parts),
            overhead=found.overhead + sum(part.overhead for part in parts),
        )


@dataclass(frozen=True)
class Stage:
    """A stage that is done.

    Args:
        name: the key in `STAGES`.
        report: on validation images.
        size: of the file that the network would be now: .safetensors while dense, else .prz.
        file: that file; empty while dense.
    """

    name: str
    report: Report
    size: Bytes
    file: bytes = b""

    @property
    def label(self) -> str:
        """For a screen."""
        return STAGES[self.name]

    @property
    def breakdown(self) -> Breakdown | None:
        """Tensor by tensor; None while dense."""
        return breakdown(self.file) if self.file else None


def dense_stage(module: nn.Module, measure: Callable[[nn.Module], Report]) -> Stage:
    """The network as it came."""
    weights = sum(tensor.nbytes for tensor in module.state_dict().values())
    size = Bytes(weights=weights, indices=0, codebooks=0, overhead=dense_size(module) - weights)
    return Stage("dense", measure(module), size)


def stage_of(
    name: str, module: nn.Module, plan: Plan, recipe: Recipe, coding: Coding, report: Report
) -> Stage:
    """A later stage: its file is encoded, and looked into."""
    file = prz_bytes(module, plan, recipe, coding=coding)
    return Stage(name, report, Bytes.of(breakdown(file)), file)
