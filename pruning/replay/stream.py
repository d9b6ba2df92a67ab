"""Many versions of one network in a single pass: what comes before each change is computed once for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from pruning.groups import Structure
from pruning.held import keep_freed_memory
from pruning.replay.check import check_answers
from pruning.replay.footprint import measure_footprint
from pruning.replay.program import Program, Version
from pruning.replay.steps import NotReplayable
from pruning.replay.workers import workers

BUDGET = 96 * 2**20  # bytes of live tensors of the whole network, for all images of a pass


@dataclass(frozen=True)
class Change:
    """What one version loses, or has in place of its own; see `Program.version`.

    Args:
        keep: group id -> (size,) bool, True = keep.
        masks: name of a parameter -> bool of its shape, True = keep.
        given: name of a parameter -> of its shape and dtype.
    """

    keep: Mapping[str, Tensor] = field(default_factory=dict)
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    given: Mapping[str, Tensor] = field(default_factory=dict)


class Stream:
    """Answers of many versions. The whole network is walked once, and what is live at a change is shared by
    all versions that change there.

    Args:
        module: the whole network, never changed.
        structure: its groups; None if no units will go.
        x: (images, ...) some images, to try its operations on.
        budget: bytes of live tensors of the whole network at most.
    Raises:
        NotReplayable: if the recorded operations do not answer like the network.
    """

    def __init__(
        self, module: nn.Module, structure: Structure | None, x: Tensor, *, budget: int = BUDGET
    ) -> None:
        keep_freed_memory()
        try:
            self.program = Program(module, x, structure)
        except ValueError as error:
            raise NotReplayable(str(error)) from error
        check_answers(self.program, module, [x])
        self.footprint = measure_footprint(self.program, x)
        self.images = max(1, budget // max(self.footprint.live))  # in one pass

    @torch.inference_mode()
    def answers(
        self,
        x: Tensor,
        changes: Sequence[Sequence[Callable[[], Change]]],
        starts: Sequence[int],
        stopped: Callable[[], bool],
    ) -> Iterator[tuple[int, int, Tensor]]:
        """Outputs of every version, those of one place in the network after the other.

        Args:
            x: (images, ...), at most `images`.
            changes: for each place what makes each of its versions; those of one place are held at a time.
            starts: for each place the first step that they touch.
            stopped: asked between two runs; ends the pass.
        Yields:
            (place, version, (images, classes)).
        """
        with workers(x.device) as pool:
            count = max(-(-len(x) // self.footprint.images), min(pool.count, len(x)))
            chunks = [_Chunk(self.program, images) for images in torch.tensor_split(x, count)]
            for place in sorted(range(len(changes)), key=lambda place: starts[place]):
                versions = list(pool.map(self._version, changes[place]))
                begin = min([starts[place], *(version.start for version in versions)])
                run = partial(_Chunk.answers, versions=versions, begin=begin, stopped=stopped)
                found = list(pool.map(run, chunks))
                if stopped():
                    return
                for number in range(len(versions)):
                    yield place, number, torch.cat([outputs[number] for outputs in found])

    def _version(self, make: Callable[[], Change]) -> Version:
        change = make()
        return self.program.version(change.keep, change.masks, change.given)


class _Chunk:
    """Some images, and the tensors of the whole network that live at one step on them."""

    def __init__(self, program: Program, images: Tensor) -> None:
        self.program, self.images = program, images
        self.state, self.at = program.begin(images), 0

    def answers(self, versions: Sequence[Version], begin: int, stopped: Callable[[], bool]) -> list[Tensor]:
        """Outputs of versions that change at step `begin` or later; too few if it was stopped."""
        if begin < self.at:  # a size changes before the first parameter does
            self.state, self.at = self.program.begin(self.images), 0
        self.state, self.at = self.program.run(self.state, len(self.images), self.at, begin), begin
        found = []
        for version in versions:
            if stopped():
                break
            found.append(self.program.answer(self.state, len(self.images), begin, version))
        return found
