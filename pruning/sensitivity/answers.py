"""What pruned versions of a network answer, by the quickest way that its operations allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Literal

import torch
from torch import Tensor, nn

from pruning.blocks import put_skips, replace_modules
from pruning.evaluate import evaluating
from pruning.groups import Structure
from pruning.layers import duplicate
from pruning.masks import named_tensors, zero_units
from pruning.replay import NotReplayable, Stream
from pruning.replay.modules import Modules
from pruning.sensitivity.targets import Target
from pruning.shrink import shrink_masked

Way = Literal["operations", "modules"]
Wanted = Sequence[tuple[Target, Sequence[int]]]  # what to prune, and the numbers of units that stay

_PLAIN_BATCH = 256  # images of one forward where modules are run as they are
_TIE = 1e-5  # of an image's largest output: closer than this, rounding may decide which class wins
_TIE_GPU = 5e-3  # the same where products are rounded to TF32, to 11 bits


class Answers:
    """Outputs of one network with one target pruned at a time.

    Versions are run from their first changed operation on (`pruning.replay.Stream`). Where the operations
    cannot be recorded, they are run from the last module that is done before the change on. Two kinds of
    targets are run whole: blocks, and groups whose removal changes the statistics of norms, which are really
    removed. An image whose two best classes are closer than rounding is answered by the whole network with
    zeros in place, so that predictions do not depend on the way.

    Args:
        module: the whole network; never changed.
        structure: its groups; None where none is pruned.
        inputs: example inputs of its forward.
        x: (images, ...) some of the images to come.
        targets: what will be asked for.
    """

    def __init__(
        self,
        module: nn.Module,
        structure: Structure | None,
        inputs: Sequence[Tensor],
        x: Tensor,
        targets: Sequence[Target],
    ) -> None:
        self.module, self.structure, self.inputs = module, structure, tuple(inputs)
        self._dense = named_tensors(module)
        self._stream: Stream | None = None
        self.why = ""
        if any(map(_replayable, targets)):
            try:
                self._stream = Stream(module, structure, x)
            except NotReplayable as reason:
                self.why = str(reason)

    @cached_property
    def _working(self) -> nn.Module:
        """A copy to prune in place, where operations do not do."""
        with torch.inference_mode(False):  # wherever it is first needed
            return duplicate(self.module).eval()

    @cached_property
    def _tensors(self) -> dict[str, Tensor]:
        return named_tensors(self._working)

    @property
    def way(self) -> Way:
        """How versions are run; `why` says why not from operations."""
        return "modules" if self._stream is None else "operations"

    @property
    def images(self) -> int:
        """How many images fit into one pass."""
        return self._stream.images if self._stream else _PLAIN_BATCH

    def of(
        self, x: Tensor, wanted: Wanted, stopped: Callable[[], bool]
    ) -> Iterator[tuple[Target, int, Tensor]]:
        """Outputs of versions.

        Args:
            x: (images, ...), at most `images`.
            wanted: which.
            stopped: asked often; ends the pass.
        Yields:
            (target, how many of it stay, (images, classes)), those of one target one after the other.
        """
        quick = [(target, counts) for target, counts in wanted if self._stream and _replayable(target)]
        if quick:
            yield from self._quick(x, quick, stopped)
        rest = [(target, counts) for target, counts in wanted if not (self._stream and _replayable(target))]
        known = Modules(self._working, x) if any(_replayable(target) for target, _ in rest) else None
        for target, counts in rest:
            for kept in counts:
                if stopped():
                    return
                yield target, kept, self._slow(x, target, kept, known)

    def _quick(
        self, x: Tensor, wanted: Wanted, stopped: Callable[[], bool]
    ) -> Iterator[tuple[Target, int, Tensor]]:
        assert self._stream is not None
        changes = [[partial(target.change, kept) for kept in counts] for target, counts in wanted]
        program = self._stream.program
        starts = [
            program.start(groups=[target.key]) if target.group else program.start(names=target.tensors)
            for target, _ in wanted
        ]
        for place, number, outputs in self._stream.answers(x, changes, starts, stopped):
            target, kept = wanted[place][0], wanted[place][1][number]
            close = _undecided(outputs)
            if len(close):
                outputs = outputs.index_copy(0, close, self._whole(x[close], target, target.mask(kept)))
            yield target, kept, outputs

    @torch.inference_mode()
    def _slow(self, x: Tensor, target: Target, kept: int, known: Modules | None) -> Tensor:
        keep = target.mask(kept)
        if target.group and target.group.grade == "statistics":
            return run_whole(self._smaller(target, keep), x)
        if target.block or known is None:
            return self._whole(x, target, keep)
        changed = sorted({name.rpartition(".")[0] for name in target.tensors})
        with self._pruned(target, keep) as working, known.skipping(working, changed):
            return working(x)

    @torch.inference_mode()
    def _whole(self, x: Tensor, target: Target, keep: Tensor) -> Tensor:
        with self._pruned(target, keep) as working:
            return run_whole(working, x)

    @contextmanager
    def _pruned(self, target: Target, keep: Tensor) -> Iterator[nn.Module]:
        """The working copy with zeros, or without a block; whole again afterwards."""
        held = self._working.get_submodule(target.key) if target.block else None
        try:
            if target.block:
                put_skips(self._working, [target.block])
            else:
                with torch.no_grad():
                    target.put(self._tensors, keep)
            yield self._working
        finally:
            if held is not None:
                replace_modules(self._working, {self._working.get_submodule(target.key): held})
            with torch.no_grad():
                for name in target.tensors:
                    self._tensors[name].copy_(self._dense[name])

    def _smaller(self, target: Target, keep: Tensor) -> nn.Module:
        """Really smaller, because its norms then average over other entries than a masked network's."""
        assert self.structure is not None
        assert target.group is not None
        # Its check against the masked network needs to see each operation, which inference mode hides.
        with torch.inference_mode(False), torch.no_grad():
            masked = duplicate(self.module)
            zero_units(named_tensors(masked), target.group, keep)
            return shrink_masked(masked, self.structure, {target.group.id: keep}, self.inputs).eval()


def _replayable(target: Target) -> bool:
    return target.block is None and not (target.group and target.group.grade == "statistics")


def run_whole(module: nn.Module, x: Tensor) -> Tensor:
    """Outputs (images, classes) of a network in eval mode, in pieces of a usual size."""
    with evaluating(module):
        return torch.cat([module(piece) for piece in x.split(_PLAIN_BATCH)])


def _undecided(outputs: Tensor) -> Tensor:
    """Indices of images whose best two classes are within rounding of each other."""
    if outputs.shape[1] < 2:
        return torch.empty(0, dtype=torch.long)
    tie = _TIE if outputs.device.type == "cpu" else _TIE_GPU
    near = outputs.amax(1, keepdim=True) - tie * outputs.abs().amax(1, keepdim=True)
    return ((outputs >= near).sum(1) > 1).nonzero().flatten()
