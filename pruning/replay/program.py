"""A forward pass as a list of operations that can be run again, from anywhere, with other tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pruning.groups import Structure
from pruning.groups.find import trace
from pruning.groups.record import Ref, record
from pruning.groups.resize import kept_labels, placed, resized

State = dict[Ref, Tensor]


class NotReplayable(Exception):
    """The recorded operations cannot stand for the network."""


@dataclass(frozen=True)
class Step:
    """One operation, ready to be called: values in the order of its arguments, tensors as Refs."""

    function: Callable[..., Any]
    values: tuple[Any, ...]
    names: tuple[str, ...]  # of the last values, which are given by name
    outputs: tuple[Ref | None, ...]
    done_with: tuple[Ref, ...]  # tensors that no later step reads

    def __call__(self, get: Callable[[Ref], Tensor]) -> Any:
        values = [_filled(value, get) for value in self.values]
        cut = len(values) - len(self.names)
        return self.function(*values[:cut], **dict(zip(self.names, values[cut:], strict=True)))


class Program:
    """The operations of one network for batches of one size.

    Args:
        module: the network, never changed.
        x: (batch, ...) its only input.
        structure: its groups.
    Raises:
        NotReplayable: if it writes into a part of a tensor, or makes something other than one tensor.
        ValueError: if it does not run.
    """

    def __init__(self, module: nn.Module, x: Tensor, structure: Structure) -> None:
        self.structure = structure
        self._recording = record(module, (x,))
        self._tracer = trace(module, self._recording, structure.choices)
        if len(self._recording.outputs) != 1:
            raise NotReplayable("the network does not make one tensor")
        self.input, self.output = self._recording.inputs[0], self._recording.outputs[0]
        pairs = zip(self._recording.calls, self._recording.needed, strict=True)
        self._calls = [call for call, needed in pairs if needed]
        if any(call.aliases for call in self._calls):
            raise NotReplayable("an operation changes a tensor in place that others share")
        self._last = {ref: n for n, call in enumerate(self._calls) for ref in call.inputs}
        self._last[self.output] = len(self._calls)
        self.steps = [self._step(n, call.function, call.args) for n, call in enumerate(self._calls)]
        self.tensors: dict[str, Tensor] = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        self.first = self._first_uses()

    def run(
        self,
        state: Mapping[Ref, Tensor],
        start: int = 0,
        end: int | None = None,
        *,
        steps: Sequence[Step] | None = None,
        tensors: Mapping[str, Tensor] | None = None,
    ) -> State:
        """Run the steps from `start` to before `end`.

        Args:
            state: the live tensors at `start`; not changed.
            start, end: numbers of steps; None = to the last.
            steps, tensors: of a pruned version; the network's own if None.
        Returns:
            The tensors that are left: those live at `end`.
        """
        steps, tensors = steps or self.steps, tensors or self.tensors
        held = dict(state)

        def get(ref: Ref) -> Tensor:
            found = held.get(ref)
            if found is not None:
                return found
            info = self._recording.tensors[ref.index]
            return tensors[info.parameter] if info.parameter else self._recording.constants[ref.index]

        for step in steps[start:end]:
            result = step(get)
            results = result if isinstance(result, (list, tuple)) else (result,)
            held.update(
                (ref, made) for ref, made in zip(step.outputs, results, strict=False) if ref is not None
            )
            for ref in step.done_with:
                held.pop(ref, None)
        return held

    def resized(self, keep: Mapping[str, Tensor]) -> list[Step]:
        """The steps with the sizes that follow when only some units of groups stay.

        Args:
            keep: group id -> (size,) bool, True = keep.
        """
        kept = kept_labels(self._tracer, self.structure, keep)
        steps = []
        for number, (call, step) in enumerate(zip(self._calls, self.steps, strict=True)):
            function, args = resized(self._tracer, call, kept)
            changed = function is not call.function or args is not call.args
            steps.append(self._step(number, function, args) if changed else step)
        return steps

    def _first_uses(self) -> dict[str, int]:
        """Parameter or buffer -> the first step that reads it."""
        first: dict[str, int] = {}
        for number, call in enumerate(self._calls):
            for ref in call.inputs:
                name = self._recording.tensors[ref.index].parameter
                if name is not None:
                    first.setdefault(name, number)
        return first

    def _step(self, number: int, function: Any, args: Mapping[str, Any]) -> Step:
        function = _functional(function)
        by_place, named = placed(function, args)
        call = self._calls[number]
        return Step(
            function=function,
            values=(*by_place, *named.values()),
            names=tuple(named),
            outputs=call.outputs,
            done_with=tuple(ref for ref in call.inputs if self._last[ref] == number),
        )


def _functional(function: Any) -> Any:
    """The form of an operation in place that makes a new tensor: what lies in memory must not change."""
    name = function._opname
    if not name.endswith("_") or name.endswith("__"):
        return function
    try:
        return getattr(getattr(torch.ops.aten, name[:-1]), function._overloadname)
    except AttributeError as error:
        raise NotReplayable(f"{name} works in place only") from error


def _filled(value: Any, get: Callable[[Ref], Tensor]) -> Any:
    if isinstance(value, Ref):
        return get(value)
    if isinstance(value, (list, tuple)):
        return [_filled(item, get) for item in value]
    return value
