"""Walk a recording and let the rules label every dimension of every tensor."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from pruning.groups.choices import DEFAULT, Choices
from pruning.groups.labels import Labels, Vector, fixed
from pruning.groups.notes import AverageNote, Note, SiteKey, SizeNote, WorkNote
from pruning.groups.record import UNCOUNTED, Call, Recording, Ref
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
    """What is known about a tensor.

    Args:
        dims: labels per dimension.
        origin: the parameter it is, if it is one.
        quiet: whether the entries that go with a removed unit are zero here when its parameters are zero.
        static: whether it is made of parameters and constants alone, as a normalised weight is.
    """

    dims: Dims
    origin: Origin | None = None
    quiet: bool = False
    static: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(labels) for labels in self.dims)

    def carried(self, dims: list[Vector] | Dims) -> Value:
        """The same entries, or sums of some, under other labels; it is no parameter any more."""
        return Value(tuple(dims), quiet=self.quiet)


Rule = Callable[["Tracer", Call], "Value | list[Value | None]"]

INPUT = "it reads the network's input, whose size is given"
CONSTANT = "it meets a constant made outside of the layers, in {where}"
OUTPUT = "its outputs are the network's outputs"
ROLES: tuple[Role, ...] = ("producer", "norm", "consumer")  # the first that applies names the member


@dataclass
class Tracer:
    """The state of one walk: labels, values, and what the rules noted on the way."""

    recording: Recording
    rules: Callable[[Call], Rule | None]
    choices: Choices = DEFAULT
    carriers: Mapping[SiteKey, int] = field(default_factory=dict)  # the way of a reshape, if not its first
    labels: Labels = field(default_factory=Labels)
    values: dict[Ref, Value] = field(default_factory=dict)
    parameters: dict[str, Dims] = field(default_factory=dict)  # in order of first use
    roles: dict[tuple[str, int], Role] = field(default_factory=dict)
    kinds: dict[str, Kind] = field(default_factory=dict)  # producer parameter -> what its rows are
    notes: list[Note] = field(default_factory=list)
    works: list[WorkNote] = field(default_factory=list)
    sizes: list[SizeNote] = field(default_factory=list)
    averages: list[AverageNote] = field(default_factory=list)
    divisors: set[tuple[str, int | None]] = field(default_factory=set)
    sites: dict[SiteKey, list[Vector]] = field(default_factory=dict)  # reshapes with several ways
    call: Call | None = None
    _number: int = 0
    _needed: bool = True

    def run(self) -> Tracer:
        """Apply a rule to every call, then fix what leaves the network."""
        for call, needed in zip(self.recording.calls, self.recording.needed, strict=True):
            self.call, self._needed = call, needed
            self._visit(call)
            self._number += call.op != UNCOUNTED
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

    def average(self, argument: str, dim: int, reason: str) -> None:
        """This call averages an argument over a dimension: it stays, unless its statistics may change."""
        labels = self.arg(argument).dims[dim]
        if not self._needed:  # such as the average attention, which is returned and seldom used
            return
        if self.choices.norms == "exact":
            self.fix(labels, reason)
        elif not self.labels.all_fixed(labels):
            self.averages.append(AverageNote(self._scope, self._number, argument, dim, labels))

    def along(self, argument: str, dim: int) -> None:
        """An argument that follows a dimension which the call averages over, such as the scale of a norm."""
        if self.choices.norms == "statistics":
            labels = self.arg(argument).dims[dim]
            self.averages.append(AverageNote(self._scope, self._number, argument, dim, labels))

    def site(self, sizes: tuple[int, ...], ways: list[int], labels: Vector) -> int:
        """Note a reshape that can carry its labels on in several ways; returns the dimension to take."""
        key = SiteKey(re.sub(r"\d+", "#", self._scope), sizes, tuple(ways))
        self.sites.setdefault(key, []).append(labels.ravel())
        return ways[self.carriers.get(key, 0)]

    def size(self, labels: Vector) -> None:
        """Remember that the forward used the length of these labels as a number."""
        if len(labels) > 0:
            self.sizes.append(SizeNote(self._scope, self._number, len(labels), labels))

    def free(self, *dims: Vector) -> bool:
        """Whether any entry of these dimensions could go."""
        return not all(self.labels.all_fixed(labels) for labels in dims)

    def divides(self, value: Value | None, dim: int) -> None:
        """A parameter's entries that are divided by: a mask must not set them to zero."""
        if value is not None and value.origin is not None and value.origin.dims[dim] is not None:
            self.divisors.add((value.origin.parameter, value.origin.dims[dim]))

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
        for ref in call.aliases:
            # A tensor changed in place changes what shares its memory. Labels are shared already.
            value, written = self.value(ref), self.values[call.outputs[0]] if call.outputs[0] else None
            self.values[ref] = replace(value, quiet=value.quiet and written is not None and written.quiet)

    def _store(self, call: Call, result: Value | list[Value | None] | None) -> None:
        if result is None:
            raise Unsupported("no rule")
        values = result if isinstance(result, list) else [result]
        static = all(self.value(ref).static for ref in call.inputs)
        for number, ref in enumerate(call.outputs):
            if ref is None:
                continue
            info = self.recording.tensors[ref.index]
            value = values[number] if number < len(values) else None
            if value is None:
                value = Value(tuple(fixed(size) for size in info.shape), quiet=True)
            if value.shape != info.shape:
                raise Unsupported("the rule's shape is not the result's")
            for dim in value.dims:
                if len(dim) == 1:
                    self.fix(dim, "the only entry of a dimension in {where} cannot vanish")
            self.values[ref] = replace(value, static=static) if value.static != static else value

    def _freeze(self, call: Call) -> None:
        """Never guess: fix everything that an operation without a rule touches."""
        reason = f"the operation `{call.namespace}.{call.op}` in {{where}} has no rule yet"
        for ref in call.inputs:
            for dim in self.value(ref).dims:
                self.fix(dim, reason)
        for out in call.outputs:
            if out is not None:
                shape = self.recording.tensors[out.index].shape
                self.values[out] = Value(tuple(self._fixed_for(size, reason) for size in shape), quiet=True)

    def _fixed_for(self, size: int, reason: str) -> Vector:
        labels = self.labels.fresh(size)
        self.fix(labels, reason)
        return labels

    def _first(self, ref: Ref) -> Value:
        info = self.recording.tensors[ref.index]
        if info.parameter is not None:
            if info.parameter not in self.parameters:
                make = self.labels.fresh if info.dtype.is_floating_point else fixed
                self.parameters[info.parameter] = tuple(make(size) for size in info.shape)
            dims = self.parameters[info.parameter]
            return Value(dims, Origin(info.parameter, tuple(range(len(dims)))), quiet=True, static=True)
        reason = INPUT if info.is_input else CONSTANT
        dims = tuple(self._fixed_for(size, reason) for size in info.shape)
        return Value(dims, quiet=True, static=not info.is_input)

    @property
    def _scope(self) -> str:
        return self.call.scope if self.call else ""


def moved(value: Value, order: list[int]) -> Value:
    """The value with its dimensions in another order; a parameter stays that parameter."""
    dims = tuple(value.dims[d] for d in order)
    if value.origin is None:
        return value.carried(dims)
    origin = replace(value.origin, dims=tuple(value.origin.dims[d] for d in order))
    return Value(dims, origin, quiet=True)


def constant(shape: tuple[int, ...]) -> list[Vector]:
    """Labels of a tensor without channels."""
    return [fixed(size) for size in shape]


def repeated(labels: Vector, times: int) -> Vector:
    """Each label `times` times in a row."""
    return np.repeat(labels, times)
