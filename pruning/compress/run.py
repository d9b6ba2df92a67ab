"""One compression, stage after stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pruning.clustering import Tied
from pruning.coding import Coding
from pruning.compress.begin import Begun
from pruning.compress.settings import Compression, Sharing
from pruning.compress.stages import INDEXED, PLAIN, Stage, dense_stage, stage_of
from pruning.compress.weights import constraint, shared
from pruning.evaluate import Report, evaluate
from pruning.groups import find_structure
from pruning.lowrank import low_rank
from pruning.plan import Plan, make_plan
from pruning.recipe import Recipe
from pruning.recover import Epoch, Recovered, recover
from pruning.recover.held import Constraint, Held, Together, masks_when_small
from pruning.recover.run import Stop
from pruning.tasks import Task

Centroids = Mapping[str, Tensor]


@dataclass(frozen=True)
class Compressed:
    """What a compression comes to.

    Args:
        module: in eval mode; `file` is this network, bit for bit.
        plan: what was pruned, of the network after `low_rank`.
        recipe: the same as decided.
        stages: those that were done, the dense network first.
        file: a .prz, read by `load_checkpoint`.
        centroids: of each epoch of the last training, where clusters were trained: layer -> (k,).
        stopped: whether it was asked to stop, so that trainings were cut short.
    """

    module: nn.Module
    plan: Plan
    recipe: Recipe
    stages: tuple[Stage, ...]
    file: bytes
    centroids: tuple[Centroids, ...] = ()
    stopped: bool = False

    @property
    def ratio(self) -> float:
        """Bytes of the dense network's tensors over those of the file."""
        return self.stages[0].size.weights / len(self.file)


