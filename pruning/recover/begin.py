"""Before a run: whether its settings fit the network, its name, and the weights that it begins with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

from pruning.device import device_of
from pruning.layers import duplicate
from pruning.models import MODELS, build_model
from pruning.recover.data import seed_of
from pruning.recover.schedules import updates_of
from pruning.recover.settings import Recovery
from pruning.store import weights_digest

if TYPE_CHECKING:
    from pruning.groups import Grade
    from pruning.tasks import Task


def check_settings(settings: Recovery, device: torch.device, grade: Callable[[], Grade]) -> None:
    """Refuse settings that cannot be run, before anything begins.

    Args:
        settings: of the run.
        device: that the network is on.
        grade: how exact the recipe's smaller network is, see `Plan.grade`; asked only if it matters.
    Raises:
        ValueError: one sentence saying what does not fit and what to do.
    """
    rules, pruning = settings.recipe.rules.values(), settings.pruning
    updates = updates_of(pruning, len(rules)) if rules else ()
    if settings.fit.precision == "float16" and device.type != "cuda":
        raise ValueError("float16 needs a CUDA device; choose bfloat16 or float32.")
    if pruning.regrow and any(rule.granularity != "weight" for rule in rules):
        raise ValueError("Only single weights can grow back; set regrow to 0, or the granularity to weight.")
    if len(updates) > 1 and grade() == "statistics":
        raise ValueError(
            "The recipe changes what norms average over, which cannot be done little by little; choose the "
            "one-shot schedule."
        )
    if pruning.choose == "movement" and any(rule.granularity == "layer" for rule in rules):
        raise ValueError("Movement ranks weights and channels, not whole layers; choose by the criterion.")
    if pruning.choose == "movement" and updates and updates[-1].at + pruning.stabilise == 0:
        raise ValueError("Nothing has moved before the first epoch; train first: set stabilise to 1 or more.")


def run_name(module: nn.Module, settings: Recovery, task: Task) -> str:
    """Names a run by all that decides it, in 32 hexadecimal digits."""
    parts = [weights_digest(module), settings.digest, task.name, str(len(task.train))]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:32]


def first_weights(module: nn.Module, settings: Recovery) -> nn.Module:
    """The network with the weights to begin with: its own, or random ones drawn by the seed.

    A built-in network is built anew; of others each layer resets itself.

    Raises:
        ValueError: if a layer cannot.
    """
    if settings.pruning.start == "trained":
        return module
    name, device = getattr(module, "architecture", ""), device_of(module)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(settings.fit, 0))
        if name in MODELS and _shapes(fresh := build_model(name)) == _shapes(module):
            return fresh.to(device)
        fresh = duplicate(module).cpu()
        drawn: set[int] = set()
        for part in fresh.modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()
                drawn |= {id(parameter) for parameter in part.parameters()}
    if any(id(parameter) not in drawn for parameter in fresh.parameters()):
        raise ValueError(
            "Not every layer of this network knows how its weights begin, so it cannot start at random ones; "
            "start at the trained weights."
        )
    return fresh.to(device)


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in module.state_dict().items()}
