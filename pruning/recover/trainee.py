"""The network in training: its weights, what is held at zero in it, its optimizer and its teacher."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pruning.blocks import BlockStructure, find_blocks
from pruning.groups import Structure, find_structure
from pruning.layers import duplicate
from pruning.masks import survivors
from pruning.plan import Plan
from pruning.recover.choose import Movement, exchange, plan_at
from pruning.recover.held import Constraint, Held, Together, masks_of, masks_when_small
from pruning.recover.optimise import carry_state, make_optimizer
from pruning.recover.recalibrate import has_batch_norm, recalibrate
from pruning.recover.regularise import REGULARISERS, PenaltyView
from pruning.recover.schedules import asked_by, depth_first
from pruning.recover.settings import Recovery
from pruning.recover.teach import Teacher
from pruning.shrink import is_graph, shrink
from pruning.statistics import collect_statistics

if TYPE_CHECKING:
    from pruning.tasks import Task

CALIBRATION = 2048  # training images, at most, that statistics of BatchNorm are measured on


@dataclass(frozen=True)
class Subject:
    """What a run is about.

    Args:
        dense: the network, never changed.
        task: its data.
        settings: of the run, the rules of the recipe in order of depth.
        example_inputs: positional arguments of its forward.
        structure: its groups.
        blocks: what can be dropped; None if the recipe drops nothing.
        constrain: makes what training has to keep to besides masks, for the network in training.
        teacher: whose outputs are taught; None = `dense`.
    """

    dense: nn.Module
    task: Task
    settings: Recovery
    example_inputs: tuple[Any, ...]
    structure: Structure
    blocks: BlockStructure | None
    constrain: Callable[[nn.Module], Constraint] | None = None
    teacher: nn.Module | None = None

    @classmethod
    def of(
        cls,
        dense: nn.Module,
        task: Task,
        settings: Recovery,
        example_inputs: tuple[Any, ...],
        structure: Structure | None,
        constrain: Callable[[nn.Module], Constraint] | None = None,
        teacher: nn.Module | None = None,
    ) -> Subject:
        """Find the groups, and put the recipe's rules in order."""
        structure = structure or find_structure(dense, example_inputs, settings.recipe.choices)
        order = [*(group.id for group in structure.groups), *(name for name, _ in dense.named_modules())]
        recipe = settings.recipe.model_copy(update={"rules": depth_first(settings.recipe.rules, order)})
        drops = any(rule.granularity == "layer" for rule in recipe.rules.values())
        blocks = find_blocks(dense, example_inputs, structure) if drops else None
        settings = settings.model_copy(update={"recipe": recipe})
        return cls(dense, task, settings, example_inputs, structure, blocks, constrain, teacher)

    def plan(
        self,
        module: nn.Module,
        progress: float = 1.0,
        before: Plan | None = None,
        movement: Movement | None = None,
    ) -> Plan:
        """What stays of a network at full size when this share is asked."""
        return plan_at(
            module,
            asked_by(self.settings.recipe, self.settings.pruning, progress),
            example_inputs=self.example_inputs,
            structure=self.structure,
            blocks=self.blocks,
            task=self.task,
            before=before,
            movement=movement,
        )


