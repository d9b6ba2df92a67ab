"""Accuracy of a recipe while it is being edited: built fast, refined batch by batch, remembered."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from pruning.blocks import BlockStructure, find_blocks, without_blocks
from pruning.device import device_of
from pruning.evaluate import Report, evaluating, measure, split_batches
from pruning.groups import Structure, find_structure
from pruning.masks import apply_masks
from pruning.plan import Plan, make_plan
from pruning.recipe import Recipe
from pruning.replay import BUDGET, NotReplayable, Replay
from pruning.shrink import shrink, slice_module

if TYPE_CHECKING:
    from pruning.tasks import Task

Way = Literal["slice", "shrink", "mask"]


class LiveEvaluator:
    """Measures recipes of one network on one split; may be shared by threads.

    The images are kept normalised in memory, and the last results by recipe, so that going back to a recipe
    costs nothing. Channels are really removed, which makes the measurement faster the more is pruned, and a
    recipe is run from the first operation on that it changes against the one before (`pruning.replay`). Where
    a network does not allow that, or blocks are dropped, or statistics change, the whole smaller one is run.

    Args:
        module: the dense network; never changed, and not to be changed by others meanwhile.
        task: the data.
        example_inputs: of the network's forward.
        structure: of the network; found if None.
        split: what to measure on; editing is tuning, so the test split is refused.
        limit: measure only the first `limit` images.
        batch_size: images from one report to the next.
        remember: how many recipes' results are kept.
        budget: bytes of activations to keep at most.
    Raises:
        ValueError: if the split is test data or empty, or a number is not positive.
    """

    def __init__(
        self,
        module: nn.Module,
        task: Task,
        example_inputs: Sequence[Tensor],
        *,
        structure: Structure | None = None,
        split: str = "validation",
        limit: int | None = None,
        batch_size: int = 96,
        remember: int = 64,
        budget: int = BUDGET,
    ) -> None:
        if split == "test":
            raise ValueError("Test data is for final results only; edit on validation data.")
        self.total, batches = split_batches(task, split, batch_size=batch_size, limit=limit)
        device = device_of(module)  # where the images wait, too
        self._batches = tuple((x.to(device), y) for x, y in batches)
        self._module, self._task, self._inputs = module, task, tuple(example_inputs)
        self._structure = structure or find_structure(module, self._inputs)
        self._split, self._remember = split, remember
        self._blocks: BlockStructure | None = None  # found once they are needed
        self._dense: Report | None = None
        self._dense_walk = measure(module, self._batches, self.total, split)
        self._known: OrderedDict[str, Report] = OrderedDict()
        self._lock = threading.Lock()
        self._ways: dict[frozenset[str], Way] = {}  # groups that lose units -> how they go
        self.budget = budget  # what the activations kept may take
        self._replay_lock = threading.Lock()

    @cached_property
    def _replay(self) -> Replay | NotReplayable:
        """What runs recipes from their first change on, or why that cannot be."""
        try:
            return Replay(self._module, self._structure, self._batches, budget=self.budget)
        except NotReplayable as reason:
            return reason

    @property
    def replay(self) -> Replay | NotReplayable:
        """As above, made by the first thread that asks."""
        with self._replay_lock:
            return self._replay

    @property
    def kept_bytes(self) -> int:
        """Memory of the activations kept now."""
        found = self.__dict__.get("_replay")
        return found.kept_bytes if isinstance(found, Replay) else 0

    @property
    def dense(self) -> Report:
        """The network as it is, on all images; measured at first use."""
        *_, report = self.dense_reports()
        return report

    def dense_reports(self) -> Iterator[Report]:
        """Measure the network as it is, yielding a report after every batch, until the one on all images.

        It is measured once for all callers: each goes on where another stopped.
        """
        while True:
            with self._lock:
                if self.known_dense is None:
                    self._dense = next(self._dense_walk)
                report = self._dense
            assert report is not None
            yield report
            if report.complete:
                return

    @property
    def known_dense(self) -> Report | None:
        """The network as it is, on all images, if it was measured already."""
        return self._dense if self._dense is not None and self._dense.complete else None

    def known(self, recipe: Recipe) -> Report | None:
        """The finished report of a recipe, if it is remembered."""
        with self._lock:
            if recipe.digest in self._known:
                self._known.move_to_end(recipe.digest)
            return self._known.get(recipe.digest)

    def reports(self, recipe: Recipe, scores: Mapping[str, Tensor] | None = None) -> Iterator[Report]:
        """Measure a recipe, yielding a report after every batch; only the last one is remembered.

        A caller that has something better to do stops iterating: nothing is left to be cleaned up.

        Args:
            recipe: of this network.
            scores: as `make_plan` takes them; computed if None.
        Raises:
            ValueError: as `make_plan`.
        """
        found = self.known(recipe)
        if found is None:
            plan = self._plan(recipe, scores)
            if all(entry.kept == entry.size for entry in plan.entries):
                found = self.dense
        if found is not None:
            yield found
            return
        for report in measure(self.network(plan), self._batches, self.total, self._split):
            if report.complete:
                self._keep(recipe, report)
            yield report

    def network(self, plan: Plan) -> nn.Module:
        """What answers on this evaluator's images like the pruned network, in the quickest way there is.

        Raises:
            ValueError: as `build`.
        """
        replay = None if plan.blocks or plan.grade == "statistics" else self.replay
        if not isinstance(replay, Replay):
            return self.build(plan)
        return replay.network(plan.channels, plan.weights)

    def build(self, plan: Plan) -> nn.Module:
        """The pruned network: smaller where channels go, with zeros where single weights go.

        The first one in which these groups lose units is built by `shrink` and so checked against the masked
        network. If cutting alone gives the same answers, later ones are cut without a check, which takes a
        third of the time: a network to be handed out is built by `shrink`. Should shrinking fail, masked
        networks are measured, whose accuracy is the same where the plan's grade is "exact".

        Raises:
            ValueError: if shrinking fails for a plan of grade "statistics".
        """
        if not plan.channels:  # dropped blocks are gone there too
            return apply_masks(self._module, plan)
        losing = frozenset(key for key, keep in plan.channels.items() if not bool(keep.all()))
        way = self._ways.get(losing)
        if way in (None, "shrink"):
            try:
                small = shrink(self._module, plan, self._inputs)
            except ValueError:
                if plan.grade == "statistics":
                    raise
                way = self._ways[losing] = "mask"
            else:
                same = way is None and self._answers_alike(small, self._cut(plan))
                self._ways[losing] = "slice" if same else "shrink"
                return small
        return self._cut(plan) if way == "slice" else apply_masks(self._module, plan)

    def _cut(self, plan: Plan) -> nn.Module:
        masked = plan.weights or plan.blocks
        dense = apply_masks(self._module, plan) if masked else self._module
        return slice_module(dense, without_blocks(plan.structure, plan.blocks), plan.channels)

    @torch.no_grad()
    def _answers_alike(self, checked: nn.Module, cut: nn.Module) -> bool:
        try:
            with evaluating(cut):
                return torch.equal(checked(*self._inputs), cut(*self._inputs))
        except (RuntimeError, ValueError, TypeError, IndexError):
            return False

    def _plan(self, recipe: Recipe, scores: Mapping[str, Tensor] | None) -> Plan:
        if self._blocks is None and any(rule.granularity == "layer" for rule in recipe.rules.values()):
            self._blocks = find_blocks(self._module, self._inputs, self._structure)
        return make_plan(
            self._module,
            recipe,
            example_inputs=self._inputs,
            task=self._task,
            structure=self._structure,
            scores=scores,
            blocks=self._blocks,
        )

    def _keep(self, recipe: Recipe, report: Report) -> None:
        with self._lock:
            self._known[recipe.digest] = report
            self._known.move_to_end(recipe.digest)
            while len(self._known) > self._remember:
                self._known.popitem(last=False)
