"""Masks that training cannot undo: what is gone stays exactly zero through every step of an optimizer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pruning.masks import cut, named_tensors, survivors
from pruning.plan import Plan


class Held:
    """Parameters of a network in training with the masks that hold them.

    Gradients are masked before a step and weights after it. As the optimizer's state of a masked entry is
    set to zero when the mask is set, neither momentum nor weight decay ever moves it: its gradient, its
    state and its weight are all exactly zero.

    Args:
        module: the network in training; its parameters are changed in place.
        masks: parameter name -> bool of its shape, True = keep.
    """

    def __init__(self, module: nn.Module, masks: Mapping[str, Tensor]) -> None:
        parameters = dict(module.named_parameters(remove_duplicate=False))
        self.masks = {
            name: keep for name, keep in masks.items() if name in parameters and not bool(keep.all())
        }
        self._parameters: list[Tensor] = [parameters[name] for name in self.masks]
        # Numbers and not booleans: one multiplication over all of them is the fastest way.
        self._keep = [
            keep.to(p.device, p.dtype) for p, keep in zip(self._parameters, self.masks.values(), strict=True)
        ]

    @torch.no_grad()
    def set(self, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Zero what is masked, and what the optimizer knows of it."""
        self.after_step()
        for parameter, keep in zip(self._parameters, self._keep, strict=True):
            for value in (optimizer.state.get(parameter, {}) if optimizer else {}).values():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    value.mul_(keep)

    @torch.no_grad()
    def before_step(self) -> None:
        """Zero the gradients of what is masked. A parameter without a gradient is passed over."""
        pairs = [
            (p.grad, keep) for p, keep in zip(self._parameters, self._keep, strict=True) if p.grad is not None
        ]
        if pairs:
            torch._foreach_mul_([grad for grad, _ in pairs], [keep for _, keep in pairs])

    @torch.no_grad()
    def after_step(self) -> None:
        """Zero the weights of what is masked."""
        if self._parameters:
            torch._foreach_mul_(self._parameters, self._keep)


def masks_of(module: nn.Module, plan: Plan) -> dict[str, Tensor]:
    """What a plan keeps of each parameter of the network at full size, channels and single weights together.

    Args:
        module: of the plan's shapes.
        plan: whole layers that it drops are not masked.
    Returns:
        parameter -> bool of its shape, True = keep; only those of which something goes.
    """
    masks: dict[str, Tensor] = {}
    parameters = dict(module.named_parameters(remove_duplicate=False))
    for name, dims in survivors(plan.structure, plan.channels).items():
        if name in parameters:
            masks[name] = _outer(parameters[name].shape, dims)
    for layer, keep in plan.weights.items():
        name = f"{layer}.weight" if layer else "weight"
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
        name = f"{layer}.weight" if layer else "weight"
        if name in tensors:
            masks[name] = cut(keep.cpu(), gone.get(name, {}))
    return masks


def _outer(shape: torch.Size, dims: Mapping[int, Tensor]) -> Tensor:
    keep = torch.ones(shape, dtype=torch.bool)
    for dim, stays in dims.items():
        keep &= stays.reshape([-1 if d == dim else 1 for d in range(len(shape))])
    return keep
