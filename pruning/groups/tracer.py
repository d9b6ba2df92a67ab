"""Walk a recording and let the rules label every dimension of every tensor."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from pruning.groups.labels import Labels, Vector, fixed
from pruning.groups.record import Call, Recording, Ref
from pruning.groups.types import Kind, Role, WorkKind

Dims = tuple[Vector, ...]  # the labels of a tensor, one vector per dimension


class Unsupported(Exception):
    """A rule met a form of its operation that it does not cover; the operation then fixes all it touches."""


@dataclass(frozen=True)
class Origin:
    """Which parameter a tensor is, up to transposes, and the parameter's dimension behind each of its own."""

    parameter: str
    dims: tuple[int | None, ...]


@dataclass(frozen=True)
class Value:
    """What is known about a tensor: labels per dimension, and the parameter it is, if it is one."""

    dims: Dims
    origin: Origin | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(labels) for labels in self.dims)

    def with_dims(self, dims: list[Vector] | Dims) -> Value:
        """A tensor of other labels that is no parameter any more."""
        return Value(tuple(dims))


@dataclass(frozen=True)
class Note:
    """An operation worth naming when a group is explained."""

    kind: str
    scope: str
    labels: Vector


@dataclass(frozen=True)
class WorkNote:
    """An operation that multiplies and accumulates: `constant` times the lengths of the dimensions."""

    scope: str
    kind: WorkKind
    constant: int
    dims: Dims


@dataclass(frozen=True)
class SizeNote:
    """An integer that the forward used, with the labels it counts."""

    scope: str
    call: int
    value: int
    labels: Vector


Rule = Callable[["Tracer", Call], "Value | list[Value | None]"]

INPUT = "it reads the network's input, whose size is given"
OUTPUT = "its outputs are the network's outputs"
ROLES: tuple[Role, ...] = ("producer", "norm", "consumer")  # the first that applies names the member