class Trainee:
    """A network in training, at full size until its recipe is reached, then really smaller.

    Args:
        subject: what the run is about.
        module: the weights to begin with; copied.
        stack: closes the teacher's hooks.
    """

    def __init__(self, subject: Subject, module: nn.Module, stack: ExitStack) -> None:
        self.subject, self._stack = subject, stack
        self.module = ready(module)
        self.plan: Plan | None = None
        self.small = False
        self.progress = 0.0 if subject.settings.recipe.rules else 1.0
        movement = subject.settings.pruning.choose == "movement"
        self.movement = Movement(self.module) if movement else None
        self.penalty: PenaltyView | None = None
        self.teacher: Teacher | None = None
        self._begin({})
        self._watch()

    @property
    def settings(self) -> Recovery:
        return self.subject.settings

    def prune(self, progress: float, rewound: Mapping[str, Tensor] | None = None) -> None:
        """Raise the ratios to this share, then go on, from rewound weights if they are given.

        Args:
            progress: in (0, 1]; at 1 the recipe is reached, and what channels and blocks go is cut out.
            rewound: values of all parameters and buffers at full size.
        """
        self.close()
        before, gathered = dict(self.module.named_parameters()), self.optimizer
        moved = self.movement if self.movement and self.movement.steps else None
        self.plan = self.subject.plan(self.module, progress, self.plan, moved)
        if rewound is not None:
            self.module.load_state_dict(rewound)
        optimizer = None if rewound is not None else self.optimizer
        if progress >= 1 and needs_cutting(self.plan):
            self.cut()
            optimizer = None
        masks = masks_when_small(self.module, self.plan) if self.small else masks_of(self.module, self.plan)
        self.progress = progress
        self._begin(masks, optimizer)
        if self.small and rewound is None:
            gone = survivors(self.plan.structure, self.plan.channels)
            carry_state(gathered, before, self.optimizer, self.module, gone)
            self.held.set(self.optimizer)
        if progress >= 1:
            self._recalibrate()
        self._watch()

    def cut(self) -> None:
        """Make the network smaller by its plan."""
        assert self.plan is not None
        self.module = ready(shrink(contiguous(self.module), self.plan, self.subject.example_inputs))
        self.small, self.movement = True, None

    def regrow(self, share: float) -> None:
        """Exchange a share of the weights that stay, see `choose.exchange`."""
        if self.plan is None or share <= 0:
            return
        self.close()
        found = collect_statistics(self.module, self.subject.task, {"gradients"})
        self.plan = exchange(self.plan, self.module, found.gradients, share)
        self._hold(masks_of(self.module, self.plan), self.optimizer)
        self._watch()

    def adopt(self, plan: Plan | None, small: bool, progress: float) -> None:
        """Take up a state that was kept: the network's shape; its values are loaded afterwards."""
        self.close()
        self.plan, self.progress = plan, progress
        masks: dict[str, Tensor] = {}
        if plan is not None:
            if small:
                self.cut()
            masks = masks_when_small(self.module, plan) if small else masks_of(self.module, plan)
        self._begin(masks)
        self._watch()

    def begin_epoch(self, number: int) -> None:
        """Look again at what is to go, so that a run that goes on penalises the same.

        Args:
            number: of the epoch, from 1.
        """
        pruning = self.settings.pruning
        if self.settings.regularise is not None:
            self.close()
            self._penalise(over=number > pruning.stabilise + pruning.prune)
            self._watch()

    def close(self) -> None:
        """Take the teacher's hooks off: copies of the network must not carry them."""
        self._stack.close()

    def _begin(self, masks: Mapping[str, Tensor], optimizer: torch.optim.Optimizer | None = None) -> None:
        """Teacher, optimizer and masks for the network as it now is."""
        teach = self.settings.teach
        taught = self.teacher is not None and self.teacher.student is self.module
        if teach is not None and (teach.weight or teach.hints) and not taught:
            knowing = self.subject.teacher or self.subject.dense
            self.teacher = Teacher(knowing, self.module, teach, self.subject.example_inputs)
        fit = self.settings.fit
        if self.small:  # modules that were dropped need no rate
            names = {name for name, _ in self.module.named_modules()}
            names |= {name for name, _ in self.module.named_parameters()}
            fit = fit.model_copy(update={"layer_lr": {k: v for k, v in fit.layer_lr.items() if k in names}})
        extra = self.teacher.parameters() if self.teacher else ()
        self.optimizer = optimizer or make_optimizer(self.module, fit, extra)
        self._hold(masks, self.optimizer)
        self._penalise()

    def _watch(self) -> None:
        """Put the teacher's hooks on."""
        if self.teacher is not None:
            self._stack.enter_context(self.teacher)

    def _hold(self, masks: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> None:
        held = Held(self.module, masks)
        constrain = self.subject.constrain
        self.held: Constraint = Together([held, constrain(self.module)]) if constrain else held
        self.held.set(optimizer)

    def _penalise(self, over: bool = False) -> None:
        wanted = self.settings.regularise
        self.penalty = None
        if wanted is None or over or (self.progress >= 1 and self.settings.recipe.rules):
            return
        going: dict[str, Tensor] = {}
        if REGULARISERS[wanted.name].needs_going:
            final = self.subject.plan(self.module, 1.0, self.plan)
            going = {name: ~keep for name, keep in masks_of(self.module, final).items()}
        self.penalty = PenaltyView(self.module, self.subject.structure, going, wanted.strength)

    def _recalibrate(self) -> None:
        """Measure BatchNorm's statistics anew, in place."""
        if self.settings.recalibrate and not is_graph(self.module) and has_batch_norm(self.module):
            found = recalibrate(self.module, calibration(self.subject))
            self.module.load_state_dict(found.state_dict())


def calibration(subject: Subject) -> list[tuple[Tensor, Tensor]]:
    """Training images as they are, without random changes."""
    found, left = [], CALIBRATION
    for x, y in subject.task.train.batches(256):
        if left < 2:
            break
        found.append((x[:left], y[:left]))
        left -= len(y)
    return found


def needs_cutting(plan: Plan) -> bool:
    """Whether something of the plan makes the network smaller: channels, or whole layers."""
    return bool(plan.blocks) or any(not bool(keep.all()) for keep in plan.channels.values())


def contiguous(module: nn.Module) -> nn.Module:
    """The network itself, its tensors in PyTorch's usual order."""
    return module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def ready(module: nn.Module) -> nn.Module:
    """A copy to train: every floating-point parameter takes gradients; images run channels last."""
    copy = duplicate(module)
    for parameter in copy.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    return copy.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def arranged(x: Tensor) -> Tensor:
    """Images in the order in memory that the network in training has: channels last."""
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x
