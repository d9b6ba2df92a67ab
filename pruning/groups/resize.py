"""The arguments of a recorded call once entries are gone: every size in them follows from what is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pruning.groups.labels import Vector
from pruning.groups.record import Call
from pruning.groups.tracer import Tracer, Value
from pruning.groups.types import Structure

Kept = Callable[[Vector], np.ndarray]  # labels -> (n,) bool, True = stays
Args = dict[str, Any]
Resize = Callable[["_Sizes", Args], Args]

aten = torch.ops.aten


def kept_labels(tracer: Tracer, structure: Structure, keep: Mapping[str, Tensor]) -> Kept:
    """Which labels of a traced network stay when only some units do.

    Args:
        tracer: after its run over the network that `structure` describes.
        structure: its groups.
        keep: group id -> (size,) bool, True = keep.
    """
    find = tracer.labels.find
    removed = np.zeros(tracer.labels.count, bool)
    for name, mask in keep.items():
        for member in structure.group(name).members:
            gone = member.index[~mask].flatten().numpy()
            removed[find(tracer.parameters[member.parameter][member.dim][gone])] = True
    return lambda labels: ~removed[find(labels)]


def resizes(call: Call) -> bool:
    """Whether a call has sizes among its arguments, which may change."""
    op = call.op.removesuffix("_")
    return op in ("split", "unsafe_split", "squeeze") or call.op in _CHANGES or op in _CHANGES


def placed(function: Any, args: Mapping[str, Any]) -> tuple[tuple[Any, ...], Args]:
    """Arguments by place where an operation takes them so, the others by name."""
    known = [argument for argument in function._schema.arguments if argument.name in args]
    by_place = tuple(args[argument.name] for argument in known if not argument.kwarg_only)
    return by_place, {argument.name: args[argument.name] for argument in known if argument.kwarg_only}


def resized(tracer: Tracer, call: Call, kept: Kept) -> tuple[Any, Args]:
    """The operation and arguments to call instead, tensors as Refs."""
    outputs = [tracer.values.get(ref) if ref is not None else None for ref in call.outputs]
    sizes = _Sizes(tracer, call, kept, outputs)
    if call.op in ("split", "unsafe_split") and call.overload == "Tensor":
        args = {"self": call.args["self"], "split_sizes": sizes.pieces(), "dim": call.args["dim"]}
        unsafe = call.op == "unsafe_split"  # pieces that may be changed in place
        return aten.unsafe_split_with_sizes.default if unsafe else aten.split_with_sizes.default, args
    if call.op == "squeeze":  # what has one entry left since the removal is no dimension to drop
        return aten.squeeze.dims, {
            "self": call.args["self"],
            "dim": _dropped(call, len(sizes.given()), sizes),
        }
    change = _CHANGES.get(call.op, _CHANGES.get(call.op.removesuffix("_")))
    return call.function, change(sizes, dict(call.args)) if change else call.args


class _Sizes:
    """Lengths of what a call reads and makes, after the removal."""

    def __init__(self, tracer: Tracer, call: Call, kept: Kept, outputs: list[Value | None]) -> None:
        self.tracer, self.call, self.kept, self.outputs = tracer, call, kept, outputs

    def count(self, labels: Vector) -> int:
        return int(self.kept(labels).sum())

    @property
    def out(self) -> list[int]:
        value = self.outputs[0]
        assert value is not None
        return [self.count(labels) for labels in value.dims]

    def given(self, name: str = "self") -> tuple[Vector, ...]:
        return self.tracer.value(self.call.args[name]).dims

    def dim(self, name: str = "self") -> int:
        return self.call.args["dim"] % len(self.given(name))

    def pieces(self) -> list[int]:
        dim = self.dim()
        return [self.count(value.dims[dim]) for value in self.outputs if value is not None]


def _to_shape(name: str) -> Resize:
    def change(sizes: _Sizes, args: Args) -> Args:
        return {**args, name: sizes.out}

    return change


def _slice(sizes: _Sizes, args: Args) -> Args:
    labels = sizes.given()[sizes.dim()]
    start, end, _ = slice(args["start"], args["end"]).indices(len(labels))
    return {**args, "start": sizes.count(labels[:start]), "end": sizes.count(labels[:end])}


def _select(sizes: _Sizes, args: Args) -> Args:
    labels = sizes.given()[sizes.dim()]
    return {**args, "index": sizes.count(labels[: args["index"] % len(labels)])}


def _pieces(sizes: _Sizes, args: Args) -> Args:
    return {**args, "split_sizes": sizes.pieces()}


def _repeat(sizes: _Sizes, args: Args) -> Args:
    lengths = [sizes.count(labels) for labels in sizes.given()]
    lengths = [1] * (len(sizes.out) - len(lengths)) + lengths
    return {**args, "repeats": [new // max(old, 1) for new, old in zip(sizes.out, lengths, strict=True)]}


def _pad(sizes: _Sizes, args: Args) -> Args:
    amounts = list(args["pad"])
    made = sizes.outputs[0]
    assert made is not None
    for number in range(len(amounts) // 2):
        labels = made.dims[-1 - number]
        before, after = amounts[2 * number], amounts[2 * number + 1]
        if before > 0:
            amounts[2 * number] = sizes.count(labels[:before])
        if after > 0:
            amounts[2 * number + 1] = sizes.count(labels[len(labels) - after :])
    return {**args, "pad": amounts}


def _layer_norm(sizes: _Sizes, args: Args) -> Args:
    over = sizes.given("input")[-len(args["normalized_shape"]) :]
    return {**args, "normalized_shape": [sizes.count(labels) for labels in over]}


def _group_norm(sizes: _Sizes, args: Args) -> Args:
    x = sizes.given("input")
    return {**args, "N": sizes.count(x[0]), "C": sizes.count(x[1])}


def _convolution(sizes: _Sizes, args: Args) -> Args:
    weight = sizes.given("weight")
    x = sizes.given("input")
    if args["groups"] == 1 or len(weight[1]) > 1:
        return args
    return {**args, "groups": sizes.count(x[-(len(weight) - 2) - 1])}


def _dropped(call: Call, rank: int, sizes: _Sizes) -> list[int]:
    """Dimensions that a squeeze drops: of those it names, or of all, the ones of one entry."""
    named = call.args.get("dim", list(range(rank)))
    named = [named] if isinstance(named, int) else named
    return [dim % rank for dim in named if rank and len(sizes.given()[dim]) == 1]


_CHANGES: dict[str, Resize] = {
    **dict.fromkeys(("view", "_unsafe_view", "expand", "reshape"), _to_shape("size")),
    "_reshape_alias": _to_shape("size"),
    **dict.fromkeys(
        ("zeros", "ones", "full", "empty", "new_zeros", "new_ones", "new_full", "new_empty"),
        _to_shape("size"),
    ),
    "slice": _slice,
    "select": _select,
    "split_with_sizes": _pieces,
    "unsafe_split_with_sizes": _pieces,
    "repeat": _repeat,
    "constant_pad_nd": _pad,
    "native_layer_norm": _layer_norm,
    "_fused_rms_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "convolution": _convolution,
}
