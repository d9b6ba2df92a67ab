"""Pruned versions of one network on fixed batches, each run from its first change on."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pruning.evaluate import Batch, evaluating
from pruning.groups import Structure
from pruning.masks import cut, survivors
from pruning.replay.cuts import choose_cuts
from pruning.replay.program import NotReplayable, Program, State, Step

if TYPE_CHECKING:
    from pruning.groups.record import Ref

BUDGET = 512 * 2**20  # bytes of kept activations
_ALIKE = 1e-4  # of the largest output; the same operations on the same numbers differ by rounding at most


class Replay:
    """Makes networks that answer on known batches as pruned versions would.

    Args:
        module: the whole network, never changed.
        structure: its groups.
        batches: what will be measured; all but the last of one size.
        budget: bytes of activations to keep at most.
    Raises:
        NotReplayable: if the recorded operations do not answer like the network.
    """

    def __init__(
        self, module: nn.Module, structure: Structure, batches: Sequence[Batch], *, budget: int = BUDGET
    ) -> None:
        self.structure = structure
        self._size = max(len(x) for x, _ in batches)
        self._inputs = {id(x): self._padded(x) for x, _ in batches}
        self._known = [x for x, _ in batches]  # their ids stay theirs
        try:
            self.program = Program(module, self._known[0], structure)
        except ValueError as error:
            raise NotReplayable(str(error)) from error
        self._kept: dict[tuple[int, int], State] = {}  # (id of a batch, step) -> live tensors
        self._check(module)
        self.cuts, self.kept_bytes = self._cuts(budget)

    def network(self, keep: Mapping[str, Tensor], weights: Mapping[str, Tensor] | None = None) -> nn.Module:
        """A network that answers, on the known batches alone, as the pruned one does.

        Args:
            keep: group id -> (size,) bool, True = keep; groups of grade "exact".
            weights: layer name -> bool of the shape of its dense weight, True = keep.
        """
        masks = {f"{layer}.weight" if layer else "weight": mask for layer, mask in (weights or {}).items()}
        changed = {m.parameter for name in keep for m in self.structure.group(name).members} | masks.keys()
        first = [self.program.first[name] for name in changed if name in self.program.first]
        tensors = dict(self.program.tensors)
        for name, mask in masks.items():
            tensors[name] = tensors[name].detach() * mask
        tensors.update(self._sliced(tensors, keep))
        steps = self.program.resized(keep) if keep else self.program.steps
        return _Version(self, min(first, default=len(steps)), steps, tensors)

    def answer(self, x: Tensor, start: int, steps: Sequence[Step], tensors: Mapping[str, Tensor]) -> Tensor:
        """Outputs on a known batch of a version that changes at step `start`."""
        cut = max((cut for cut in self.cuts if cut <= start), default=0)
        state = self.program.run(self._state(x, cut), cut, start)
        state = self.program.run(state, start, steps=steps, tensors=tensors)
        return state[self.program.output][: len(x)]

    def _state(self, x: Tensor, cut: int) -> State:
        """What is live at a cut, made at first use from the cut before."""
        if cut == 0:
            return {self.program.input: self._inputs[id(x)]}
        key = (id(x), cut)
        if key not in self._kept:
            before = max((other for other in self.cuts if other < cut), default=0)
            self._kept[key] = self.program.run(self._state(x, before), before, cut)
        return self._kept[key]

    @torch.inference_mode()
    def _sliced(self, tensors: Mapping[str, Tensor], keep: Mapping[str, Tensor]) -> dict[str, Tensor]:
        dims = survivors(self.structure, keep)
        return {name: cut(tensors[name].detach(), stays) for name, stays in dims.items()}

    def _padded(self, x: Tensor) -> Tensor:
        """The last batch as long as the others: sizes are written into the operations."""
        missing = self._size - len(x)
        return torch.cat([x, x[-1:].expand(missing, *x.shape[1:])]) if missing else x

    @torch.inference_mode()
    def _check(self, module: nn.Module) -> None:
        """The first and the last batch, through the network and through its operations."""
        for x in (self._known[0], self._known[-1]):
            with evaluating(module):
                expected = module(x)
            state = self.program.run({self.program.input: self._inputs[id(x)]})
            got = state[self.program.output][: len(x)]
            largest = float(expected.abs().max())
            if expected.shape != got.shape or not torch.allclose(
                expected, got, rtol=0, atol=_ALIKE * largest
            ):
                raise NotReplayable("the recorded operations answer otherwise than the network")

    @torch.inference_mode()
    def _cuts(self, budget: int) -> tuple[tuple[int, ...], int]:
        """Steps to keep, by the time and the memory that one batch takes."""
        starts = sorted(set(self.program.first.values()))
        state: State = {self.program.input: self._inputs[id(self._known[0])]}
        seconds, sizes, total, begin = [0.0] * (len(self.program.steps) + 1), {}, 0.0, time.perf_counter()
        for number in range(len(self.program.steps)):
            if number in starts:
                sizes[number] = _bytes(state) * len(self._known)
            begin = time.perf_counter()
            state = self.program.run(state, number, number + 1)
            total += time.perf_counter() - begin
            seconds[number + 1] = total
        cuts = choose_cuts(starts, seconds, sizes, budget)
        return cuts, sum(sizes[cut] for cut in cuts)


class _Version(nn.Module):
    """One pruned version; it knows only the batches of its replay."""

    def __init__(
        self, replay: Replay, start: int, steps: Sequence[Step], tensors: Mapping[str, Tensor]
    ) -> None:
        super().__init__()
        self._replay, self._start, self._steps, self._values = replay, start, steps, tensors

    def forward(self, x: Tensor) -> Tensor:
        return self._replay.answer(x, self._start, self._steps, self._values)


def _bytes(state: Mapping[Ref, Tensor]) -> int:
    """Memory of tensors, what they share counted once."""
    return sum(
        {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in state.values()}.values()
    )
