"""Changed versions of one network on known batches, each run from what it changes against the one before."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pruning.evaluate import Batch
from pruning.groups import Structure
from pruning.held import held_bytes
from pruning.replay.check import check_answers
from pruning.replay.cuts import choose_cuts
from pruning.replay.footprint import measure_footprint
from pruning.replay.program import Program, Version
from pruning.replay.steps import NotReplayable, State

BUDGET = 512_000_000  # bytes of kept activations
Mark = tuple[int, str, bytes]  # the first step that a change touches, its key, a digest of what it is


class Replay:
    """Makes networks that answer on known batches as changed versions would. May be shared by threads.

    While a network runs, what is live at a few cuts is kept. The next one starts at the last cut before which
    it changes nothing against what was kept there: whoever moves one slider waits for what comes behind it.

    Args:
        module: the whole network, never changed.
        structure: its groups; None if no units will go.
        batches: what will be measured, its images on the network's device.
        budget: bytes of activations to keep at most.
    Raises:
        NotReplayable: if the recorded operations do not answer like the network.
    """

    def __init__(
        self,
        module: nn.Module,
        structure: Structure | None,
        batches: Sequence[Batch],
        *,
        budget: int = BUDGET,
    ) -> None:
        self.structure = structure
        self._known = {id(x): x for x, _ in batches}  # held, so that their ids stay theirs
        first = batches[0][0]
        try:
            self.program = Program(module, first, structure)
        except ValueError as error:
            raise NotReplayable(str(error)) from error
        check_answers(self.program, module, [first, batches[-1][0]])
        footprint = measure_footprint(self.program, first)
        images, starts = sum(map(len, self._known.values())), set(self.program.first.values())
        sizes = {step: footprint.live[step] * images for step in starts}
        self.cuts = choose_cuts(sorted(starts), footprint.seconds, sizes, budget)
        # (id of a batch, step) -> what was changed before it, and the tensors that live there
        self._kept: dict[tuple[int, int], tuple[tuple[Mark, ...], State]] = {}
        self._lock = threading.Lock()

    @property
    def kept_bytes(self) -> int:
        """Memory of the activations that are kept now, what they share counted once."""
        with self._lock:
            return held_bytes(tensor for _, state in self._kept.values() for tensor in state.values())

    def network(
        self,
        keep: Mapping[str, Tensor],
        weights: Mapping[str, Tensor] | None = None,
        given: Mapping[str, Tensor] | None = None,
    ) -> nn.Module:
        """A network that answers, on the known batches alone, as the changed one does.

        Args:
            keep: group id -> (size,) bool, True = keep; groups of grade "exact".
            weights: layer name -> bool of the shape of its dense weight, True = keep.
            given: name of a parameter -> of its shape and dtype, in place of its own.
        """
        masks = {f"{layer}.weight" if layer else "weight": mask for layer, mask in (weights or {}).items()}
        changed = {**masks, **(given or {})}
        marks = [(self.program.start(groups=[key]), key, _digest(mask)) for key, mask in keep.items()]
        marks += [(self.program.start(names=[name]), name, _digest(value)) for name, value in changed.items()]
        return _Network(self, self.program.version(keep, masks, given), tuple(sorted(marks)))

    def answer(self, x: Tensor, version: Version, marks: Sequence[Mark]) -> Tensor:
        """Outputs of a version on a known batch, from the last cut on before which nothing differs from what
        was run there last.

        Args:
            marks: what the version changes, by the first step that it touches.
        """
        if id(x) not in self._known:
            raise ValueError("This network answers on its own batches alone; build the smaller one instead.")
        at, state = 0, self.program.begin(x)
        for cut in reversed(self.cuts):
            before, kept = self._kept.get((id(x), cut), (None, state))
            if before == _until(marks, cut):
                at, state = cut, kept
                break
        for cut in (cut for cut in self.cuts if cut > at):
            state, at = self.program.run(state, len(x), at, cut, version), cut
            with self._lock:
                self._kept[id(x), cut] = _until(marks, cut), state
        return self.program.answer(state, len(x), at, version)


def _digest(tensor: Tensor) -> bytes:
    """Names a tensor by its bytes."""
    flat = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
    return hashlib.blake2b(flat.numpy().tobytes(), digest_size=16).digest()


def _until(marks: Sequence[Mark], cut: int) -> tuple[Mark, ...]:
    """What is changed before a cut: all that its live tensors depend on."""
    return tuple(mark for mark in marks if mark[0] < cut)


class _Network(nn.Module):
    """One version; it knows only the batches of its replay."""

    def __init__(self, replay: Replay, version: Version, marks: Sequence[Mark]) -> None:
        super().__init__()
        self._replay, self._pruned, self._marks = replay, version, marks

    @torch.inference_mode()
    def forward(self, x: Tensor) -> Tensor:
        return self._replay.answer(x, self._pruned, self._marks)
