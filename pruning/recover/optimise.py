"""Optimizers, and how the learning rate goes over a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pruning.layers import inside
from pruning.masks import cut
from pruning.recover.settings import Fit
from pruning.registry import Registry


@dataclass(frozen=True)
class LrSchedule:
    """How the learning rate goes.

    Args:
        name: the key in `LR_SCHEDULES`.
        label: its name on a screen.
        description: for the screen.
        source: paper and arXiv number.
        share: progress after the warm-up, in 0..1 -> share of the highest rate, in 0..1.
    """

    name: str
    label: str
    description: str
    source: str
    share: Callable[[float], float]


LR_SCHEDULES: Registry[LrSchedule] = Registry("learning rate schedule")


def rate(progress: float, fit: Fit) -> float:
    """Share of the highest learning rate at a share of all steps: linear up over the warm-up (Goyal et al.
    2017, arXiv:1706.02677), then by the schedule.

    Args:
        progress: in (0, 1].
        fit: whose `warmup` and `lr_schedule` count.
    """
    if progress < fit.warmup:
        return progress / fit.warmup
    left = 1 - fit.warmup
    return LR_SCHEDULES[fit.lr_schedule].share((progress - fit.warmup) / left if left else 1.0)


def make_optimizer(module: nn.Module, fit: Fit, extra: Iterable[nn.Parameter] = ()) -> torch.optim.Optimizer:
    """The optimizer of a run. Vectors (biases, norms) are not decayed; frozen parts take no gradients.

    Args:
        module: the network in training; which of its parameters take gradients is decided here.
        fit: the settings; the longest path of `layer_lr` that a parameter lies in decides its factor.
        extra: further parameters, such as those of regressors, trained at the full rate without decay.
    Raises:
        ValueError: if `layer_lr` names something that is not there, or nothing is left to train.
    """
    modules = {name for name, _ in module.named_modules()} | {name for name, _ in module.named_parameters()}
    if unknown := [name for name in fit.layer_lr if name not in modules]:
        raise ValueError(
            f"There is no layer {unknown[0]!r} to give a learning rate of its own; leave it out."
        )
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        factor = _factor(name, fit)
        parameter.requires_grad_(bool(factor) and parameter.is_floating_point())
        if parameter.requires_grad:
            decayed = name.endswith("weight") and parameter.ndim > 1
            groups.setdefault((factor, decayed), []).append(parameter)
    if extra := list(extra):
        groups.setdefault((1.0, False), []).extend(extra)
    if not groups:
        raise ValueError(
            "Every layer is frozen, so there is nothing to train; give one a learning rate above 0."
        )
    made: list[dict[str, Any]] = [
        {"params": params, "factor": factor, "weight_decay": fit.weight_decay if decayed else 0.0}
        for (factor, decayed), params in groups.items()
    ]
    # One pass over each parameter is three to four times as fast. All tensors of a parameter must then lie in
    # memory alike, which nothing checks: gradients do, and `like` makes a state do.
    fused = all(p.device.type in ("cpu", "cuda") for params in groups.values() for p in params)
    if fit.optimizer == "adamw":
        return torch.optim.AdamW(made, lr=fit.lr, fused=fused)
    nesterov = fit.momentum > 0
    sgd = torch.optim.SGD(made, lr=fit.lr, momentum=fit.momentum, nesterov=nesterov, fused=fused)
    for params in groups.values() if nesterov else ():
        for parameter in params:  # in one pass all of a group have one, or none
            sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return sgd


def like(parameter: Tensor, value: Tensor) -> Tensor:
    """A copy of values that lie in memory as those of a parameter of the same shape do."""
    return torch.empty_like(parameter).copy_(value)


def carry_state(
    old: torch.optim.Optimizer,
    before: Mapping[str, Tensor],
    new: torch.optim.Optimizer,
    module: nn.Module,
    dims: Mapping[str, Mapping[int, Tensor]],
) -> None:
    """Hand on what an optimizer has gathered when the network has just been made smaller.

    Args:
        old: the optimizer until now.
        before: its parameters by name.
        new: the optimizer from now on; its state is changed.
        module: the smaller network, with parameters of the same names.
        dims: what was cut, as `pruning.masks.survivors` says.
    """
    for name, parameter in module.named_parameters():
        source = before.get(name)
        known = old.state.get(source, {}) if source is not None else {}
        state: dict[str, Any] = {}
        for key, value in known.items():
            if not isinstance(value, Tensor) or source is None or value.shape != source.shape:
                state[key] = value  # a count of steps
            elif (kept := cut(value, dims.get(name, {}))).shape == parameter.shape:
                state[key] = like(parameter, kept)
        if len(state) == len(known) > 0:
            new.state[parameter] = state


def set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give each group of parameters its share of a learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["factor"]


def _factor(name: str, fit: Fit) -> float:
    holding = [path for path in fit.layer_lr if inside(name, [path])]
    return fit.layer_lr[max(holding, key=len)] if holding else 1.0


def _add(name: str, label: str, description: str, source: str, share: Callable[[float], float]) -> None:
    LR_SCHEDULES.add(name, LrSchedule(name, label, description, source, share))


def _one_cycle(progress: float) -> float:
    """Up to the highest rate over the first 30 %, then down to nearly nothing, both along a cosine."""
    if progress < 0.3:
        return 0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * progress / 0.3))
    return 0.5 * (1 + math.cos(math.pi * (progress - 0.3) / 0.7))


_add(
    "cosine",
    "Cosine",
    "Falls to 0 along half a cosine: long at high rates, a gentle end.",
    "Loshchilov and Hutter 2017, arXiv:1608.03983",
    lambda progress: 0.5 * (1 + math.cos(math.pi * progress)),
)
_add("constant", "Constant", "Stays at the highest rate.", "the plain choice", lambda progress: 1.0)
_add(
    "linear",
    "Linear",
    "Falls to 0 in a straight line.",
    "Li et al. 2020, arXiv:1905.05862",
    lambda progress: 1 - progress,
)
_add(
    "step",
    "Steps",
    "A tenth of the rate after half of the run, a hundredth after three quarters.",
    "He et al. 2015, arXiv:1512.03385, section 4.2",
    lambda progress: 1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01,
)
_add(
    "one-cycle",
    "One cycle",
    "Rises to the highest rate over the first 30 %, then falls to 0; allows higher rates.",
    "Smith and Topin 2017, arXiv:1708.07120",
    _one_cycle,
)
