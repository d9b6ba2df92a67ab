"""Operations that are ready to be called, from anywhere in a forward pass, with any number of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

from pruning.groups.batch import Grows
from pruning.groups.record import Ref

State = dict[Ref, Tensor]


class NotReplayable(Exception):
    """The recorded operations cannot stand for the network; in words, as the end of "because ..."."""


@dataclass(frozen=True)
class InPlace:
    """A cheaper way to do a step, allowed where nobody else needs the tensor that it overwrites."""

    function: Callable[..., Any]
    values: tuple[Any, ...]
    overwrites: Ref


@dataclass(frozen=True)
class Step:
    """One operation: values in the order of its arguments, tensors as Refs.

    Args:
        function: what is called.
        values: first those given by place, then as many as `names` has by name.
        names: of the last values.
        outputs: one Ref per result, None for what nobody reads.
        in_place: another way to get the same result, see there.
    """

    function: Callable[..., Any]
    values: tuple[Any, ...]
    names: tuple[str, ...]
    outputs: tuple[Ref | None, ...]
    in_place: InPlace | None = None

    @cached_property
    def reads(self) -> frozenset[Ref]:
        """The tensors among its values, those inside lists too."""
        return frozenset(leaf for leaf in tree_leaves(list(self.values)) if isinstance(leaf, Ref))

    @cached_property
    def grows(self) -> bool:
        """Whether a size among its values depends on the number of images."""
        return any(isinstance(leaf, Grows) for leaf in tree_leaves(list(self.values)))

    def run(self, get: Callable[[Ref], Tensor], images: int, shared: Mapping[Ref, Tensor]) -> Sequence[Any]:
        """Its results, one per output.

        Args:
            get: the tensor of a Ref.
            images: of this run.
            shared: tensors that must stay as they are.
        """
        cheap = self.in_place
        if cheap is not None and cheap.overwrites not in shared:
            return (cheap.function(*(_filled(value, get, images) for value in cheap.values)),)
        values = [_filled(value, get, images) for value in self.values]
        cut = len(values) - len(self.names)
        result = self.function(*values[:cut], **dict(zip(self.names, values[cut:], strict=True)))
        return result if isinstance(result, (list, tuple)) else (result,)


def run_steps(
    steps: Sequence[Step],
    values: Mapping[Ref, Tensor],
    state: Mapping[Ref, Tensor],
    images: int,
    done_with: Sequence[Sequence[Ref]],
) -> State:
    """Run steps one after the other, letting go of each tensor after its last use.

    Args:
        steps: to run.
        values: what does not depend on the images: parameters, buffers, constants and what follows of them.
        state: tensors at the beginning; not changed.
        images: in this run.
        done_with: for each step the tensors that no later step reads.
    Returns:
        The tensors that are left.
    """
    held = dict(state)

    def get(ref: Ref) -> Tensor:
        found = held.get(ref)
        return values[ref] if found is None else found

    for step, done in zip(steps, done_with, strict=True):
        results = step.run(get, images, state)
        for ref, made in zip(step.outputs, results, strict=False):
            if ref is not None:
                held[ref] = made
        for ref in done:
            held.pop(ref, None)
    return held


def _filled(value: Any, get: Callable[[Ref], Tensor], images: int) -> Any:
    if isinstance(value, Ref):
        return get(value)
    if isinstance(value, Grows):
        return value.at(images)
    if isinstance(value, (list, tuple)):
        return [_filled(item, get, images) for item in value]
    return value
