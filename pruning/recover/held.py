"""Masks that training cannot undo: what is gone stays exactly zero through every step of an optimizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from pruning.known_scores import weight_name
from pruning.masks import cut, named_tensors, survivors
from pruning.plan import Plan


class Constraint(Protocol):
    """What training has to keep to.

    Evaluations, and what is kept of a run, see the network between steps. So a constraint may put other
    weights in place after a step, and those that it trains back before the next one: training straight
    through a quantiser.
    """

    def set(self, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Begin: the weights are as the network has them, the optimizer may have a state of them."""

    def before_step(self) -> None:
        """Gradients are there, the optimizer's step is next."""

    def after_step(self) -> None:
        """The optimizer has just made a step."""


class Together:
    """Several constraints as one, in their order."""

    def __init__(self, parts: Sequence[Constraint]) -> None:
        self.parts = tuple(parts)

    def set(self, optimizer: torch.optim.Optimizer | None = None) -> None:
        for part in self.parts:
            part.set(optimizer)

    def before_step(self) -> None:
        for part in self.parts:
            part.before_step()

    def after_step(self) -> None:
        for part in self.parts:
            part.after_step()


class Held:
    """Parameters and buffers of a network in training with the masks that hold them.

    When the masks are set, weights and the optimizer's state of them become zero; from then on gradients are
    masked before each step. With a gradient, a state and a weight of zero, SGD and AdamW leave the weight at
    exactly zero: momentum has nothing to add, and weight decay only multiplies. Buffers, such as the running
    means of channels that are gone, are set to zero again after each step.

    Args:
        module: the network in training; its parameters are changed in place.
        masks: parameter or buffer -> bool of its shape, True = keep.
    """

    def __init__(self, module: nn.Module, masks: Mapping[str, Tensor]) -> None:
        tensors: dict[str, Tensor] = {
            **dict(module.named_parameters(remove_duplicate=False)),
            **dict(module.named_buffers(remove_duplicate=False)),
        }
        self.masks = {name: keep for name, keep in masks.items() if name in tensors and not bool(keep.all())}
        # Numbers and not booleans, in the order of the tensor: one multiplication over all is fastest.
        self._all = [tensors[name] for name in self.masks]
        self._keep = [torch.empty_like(tensors[name]).copy_(keep) for name, keep in self.masks.items()]
        pairs = list(zip(self._all, self._keep, strict=True))
        self._trained = [(tensor, keep) for tensor, keep in pairs if isinstance(tensor, nn.Parameter)]
        self._buffers = [(tensor, keep) for tensor, keep in pairs if not isinstance(tensor, nn.Parameter)]

    @torch.no_grad()
    def set(self, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Zero what is masked, and what the optimizer knows of it."""
        if self._all:
            torch._foreach_mul_(self._all, self._keep)
        for parameter, keep in self._trained:
            for value in (optimizer.state.get(parameter, {}) if optimizer else {}).values():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    value.mul_(keep)

    @torch.no_grad()
    def before_step(self) -> None:
        """Zero the gradients of what is masked. A parameter without a gradient is passed over."""
        pairs = [(parameter.grad, keep) for parameter, keep in self._trained if parameter.grad is not None]
        if pairs:
            torch._foreach_mul_([grad for grad, _ in pairs], [keep for _, keep in pairs])

    @torch.no_grad()
    def after_step(self) -> None:
        """Zero the buffers that are masked; weights are as they should be."""
        for tensor, keep in self._buffers:
            tensor.mul_(keep)


def masks_of(module: nn.Module, plan: Plan) -> dict[str, Tensor]:
    """What a plan keeps of a network at full size, channels and single weights together.

    Args:
        module: of the plan's shapes.
        plan: whole layers that it drops are not masked.
    Returns:
        parameter or buffer -> bool of its shape, True = keep: what `apply_masks` sets to zero, and no more.
    """
    shapes = {name: tensor.shape for name, tensor in named_tensors(module).items()}
    masks: dict[str, Tensor] = {}
    for key, keep in plan.channels.items():
        for member in plan.structure.group(key).members:
            if not member.divides and member.parameter in shapes:
                mask = masks.setdefault(
                    member.parameter, torch.ones(shapes[member.parameter], dtype=torch.bool)
                )
                mask.index_fill_(member.dim, member.index[~keep].flatten(), False)
    for layer, keep in plan.weights.items():
        name = weight_name(layer)
        masks[name] = masks[name] & keep.cpu() if name in masks else keep.cpu().clone()
    return masks


def masks_when_small(small: nn.Module, plan: Plan) -> dict[str, Tensor]:
    """What a plan's masks of single weights keep of the network that is already made smaller.

    Args:
        small: as `shrink` made it of this plan.
        plan: its masks have the shapes of the dense network.
    """
    gone = survivors(plan.structure, plan.channels)
    tensors = named_tensors(small)
    masks = {}
    for layer, keep in plan.weights.items():
        name = weight_name(layer)
        if name in tensors:
            masks[name] = cut(keep.cpu(), gone.get(name, {}))
    return masks
