"""Pruned versions of one network on known batches, each run from its first change on."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pruning.evaluate import Batch
from pruning.groups import Structure
from pruning.replay.check import check_answers
from pruning.replay.cuts import choose_cuts
from pruning.replay.footprint import measure_footprint
from pruning.replay.program import Program, Version
from pruning.replay.steps import NotReplayable, State

BUDGET = 512 * 2**20  # bytes of kept activations


class Replay:
    """Makes networks that answer on known batches as pruned versions would. May be shared by threads.

    Args:
        module: the whole network, never changed.
        structure: its groups.
        batches: what will be measured.
        budget: bytes of activations to keep at most.
    Raises:
        NotReplayable: if the recorded operations do not answer like the network.
    """

    def __init__(
        self, module: nn.Module, structure: Structure, batches: Sequence[Batch], *, budget: int = BUDGET
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
        self._kept: dict[tuple[int, int], State] = {}  # (id of a batch, step) -> live tensors
        self._lock = threading.Lock()

    @property
    def kept_bytes(self) -> int:
        """Memory of the activations that are kept now, what they share counted once."""
        with self._lock:
            tensors = [tensor for state in self._kept.values() for tensor in state.values()]
        storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
        return sum(storages.values())

    def network(self, keep: Mapping[str, Tensor], weights: Mapping[str, Tensor] | None = None) -> nn.Module:
        """A network that answers, on the known batches alone, as the pruned one does.

        Args:
            keep: group id -> (size,) bool, True = keep; groups of grade "exact".
            weights: layer name -> bool of the shape of its dense weight, True = keep.
        """
        masks = {f"{layer}.weight" if layer else "weight": mask for layer, mask in (weights or {}).items()}
        return _Network(self, self.program.version(keep, masks))

    def answer(self, x: Tensor, version: Version) -> Tensor:
        """Outputs of a version on a known batch."""
        cut = max((cut for cut in self.cuts if cut <= version.start), default=0)
        state = self.program.run(self._state(x, cut), len(x), cut, version.start)
        return self.program.answer(state, len(x), version.start, version)

    def _state(self, x: Tensor, cut: int) -> State:
        """What is live at a cut, made at first use from the cut before."""
        if id(x) not in self._known:
            raise ValueError("This network answers on its own batches alone; build the smaller one instead.")
        if cut == 0:
            return self.program.begin(x)
        found = self._kept.get((id(x), cut))
        if found is None:
            before = max((other for other in self.cuts if other < cut), default=0)
            found = self.program.run(self._state(x, before), len(x), before, cut)
            with self._lock:
                self._kept[id(x), cut] = found
        return found


class _Network(nn.Module):
    """One version; it knows only the batches of its replay."""

    def __init__(self, replay: Replay, version: Version) -> None:
        super().__init__()
        self._replay, self._pruned = replay, version

    @torch.inference_mode()
    def forward(self, x: Tensor) -> Tensor:
        return self._replay.answer(x, self._pruned)