def compress(
    module: nn.Module,
    task: Task,
    settings: Compression,
    *,
    example_inputs: Sequence[Any],
    folder: str | Path | None = None,
    on_stage: Callable[[Stage], None] | None = None,
    on_epoch: Callable[[str, Epoch], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
    stop: Stop | None = None,
    begin: Begun | None = None,
) -> Compressed:
    """Compress a network, each stage on what the one before has made.

    The dense network teaches both trainings, where their settings ask for a teacher. Validation images choose
    epochs and are measured on; test images are not looked at.

    Args:
        module: the network, never changed.
        task: its data.
        settings: every decision.
        example_inputs: positional arguments of its forward.
        folder: where the state of the first training is kept after each epoch; the same compression goes on
            there.
        on_stage: called with each stage that is done.
        on_epoch: called with the name of the stage in training ("pruned" or "tuned") and each epoch.
        on_step: called before each step of a training with the steps done and to do, of that training.
        stop: ends trainings at the next step; the stages after them are still done.
        begin: the network as it was pruned before, in place of pruning it.
    Raises:
        ValueError: settings that do not fit the network, or that prune what is pruned already.
    Source: Han et al. 2015, arXiv:1510.00149.
    """
    if begin is not None and (settings.prune is not None or settings.low_rank is not None):
        raise ValueError("The network is pruned already; leave prune and low_rank out of the settings.")
    run = _Run(module, task, settings, tuple(example_inputs), on_stage, on_epoch)
    run.low_rank()
    if begin is not None:
        run.go_on(begin)
    run.prune(None if folder is None else Path(folder), on_step, stop)
    run.share()
    run.tune(on_step, stop)
    return run.coded(stop)


@dataclass
class _Run:
    dense: nn.Module
    task: Task
    settings: Compression
    inputs: tuple[Any, ...]
    on_stage: Callable[[Stage], None] | None
    on_epoch: Callable[[str, Epoch], None] | None
    stages: list[Stage] = field(default_factory=list)
    centroids: list[Centroids] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.recipe = self.settings.prune.recipe if self.settings.prune else Recipe()
        self.module = self.dense
        self.exact = self.dense  # before weights were shared
        self.plan: Plan | None = None
        self._tell(dense_stage(self.dense, self._measure))

    def low_rank(self) -> None:
        """Factorise."""
        wanted = self.settings.low_rank
        if wanted is not None:
            self.module = low_rank(self.module, wanted, example_inputs=self.inputs, task=self.task)
            self._done("low-rank", PLAIN)

    def prune(
        self, folder: Path | None, on_step: Callable[[int, int], None] | None, stop: Stop | None
    ) -> None:
        """Prune and recover."""
        wanted = self.settings.prune
        if wanted is None:
            return
        teacher = self.dense if self.module is not self.dense else None
        found = self._train(
            "pruned", wanted, on_step, stop, teacher=teacher, folder=None if teacher is not None else folder
        )
        self.module, self.plan = found.module, found.plan
        self._done("pruned", PLAIN, found.recovered)

    def go_on(self, begin: Begun) -> None:
        """Take over a network that is pruned."""
        self.module, self.plan, self.recipe = begin.module, begin.plan, begin.recipe
        self._done("pruned", PLAIN)

    def share(self) -> None:
        """Give weights few values."""
        if self._sharing is not None:
            self.exact = self.module
            self.module = shared(self.module, self._sharing)
            self._done("shared", INDEXED)

    def tune(self, on_step: Callable[[int, int], None] | None, stop: Stop | None) -> None:
        """Train what is shared."""
        wanted, sharing = self.settings.tune, self._sharing
        if wanted is None or sharing is None:
            return
        if sharing.method != "cluster":
            self.module = self.exact  # trained straight through; rounded twice, more would be lost
        masks = masks_when_small(self.module, self._plan) if self.plan else {}
        made: list[Constraint] = []

        def constrain(module: nn.Module) -> Constraint:
            made.append(constraint(sharing)(module))
            return Together([Held(module, masks), made[-1]])

        def keep(epoch: Epoch) -> None:
            if isinstance(made[-1], Tied):
                self.centroids.append({name: value.cpu() for name, value in made[-1].centroids().items()})

        found = self._train(
            "tuned", wanted, on_step, stop, teacher=self.dense, constrain=constrain, keep=keep
        )
        self.module = found.module
        self._done("tuned", INDEXED, found.recovered)

    def coded(self, stop: Stop | None) -> Compressed:
        """Write the file."""
        self._done("coded", self.settings.packing.coding, self.stages[-1].report)
        return Compressed(
            module=self.module,
            plan=self._plan,
            recipe=self.recipe,
            stages=tuple(self.stages),
            file=self.stages[-1].file,
            centroids=tuple(self.centroids),
            stopped=stop is not None and stop.is_set(),
        )

    @property
    def _sharing(self) -> Sharing | None:
        """As decided, but for layers that have been pruned away as a whole."""
        wanted = self.settings.share
        if wanted is None:
            return None
        before = self._plan.structure.shapes
        if unknown := [name for name in wanted.bits if f"{name}.weight" not in before]:
            raise ValueError(f"The network has no layer {unknown[0]!r} with weights to share; leave it out.")
        there = {name for name, _ in self.module.named_modules()}
        bits = {name: asked for name, asked in wanted.bits.items() if name in there}
        return wanted.model_copy(update={"bits": bits})

    @property
    def _plan(self) -> Plan:
        """What was pruned; without pruning, a plan that keeps everything."""
        if self.plan is None:
            structure = find_structure(self.module, self.inputs, self.recipe.choices)
            empty = Recipe(model=self.recipe.model)
            self.plan = make_plan(self.module, empty, example_inputs=self.inputs, structure=structure)
        return self.plan

    def _train(
        self,
        stage: str,
        wanted: Any,
        on_step: Callable[[int, int], None] | None,
        stop: Stop | None,
        *,
        keep: Callable[[Epoch], None] | None = None,
        **options: Any,
    ) -> Recovered:
        def told(epoch: Epoch) -> None:
            if keep:
                keep(epoch)
            if self.on_epoch:
                self.on_epoch(stage, epoch)

        return recover(
            self.module,
            self.task,
            wanted,
            example_inputs=self.inputs,
            on_epoch=told,
            on_step=on_step,
            stop=stop,
            **options,
        )

    def _measure(self, module: nn.Module) -> Report:
        return evaluate(module, self.task)

    def _done(self, name: str, coding: Coding, report: Report | None = None) -> None:
        report = report or self._measure(self.module)
        self._tell(stage_of(name, self.module, self._plan, self.recipe, coding, report))

    def _tell(self, stage: Stage) -> None:
        self.stages.append(stage)
        if self.on_stage:
            self.on_stage(stage)
