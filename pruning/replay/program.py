"""A forward pass as a list of operations that can be run again, from anywhere, with other tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from pruning.groups import Structure
from pruning.groups.batch import for_any_batch
from pruning.groups.find import trace
from pruning.groups.record import Call, Recording, Ref, record
from pruning.groups.resize import Kept, kept_labels, resized, resizes
from pruning.groups.tracer import Tracer
from pruning.masks import cut, named_tensors, survivors
from pruning.replay.rewrite import Rewrite
from pruning.replay.steps import NotReplayable, State, Step, run_steps

_FEW = 2  # images of the first recording; a batch of one may be squeezed away or take a path of its own


@dataclass(frozen=True)
class Version:
    """The network with some of it pruned, or with other weights.

    Args:
        steps: all of them, those that differ from the whole network's and those that do not.
        values: parameters, buffers, constants, and what is computed of them alone.
        start: the first step that differs or reads what differs.
    """

    steps: Sequence[Step]
    values: Mapping[Ref, Tensor]
    start: int


class Program:
    """The operations of one network, for any number of images.

    They are recorded with two numbers of images, which tells the sizes that grow with it. What depends on
    parameters alone is computed once; what stays is rewritten to run faster (`pruning.replay.rewrite`).

    Args:
        module: the network, never changed.
        x: (batch, ...) its only input.
        structure: its groups; None if no units will go.
    Raises:
        NotReplayable: if it writes into a part of a tensor, makes something other than one tensor, decides
            by its data what to do, or depends on the number of images otherwise than in sizes.
        ValueError: if it does not run.
    """

    def __init__(self, module: nn.Module, x: Tensor, structure: Structure | None) -> None:
        self.structure = structure
        few, more = (_Recorded(module, torch.cat([x[:1]] * n), structure) for n in (_FEW, _FEW + 1))
        if [call.op for call in few.calls] != [call.op for call in more.calls]:
            raise NotReplayable("its operations depend on the number of images")
        self._recorded = few, more
        recording = few.recording
        self.input, self.output = recording.inputs[0], recording.outputs[0]
        named = named_tensors(module)
        self._refs: dict[str, list[Ref]] = {}  # parameter or buffer -> what stands for it
        self._constants: dict[Ref, Tensor] = {}
        for index, info in enumerate(recording.tensors):
            if info.parameter is not None:
                self._refs.setdefault(info.parameter, []).append(Ref(index))
            elif index in recording.constants:
                if info.shape != more.recording.tensors[index].shape:
                    raise NotReplayable("a constant of it depends on the number of images")
                self._constants[Ref(index)] = recording.constants[index]
        self.tensors: dict[str, Tensor] = {name: named[name].detach() for name in named if name in self._refs}
        self._args = [self._given(n) for n in range(len(few.calls))]
        self._rewrite = Rewrite(few.calls, recording, self._args, self.input, self.output)
        self._fixed, self.steps = self._rewrite.steps(self._args)
        self._last = _done_with(self.steps, self.output)
        self.values = self._computed(self.tensors, self._fixed)
        self.first = self._first_uses()
        self._starts: dict[str, int] = {}  # of groups, once they are asked for

    def version(
        self,
        keep: Mapping[str, Tensor],
        masks: Mapping[str, Tensor] | None = None,
        given: Mapping[str, Tensor] | None = None,
    ) -> Version:
        """The network without some units and weights, or with others.

        Args:
            keep: group id -> (size,) bool, True = keep; groups of grade "exact".
            masks: name of a parameter -> bool of its shape, True = keep.
            given: name of a parameter -> of its shape and dtype, in place of its own; not one of `masks`.
        """
        whole = {name: self.tensors[name] for name in masks or {}}
        tensors = {name: whole[name] * mask.to(whole[name].device) for name, mask in (masks or {}).items()}
        tensors |= {n: value.to(self.tensors[n]) for n, value in (given or {}).items() if n in self.tensors}
        if keep:
            assert self.structure is not None
            for name, dims in survivors(self.structure, keep).items():
                if name in self.tensors:
                    tensors[name] = cut(tensors.get(name, self.tensors[name]), dims)
        fixed, steps = (self._fixed, self.steps) if not keep else self._resized(keep)
        changed = {ref for name in tensors for ref in self._refs[name]}
        values = self._computed(tensors, fixed, changed)
        differ = (
            number
            for number, (step, own) in enumerate(zip(steps, self.steps, strict=True))
            if step is not own or not changed.isdisjoint(step.reads)
        )
        return Version(steps, values, next(differ, len(steps)))

    def start(self, groups: Iterable[str] = (), names: Iterable[str] = ()) -> int:
        """The first step that pruning some groups, or changing some parameters, touches."""
        first = [self.first[name] for name in names if name in self.first]
        return min([*first, *map(self._start_of, groups)], default=len(self.steps))

    def _start_of(self, group: str) -> int:
        """Sizes may change before the first parameter is read: of what is padded, or cut out of a tensor.

        Which sizes do depends on the units that go; so all but the first are tried, and all but the last.
        """
        if group not in self._starts:
            assert self.structure is not None
            units = torch.arange(self.structure.group(group).size)
            versions = [self.version({group: units == unit}) for unit in (0, len(units) - 1)]
            self._starts[group] = min(version.start for version in versions)
        return self._starts[group]

    @torch.inference_mode()
    def run(
        self,
        state: Mapping[Ref, Tensor],
        images: int,
        start: int = 0,
        end: int | None = None,
        version: Version | None = None,
    ) -> State:
        """Run the steps from `start` to before `end`.

        Args:
            state: the live tensors at `start`; not changed.
            images: that they are of.
            start, end: numbers of steps; None = to the last.
            version: whose steps; the whole network's if None.
        Returns:
            The tensors that are left: those live at `end`.
        """
        steps, values = (version.steps, version.values) if version else (self.steps, self.values)
        return run_steps(steps[start:end], values, state, images, self._last[start:end])

    def begin(self, x: Tensor) -> State:
        """What is live before the first step."""
        return {self.input: self._rewrite.laid_out(x)}

    def answer(self, state: Mapping[Ref, Tensor], images: int, start: int, version: Version) -> Tensor:
        """Outputs of a version from the whole network's live tensors at a step before its first change."""
        return self.run(state, images, start, version=version)[self.output]

    def _computed(
        self, tensors: Mapping[str, Tensor], fixed: Sequence[Step], changed: set[Ref] | None = None
    ) -> dict[Ref, Tensor]:
        """What does not depend on the images; of a version only what has changed is computed, and told."""
        values = dict(self.values) if changed is not None else dict(self._constants)
        values.update({ref: tensor for name, tensor in tensors.items() for ref in self._refs[name]})
        with torch.inference_mode():
            for number, step in enumerate(fixed):
                if changed is not None:
                    if step is self._fixed[number] and changed.isdisjoint(step.reads):
                        continue
                    changed.update(ref for ref in step.outputs if ref is not None)
                results = step.run(values.__getitem__, 0, values)
                values.update(
                    (ref, made) for ref, made in zip(step.outputs, results, strict=False) if ref is not None
                )
        return values

    def _resized(self, keep: Mapping[str, Tensor]) -> tuple[list[Step], list[Step]]:
        """Steps with the sizes that follow when only some units stay; the same objects where none changes."""
        assert self.structure is not None
        kept = [kept_labels(recorded.tracer, self.structure, keep) for recorded in self._recorded]
        args = [
            self._given(number, kept) if resizes(call) else own
            for number, (call, own) in enumerate(zip(self._recorded[0].calls, self._args, strict=True))
        ]
        return tuple(  # type: ignore[return-value]
            [own if new == own else new for new, own in zip(made, before, strict=True)]
            for made, before in zip(self._rewrite.steps(args), (self._fixed, self.steps), strict=True)
        )

    def _given(self, number: int, kept: Sequence[Kept] | None = None) -> tuple[Any, dict[str, Any]]:
        """Operation and arguments of a call, with sizes that grow as such."""
        (function, args), (twin, others) = (
            recorded.given(number, kept[place] if kept else None)
            for place, recorded in enumerate(self._recorded)
        )
        if function is not twin or args.keys() != others.keys():
            raise NotReplayable("an operation of it depends on the number of images")
        try:
            return function, {name: for_any_batch(value, others[name], _FEW) for name, value in args.items()}
        except ValueError as reason:
            raise NotReplayable(str(reason)) from None

    def _first_uses(self) -> dict[str, int]:
        """Parameter or buffer -> the first step that depends on it; only those that one depends on."""
        origin: dict[Ref, set[str]] = {ref: {name} for name, refs in self._refs.items() for ref in refs}
        for step in self._fixed:
            names = set().union(*(origin.get(ref, set()) for ref in step.reads))
            origin.update({ref: names for ref in step.outputs if ref is not None})
        first: dict[str, int] = {}
        for number, step in enumerate(self.steps):
            for ref in step.reads:
                for name in origin.get(ref, ()):
                    first.setdefault(name, number)
        return first


