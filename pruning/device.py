"""Where networks run: on the processor, or on a GPU that PyTorch can use.

What is computed with a network's tensors is computed where these lie. What describes a network always lies on
the CPU: structures, scores, masks, plans, reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from pruning.layers import duplicate

if TYPE_CHECKING:
    from pruning.models import LoadedModel

AUTO = "auto"
CPU = torch.device("cpu")
_ROUNDED = 5e-2  # GPUs round the factors of float32 products: convolutions use TF32 unless told otherwise


@dataclass(frozen=True)
class Device:
    """One device.

    Args:
        name: as `torch.device` takes it: "cpu", "cuda:0".
        label: for the screen: what it is, and its threads or memory.
    """

    name: str
    label: str

    @property
    def short(self) -> str:
        """What it is, without its maker, threads or memory."""
        return self.label.partition(",")[0].removeprefix("NVIDIA ")


@cache
def devices() -> tuple[Device, ...]:
    """Every device that networks can run on here: the CPU, then the GPUs that PyTorch can use."""
    threads = torch.get_num_threads()
    found = [Device("cpu", f"CPU, {threads} thread{'s' * (threads > 1)}")]
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        about = torch.cuda.get_device_properties(number)
        found.append(Device(f"cuda:{number}", f"{about.name}, {about.total_memory / 2**30:.0f} GiB"))
    return tuple(found)


def usual() -> str:
    """Name of the device to take unless told otherwise: the first GPU, else the CPU."""
    return devices()[:2][-1].name


def choose(name: str = AUTO) -> torch.device:
    """The device of this name; "auto" is the usual one, "cuda" the first GPU.

    Raises:
        ValueError: if there is no such device here.
    """
    wanted = {AUTO: usual(), "cuda": "cuda:0"}.get(name, name)
    names = [device.name for device in devices()]
    if wanted not in names:
        offered = ", ".join([AUTO, *names])
        raise ValueError(f"PyTorch has no device {name[:40]!r} here; choose one of {offered}.")
    return torch.device(wanted)


def named(name: str) -> Device:
    """The device of this name, as the screen shows it.

    Raises:
        ValueError: as `choose`.
    """
    wanted = choose(name)
    return next(device for device in devices() if torch.device(device.name) == wanted)


def device_of(module: nn.Module) -> torch.device:
    """Where a network's tensors lie; the CPU if it has none."""
    return next((x.device for part in (module.parameters(), module.buffers()) for x in part), CPU)


def moved(module: nn.Module, device: torch.device) -> nn.Module:
    """The network on a device: itself if it lies there, else a copy."""
    return module if device_of(module) == device else duplicate(module).to(device)


def inputs_on(inputs: Sequence[object], device: torch.device) -> tuple:
    """Arguments of a forward with their tensors on a device."""
    return tree_map(lambda x: x.to(device) if isinstance(x, Tensor) else x, tuple(inputs))


def on_device(loaded: LoadedModel, name: str = AUTO) -> LoadedModel:
    """A loaded network on another device, with its example inputs.

    Raises:
        ValueError: as `choose`.
    """
    device = choose(name)
    return replace(
        loaded, module=moved(loaded.module, device), example_inputs=inputs_on(loaded.example_inputs, device)
    )


def rounding(device: torch.device, exact: float) -> float:
    """How far two ways of computing the same may lie apart, as a share of the largest output.

    Args:
        device: that computes.
        exact: the answer on the CPU, where the order of sums alone makes a difference.
    """
    return exact if device.type == "cpu" else _ROUNDED


def place_of(module: nn.Module) -> str:
    """Where a network runs, for reading: "CPU", or the GPU's name."""
    return kind_of(device_of(module)) or "CPU"


def kind_of(device: torch.device) -> str:
    """What tells figures of one device from those of another: "" for the CPU, else the GPU's name."""
    if device.type == "cpu":
        return ""
    return next((known.short for known in devices() if torch.device(known.name) == device), str(device))
