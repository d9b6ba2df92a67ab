"""The network with shared weights: one layer is shared anew where one changes; its accuracy and its files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning import Report, Task, store
from pruning.checkpoint import dense_size
from pruning.checkpoint.prz import prz_bytes
from pruning.coding import Breakdown, Coding, breakdown
from pruning.compress import SharingEvaluator
from pruning.compress.settings import Packing, Sharing
from pruning.compress.stages import INDEXED, PLAIN, Bytes
from pruning.compress.weights import shared_weight as one_shared
from pruning.layers import duplicate
from pruning.lowrank import record_of
from pruning.replay import BUDGET
from ui import cache
from ui.bounded import remember
from ui.compress.base import Base

_MOST = 256
_reports: dict[tuple[str, str], Report] = {}


@dataclass(frozen=True)
class File:
    """A file as it is really encoded, in memory.

    Args:
        label: of the stage.
        size: where its bytes are.
        found: tensor by tensor; None of the dense .safetensors.
    """

    label: str
    size: Bytes
    found: Breakdown | None = None


def how(sharing: Sharing) -> str:
    """Names a way to share values, whatever the bits."""
    return sharing.model_copy(update={"bits": {}}).model_dump_json()


def name_of(sharing: Sharing) -> str:
    """Names it with the bits of all layers."""
    return sharing.model_dump_json()


def weight_of(base: Base, layer: str) -> Tensor:
    """A layer's weight before it shares values."""
    found: Tensor = base.module.get_submodule(layer).get_parameter("weight").detach()
    return found


def shared_weight(base: Base, layer: str, bits: int, sharing: Sharing) -> Tensor:
    """A layer's weight with few values; made once for each network, layer, number of bits and way."""
    return _shared_weight(base.key, layer, bits, how(sharing), base, sharing)


@cache.kept(_MOST)
def _shared_weight(key: str, layer: str, bits: int, way: str, _base: Base, _sharing: Sharing) -> Tensor:
    return one_shared(_base.module, layer, _sharing.model_copy(update={"bits": {layer: bits}}))


@torch.no_grad()
def network(base: Base, sharing: Sharing) -> nn.Module:
    """A copy with shared weights."""
    module = duplicate(base.module)
    for layer, bits in sharing.bits.items():
        weight = module.get_submodule(layer).get_parameter("weight")
        weight.copy_(shared_weight(base, layer, bits, sharing))
    return module


def known(base: Base, sharing: Sharing) -> Report | None:
    """The report on all validation images, if it was measured."""
    return _reports.get((base.key, name_of(sharing)))


def reports(base: Base, sharing: Sharing, task: Task) -> Iterator[Report]:
    """Measure batch by batch; the last report is remembered."""
    found = known(base, sharing)
    if found is not None:
        yield found
        return
    weights = {layer: shared_weight(base, layer, bits, sharing) for layer, bits in sharing.bits.items()}
    for report in _evaluator(base.key, base, task).reports(weights):
        if report.complete:
            remember(_reports, (base.key, name_of(sharing)), report, _MOST)
        yield report


@cache.kept(1)
def _evaluator(key: str, _base: Base, _task: Task) -> SharingEvaluator:
    budget = store.megabytes("PRUNING_ACTIVATIONS_MB", BUDGET)
    return SharingEvaluator(_base.module, _task, budget=budget)


def file(base: Base, sharing: Sharing, packing: Packing) -> File:
    """The file as `packing` codes it."""
    coding = packing.coding
    label = "Huffman coded" if packing.huffman else "Coded in fixed bits"
    return _file(base.key, name_of(sharing), repr(coding), label, base, sharing, coding)


def files(base: Base, sharing: Sharing, packing: Packing, dense: nn.Module) -> list[File]:
    """Dense, pruned, shared, coded: each file encoded and looked into."""
    weights = sum(tensor.nbytes for tensor in dense.state_dict().values())
    whole = Bytes(weights=weights, indices=0, codebooks=0, overhead=dense_size(dense) - weights)
    none = sharing.model_copy(update={"bits": {}})
    found = [File("Dense", whole)]
    done = ["factorised"] * (record_of(base.module) is not None) + ["pruned"] * bool(base.plan.entries)
    if done:
        before = " and ".join(done).capitalize()
        found.append(_file(base.key, name_of(none), repr(PLAIN), before, base, none, PLAIN))
    if sharing.bits:
        word = {"cluster": "Clustered", "uniform": "Quantised", "clip-q": "Clipped and partitioned"}
        label = word[sharing.method]
        found.append(_file(base.key, name_of(sharing), repr(INDEXED), label, base, sharing, INDEXED))
    return [*found, file(base, sharing, packing)]


@cache.kept(64)
def _file(
    key: str, shared: str, coded: str, label: str, _base: Base, _sharing: Sharing, _coding: Coding
) -> File:
    data = prz_bytes(network(_base, _sharing), _base.plan, _base.recipe, coding=_coding)
    found = breakdown(data)
    return File(label, Bytes.of(found), found)