@dataclass
class Tracer:
    """The state of one walk: labels, values, and what the rules noted on the way."""

    recording: Recording
    rules: Callable[[Call], Rule | None]
    labels: Labels = field(default_factory=Labels)
    values: dict[Ref, Value] = field(default_factory=dict)
    parameters: dict[str, Dims] = field(default_factory=dict)  # in order of first use
    roles: dict[tuple[str, int], Role] = field(default_factory=dict)
    kinds: dict[str, Kind] = field(default_factory=dict)  # producer parameter -> what its rows are
    notes: list[Note] = field(default_factory=list)
    works: list[WorkNote] = field(default_factory=list)
    sizes: list[SizeNote] = field(default_factory=list)
    call: Call | None = None
    _number: int = 0

    def run(self) -> Tracer:
        """Apply a rule to every call, then fix what leaves the network."""
        for number, call in enumerate(self.recording.calls):
            self.call, self._number = call, number
            self._visit(call)
        self.call = None
        for ref in self.recording.outputs:
            for dim in self.value(ref).dims:
                self.labels.fix(dim, OUTPUT)
        self.labels.compress()
        return self

    # What rules read

    def value(self, ref: Ref) -> Value:
        """The labels of a tensor; parameters, inputs and constants get theirs when first met."""
        if ref not in self.values:
            self.values[ref] = self._first(ref)
        return self.values[ref]

    def arg(self, name: str) -> Value:
        """The tensor argument of that name."""
        value = self.optional(name)
        if value is None:
            raise Unsupported(f"no tensor {name}")
        return value

    def optional(self, name: str) -> Value | None:
        """The tensor argument of that name, or None where it was not given."""
        assert self.call is not None
        ref = self.call.args.get(name)
        return self.value(ref) if isinstance(ref, Ref) else None

    def shape(self, output: int = 0) -> tuple[int, ...]:
        """Shape of a result of the current call."""
        assert self.call is not None
        ref = self.call.outputs[output]
        if ref is None:
            raise Unsupported("the result is not a tensor")
        return self.recording.tensors[ref.index].shape

    # What rules say

    def union(self, left: Vector, right: Vector) -> None:
        """Both live together, entry by entry."""
        if left.shape != right.shape and 1 not in (left.size, right.size) and left.ndim == right.ndim == 1:
            raise Unsupported("sizes differ")
        self.labels.union(left, right, f"it meets entries that are no channels in {self.where}")

    def fix(self, labels: Vector, reason: str = "") -> None:
        """These entries stay; "{where}" in the reason becomes the place of the call."""
        self.labels.fix(labels, reason.format(where=self.where))

    def role(self, value: Value | None, dim: int, role: Role, kind: Kind | None = None) -> None:
        """Say what a parameter's dimension does; nothing happens for a tensor that is no parameter."""
        if value is None or value.origin is None:
            return
        name, source = value.origin.parameter, value.origin.dims[dim]
        if source is None:
            return
        known = self.roles.get((name, source))
        if known is None or ROLES.index(role) < ROLES.index(known):
            self.roles[name, source] = role
        if kind is not None:
            self.kinds.setdefault(name, kind)

    def note(self, kind: str, labels: Vector) -> None:
        """Remember that this operation couples the labels, for the explanation."""
        self.notes.append(Note(kind, self._scope, labels.ravel()))

    def work(self, kind: WorkKind, *dims: Vector | int) -> None:
        """Count the multiply-accumulates of this call: the product of lengths and constants."""
        constant = math.prod(dim for dim in dims if isinstance(dim, int))
        vectors = tuple(dim for dim in dims if not isinstance(dim, int))
        self.works.append(WorkNote(self._scope, kind, constant, vectors))

    def size(self, labels: Vector) -> None:
        """Remember that the forward used the length of these labels as a number."""
        if len(labels) > 0:
            self.sizes.append(SizeNote(self._scope, self._number, len(labels), labels))

    @property
    def where(self) -> str:
        """The place of the current call in words."""
        return self.call.where if self.call else "the network"

    # How a call is visited

    def _visit(self, call: Call) -> None:
        if not call.inputs and not any(call.outputs):
            return
        rule = self.rules(call)
        try:
            result = rule(self, call) if rule else None
            self._store(call, result)
        except Unsupported:
            self._freeze(call)

    def _store(self, call: Call, result: Value | list[Value | None] | None) -> None:
        if result is None:
            raise Unsupported("no rule")
        values = result if isinstance(result, list) else [result]
        for number, ref in enumerate(call.outputs):
            if ref is None:
                continue
            info = self.recording.tensors[ref.index]
            value = values[number] if number < len(values) else None
            if value is None:
                value = Value(tuple(fixed(size) for size in info.shape))
            if value.shape != info.shape:
                raise Unsupported("the rule's shape is not the result's")
            for dim in value.dims:
                if len(dim) == 1:
                    self.fix(dim, "the only entry of a dimension in {where} cannot vanish")
            self.values[ref] = value

    def _freeze(self, call: Call) -> None:
        """Never guess: fix everything that an operation without a rule touches."""
        reason = f"the operation `{call.namespace}.{call.op}` in {{where}} has no rule yet"
        for ref in call.inputs:
            for dim in self.value(ref).dims:
                self.fix(dim, reason)
        for out in call.outputs:
            if out is not None:
                shape = self.recording.tensors[out.index].shape
                self.values[out] = Value(tuple(self._fixed_for(size, reason) for size in shape))

    def _fixed_for(self, size: int, reason: str) -> Vector:
        labels = self.labels.fresh(size)
        self.fix(labels, reason)
        return labels

    def _first(self, ref: Ref) -> Value:
        info = self.recording.tensors[ref.index]
        if info.parameter is not None:
            if info.parameter not in self.parameters:
                make = self.labels.fresh if info.floating else fixed
                self.parameters[info.parameter] = tuple(make(size) for size in info.shape)
            dims = self.parameters[info.parameter]
            return Value(dims, Origin(info.parameter, tuple(range(len(dims)))))
        if info.is_input:
            return Value(tuple(self._fixed_for(size, INPUT) for size in info.shape))
        reason = "it meets a constant made outside of the layers, in {where}"
        return Value(tuple(self._fixed_for(size, reason) for size in info.shape))

    @property
    def _scope(self) -> str:
        return self.call.scope if self.call else ""


def moved(value: Value, order: list[int]) -> Value:
    """The value with its dimensions in another order; a parameter stays that parameter."""
    dims = tuple(value.dims[d] for d in order)
    if value.origin is None:
        return Value(dims)
    return Value(dims, replace(value.origin, dims=tuple(value.origin.dims[d] for d in order)))


def constant(shape: tuple[int, ...]) -> list[Vector]:
    """Labels of a tensor without channels."""
    return [fixed(size) for size in shape]


def repeated(labels: Vector, times: int) -> Vector:
    """Each label `times` times in a row."""
    return np.repeat(labels, times)
