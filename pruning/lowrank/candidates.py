"""Which layers of a network can be factorised, why not the others, and what any ranks would cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pruning.layers import CONVOLUTIONS, TRANSPOSED, Layer, find_layers, first_tensor, private_copy
from pruning.lowrank.geometry import Call, Ranks, Shape, macs, parameters
from pruning.lowrank.methods import METHODS, method_for
from pruning.lowrank.refuse import refusal

OWN_CODE = "The network's code reads its attributes, which smaller layers in its place do not have."


@dataclass(frozen=True)
class Candidate:
    """A linear layer or convolution that could be replaced by smaller ones.

    Args:
        name: module path.
        kind: in words, as `find_layers` has it.
        method: name of an entry of `METHODS`: the one asked for, or for a matrix that one's own; "" if none.
        reason: why it cannot be factorised, one sentence; "" if it can.
        shape: of its weight.
        bias: values of its bias.
        parameters: of the layer as it is.
        macs: of the layer as it is, for one sample.
        calls: what it is called with.
        batch: samples of the example inputs.
    """

    name: str
    kind: str
    method: str
    reason: str
    shape: Shape
    bias: int
    parameters: int
    macs: int
    calls: tuple[Call, ...]
    batch: int

    @property
    def most(self) -> Ranks:
        """The highest ranks, at which nothing is lost."""
        return METHODS[self.method].most(self.shape)

    def fitted(self, ranks: Ranks) -> Ranks:
        """Ranks as near to these as the layer can have."""
        return METHODS[self.method].fitted(self.shape, ranks)

    def parameters_at(self, ranks: Ranks) -> int:
        """Values of the smaller layers, exact."""
        return parameters(METHODS[self.method].factors(self.shape, ranks), self.bias)

    def macs_at(self, ranks: Ranks) -> int:
        """Multiply-accumulates of the smaller layers for one sample, exact."""
        return macs(METHODS[self.method].factors(self.shape, ranks), self.calls) // self.batch

    def saves(self, ranks: Ranks) -> bool:
        """Whether the smaller layers have fewer parameters, and no more multiply-accumulates."""
        return self.parameters_at(ranks) < self.parameters and self.macs_at(ranks) <= self.macs


@dataclass(frozen=True)
class Prediction:
    """What a whole network would cost: parameters, and multiply-accumulates for one sample."""

    parameters: int
    macs: int


def predict(
    parameters: int, macs: int, candidates: Iterable[Candidate], ranks: Mapping[str, Ranks]
) -> Prediction:
    """The cost of a network with some layers factorised, exact, from counts alone.

    Args:
        parameters, macs: of the network as it is, as `CostModel.dense` counts them.
        candidates: of `find_factorable`.
        ranks: layer -> its ranks; all others stay as they are.
    """
    for one in candidates:
        if one.name in ranks:
            parameters += one.parameters_at(ranks[one.name]) - one.parameters
            macs += one.macs_at(ranks[one.name]) - one.macs
    return Prediction(parameters, macs)


def find_factorable(
    module: nn.Module, example_inputs: Sequence[Any], method: str = "tucker-2"
) -> list[Candidate]:
    """All linear layers and convolutions in the order of their first call, with the reason why not.

    Args:
        module: the network, never changed.
        example_inputs: positional arguments of its forward, batch first.
        method: name of an entry of `METHODS`; see `factorise` for what it means to matrices.
    Raises:
        ValueError: if there is no such method, or the network does not run on the example inputs.
    """
    METHODS[method]  # an unknown name is said first
    modules = dict(module.named_modules(remove_duplicate=False))
    rows = [row for row in find_layers(module, example_inputs) if _weighted(modules.get(row.name))]
    calls = _watch(module, [row.name for row in rows if not refusal(module, row.name)], example_inputs)
    bad = _read_by_others(module, list(calls), example_inputs)
    given = first_tensor(tuple(example_inputs))
    batch = max(given.shape[0], 1) if given is not None and given.dim() else 1
    found = []
    for row in rows:
        layer = modules[row.name]
        name, misfit = method_for(layer, method)
        reason = refusal(module, row.name) or row.reason or misfit
        reason = reason or (OWN_CODE if row.name in bad else "")
        found.append(_candidate(row, layer, "" if reason else name, reason, calls, batch))
    return found


def _candidate(
    row: Layer,
    layer: nn.Module,
    method: str,
    reason: str,
    calls: Mapping[str, list[Call]],
    batch: int,
) -> Candidate:
    bias = layer._parameters.get("bias")
    return Candidate(
        name=row.name,
        kind=row.kind,
        method=method,
        reason=reason,
        shape=row.weight_shape,
        bias=0 if bias is None else bias.numel(),
        parameters=row.parameters,
        macs=row.macs,
        calls=tuple(calls.get(row.name, ())),
        batch=batch,
    )


def _weighted(layer: nn.Module | None) -> bool:
    return isinstance(layer, (nn.Linear, *CONVOLUTIONS, *TRANSPOSED))


def _watch(module: nn.Module, names: Sequence[str], inputs: Sequence[Any]) -> dict[str, list[Call]]:
    """Layer -> its calls in one forward pass, of the layers that were called."""
    probe = private_copy(module)
    calls: dict[str, list[Call]] = defaultdict(list)

    def hook(name: str, layer: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def seen(_: nn.Module, given: tuple[Any, ...], output: Tensor) -> None:
            calls[name].append(Call.of(layer, given[0], output))

        return layer.register_forward_hook(seen)

    handles = [hook(name, probe.get_submodule(name)) for name in names]
    try:
        with torch.no_grad():
            probe(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return dict(calls)


def _read_by_others(module: nn.Module, names: Sequence[str], inputs: Sequence[Any]) -> set[str]:
    """Layers whose attributes the network's own code needs: it fails when a layer stands in a container."""
    if _runs(module, names, inputs):
        return set()
    return {name for name in names if not _runs(module, [name], inputs)}


def _runs(module: nn.Module, contained: Sequence[str], inputs: Sequence[Any]) -> bool:
    copy = private_copy(module)
    for name in contained:
        copy.set_submodule(name, nn.Sequential(copy.get_submodule(name)))
    try:
        with torch.no_grad():
            copy(*inputs)
    except Exception:  # whatever a network raises
        return False
    return True