class _Recorded:
    """A recording with its calls that reach the output, and its labels once they are needed."""

    def __init__(self, module: nn.Module, x: Tensor, structure: Structure | None) -> None:
        self.recording: Recording = record(module, (x,))
        self._module, self._structure = module, structure
        if len(self.recording.outputs) != 1:
            raise NotReplayable("it does not return one tensor")
        pairs = zip(self.recording.calls, self.recording.needed, strict=True)
        self.calls: list[Call] = [call for call, needed in pairs if needed]
        if _decides_by_data(self.recording):
            raise NotReplayable("it decides by its data what to do")
        if any(call.aliases for call in self.calls):
            raise NotReplayable("an operation of it changes a tensor in place that others share")

    @cached_property
    def tracer(self) -> Tracer:
        assert self._structure is not None
        return trace(self._module, self.recording, self._structure.choices)

    def given(self, number: int, kept: Kept | None) -> tuple[Any, dict[str, Any]]:
        call = self.calls[number]
        return resized(self.tracer, call, kept) if kept else (call.function, call.args)


def _decides_by_data(recording: Recording) -> bool:
    """Whether a number, a truth or a shape is read off the images: for other images it may be another."""
    dynamic = set(recording.inputs)
    for call in recording.calls:
        if dynamic.isdisjoint(call.inputs):
            continue
        if {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & set(call.function.tags):
            return True
        dynamic.update(ref for ref in call.outputs if ref is not None)
    return False


def _done_with(steps: Sequence[Step], output: Ref) -> list[tuple[Ref, ...]]:
    """For each step the tensors that no later one reads, those that nobody reads at all included."""
    last = {ref: number for number, step in enumerate(steps) for ref in (*step.outputs, *step.reads) if ref}
    last[output] = len(steps)
    done: list[list[Ref]] = [[] for _ in steps]
    for ref, number in last.items():
        if number < len(steps):
            done[number].append(ref)
    return [tuple(refs) for refs in done]
