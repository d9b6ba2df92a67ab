"""The smaller network as a graph of its own, for where the network's Python has sizes written into it.

The recorded calls are written down again with the sizes that follow from what is kept. Two recordings, with
one sample more in the second, tell which sizes grow with the batch.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves, tree_map, tree_unflatten

from pruning.groups.batch import Grows, for_any_batch
from pruning.groups.find import trace
from pruning.groups.record import UNCOUNTED, Call, Recording, Ref, record
from pruning.groups.resize import kept_labels, placed, resized
from pruning.groups.types import Structure


class NoGraph(Exception):
    """The recorded calls cannot be written down as a graph."""


@dataclass(frozen=True)
class _Version:
    """One recording with the arguments of each call as they are in the smaller network."""

    recording: Recording
    calls: list[tuple[Any, dict[str, Any]]]


def emit_graph(
    module: nn.Module,
    small: nn.Module,
    structure: Structure,
    keep: Mapping[str, Tensor],
    example_inputs: Sequence[Any],
) -> fx.GraphModule:
    """A graph module that computes what the network does in eval mode, with only the units to keep.

    Args:
        module: the whole network.
        small: a copy of it with parameters and buffers cut to what is kept, which need not run.
        structure: of the network, found on these inputs.
        keep: group id -> (size,) bool, True = keep.
        example_inputs: positional arguments of its forward.
    Returns:
        A module that takes as many positional arguments; tensors in lists or dicts keep their place. Its
        parameters have the names of the network's own, but for names that every graph module has taken.
    Raises:
        NoGraph: in words.
    """
    first = _version(module, structure, keep, tuple(example_inputs))
    try:
        more = _one_more(tuple(example_inputs), first.recording.batch)
        second = _version(module, structure, keep, more)
        return _Writer(first, second, small, tuple(example_inputs)).module()
    except (ValueError, NoGraph):  # what depends on the batch otherwise is written for this one alone
        return _Writer(first, first, small, tuple(example_inputs)).module()


def _version(
    module: nn.Module, structure: Structure, keep: Mapping[str, Tensor], inputs: tuple[Any, ...]
) -> _Version:
    recording = record(module, inputs)
    tracer = trace(module, recording, structure.choices)
    kept = kept_labels(tracer, structure, keep)
    calls = []
    for call in recording.calls:
        if any(ref not in tracer.values for ref in call.inputs):
            calls.append((call.function, call.args))
        else:
            calls.append(resized(tracer, call, kept))
    return _Version(recording, calls)


def _one_more(inputs: tuple[Any, ...], batch: int) -> tuple[Any, ...]:
    """The inputs with their first sample once more at the end."""

    def grown(value: Any) -> Any:
        if isinstance(value, Tensor) and value.ndim and len(value) == batch:
            return torch.cat([value, value[:1]])
        return value

    return tree_map(grown, inputs)


class _Writer:
    """Writes the calls of two recordings, which differ in the batch alone, as one graph."""

    def __init__(self, first: _Version, second: _Version, small: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.first, self.second = first, second
        self.tensors = {**dict(small.named_parameters()), **dict(small.named_buffers())}
        self.state = small.state_dict(keep_vars=True)
        self.inputs = inputs
        self.graph, self.root = fx.Graph(), nn.Module()
        self.nodes: dict[Ref, fx.Node] = {}
        self._batch: fx.Node | None = None

    def module(self) -> fx.GraphModule:
        recording, other = self.first.recording, self.second.recording
        if [call.op for call in recording.calls] != [call.op for call in other.calls]:
            raise NoGraph("its calls depend on the size of the batch")
        self._placeholders()
        for number, (call, needed) in enumerate(zip(recording.calls, recording.needed, strict=True)):
            if needed:
                self._write(number, call)
        leaves, form = recording.result
        assert form is not None  # the pass ended
        self.graph.output(tree_unflatten([self._argument(leaf) for leaf in leaves], form))
        self.graph.lint()
        graph = fx.GraphModule(self.root, self.graph, "PrunedGraph")
        for name, tensor in self.state.items():  # what the forward does not use, and second names
            _hold(graph, _own_name(name), tensor)
        return graph

    def _placeholders(self) -> None:
        """One for each argument; tensors inside of lists and dicts are taken out of them."""
        refs = iter(self.first.recording.inputs)
        for number, value in enumerate(self.inputs):
            node = self.graph.placeholder(f"input_{number}")
            if isinstance(value, Tensor):
                self.nodes[next(refs)] = node
            elif any(isinstance(leaf, Tensor) for leaf in tree_leaves(value)):
                raise NoGraph("its inputs are more than tensors")
        batched = [
            ref for ref in self.first.recording.inputs if self.first.recording.tensors[ref.index].shape
        ]
        if batched:
            self._batch = self.graph.call_function(torch.ops.aten.sym_size.int, (self.nodes[batched[0]], 0))

    def _write(self, number: int, call: Call) -> None:
        function, args = self.first.calls[number]
        other_function, others = self.second.calls[number]
        if function is not other_function or args.keys() != others.keys():
            raise NoGraph("a call depends on the size of the batch")
        images = self.first.recording.batch
        alike = {name: for_any_batch(value, others[name], images) for name, value in args.items()}
        given = {name: self._argument(value) for name, value in alike.items()}
        if call.op == UNCOUNTED:  # the tensor itself, so that gradients flow
            self.nodes.update({ref: given["self"] for ref in call.outputs if ref is not None})
            return
        node = self.graph.call_function(function, *placed(function, given))
        returns = function._schema.returns
        several = len(returns) > 1 or str(returns[0].type).startswith("List")
        for place, ref in enumerate(call.outputs):
            if ref is not None:
                self.nodes[ref] = (
                    self.graph.call_function(operator.getitem, (node, place)) if several else node
                )

    def _argument(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [self._argument(item) for item in value]
        if isinstance(value, Ref):
            return self._tensor(value)
        return self._growing(value) if isinstance(value, Grows) else value

    def _growing(self, value: Grows) -> fx.Node:
        """An integer that grows with the batch: a multiple of it, and a rest."""
        if self._batch is None:
            raise NoGraph("a size depends on the batch, and no input has one")
        scaled = self.graph.call_function(operator.mul, (self._batch, value.slope))
        return self.graph.call_function(operator.add, (scaled, value.rest))

    def _tensor(self, ref: Ref) -> fx.Node:
        if ref not in self.nodes:
            info, twin = (version.recording.tensors[ref.index] for version in (self.first, self.second))
            if info.parameter is not None:
                self.nodes[ref] = self._attribute(info.parameter, self.tensors[info.parameter])
            else:
                if info.shape != twin.shape:
                    raise NoGraph("a constant depends on the size of the batch")
                held = self.first.recording.constants[ref.index]
                self.nodes[ref] = self._attribute(f"constant_{ref.index}", held.detach().clone())
        return self.nodes[ref]

    def _attribute(self, name: str, tensor: Tensor) -> fx.Node:
        persistent, name = name in self.state, _own_name(name)
        _hold(self.root, name, tensor, persistent=persistent)
        return self.graph.get_attr(name)


def _own_name(name: str) -> str:
    """The name, with an underscore after a first part that every graph module has itself, as `code`."""
    first, dot, rest = name.partition(".")
    return f"{first}_{dot}{rest}" if hasattr(fx.GraphModule, first) else name


def _hold(root: nn.Module, name: str, tensor: Tensor, persistent: bool = True) -> None:
    """Keep a tensor under its path, in modules that do nothing but hold."""
    *path, own = name.split(".")
    holder = root
    for part in path:
        if part not in holder._modules:
            holder.add_module(part, nn.Module())
        holder = holder.get_submodule(part)
    if hasattr(holder, own):
        return
    if isinstance(tensor, nn.Parameter):
        holder.register_parameter(own, tensor)
    else:
        holder.register_buffer(own, tensor, persistent=persistent)
