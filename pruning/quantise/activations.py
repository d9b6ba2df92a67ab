"""Quantised activations: what linear layers and convolutions are given is rounded, by hooks on a copy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pruning.device import device_of
from pruning.layers import WEIGHTED, duplicate, private_copy
from pruning.quantise.lattice import Lattice, check_bits, limits
from pruning.quantise.ranges import RANGES

if TYPE_CHECKING:
    from pruning.tasks import Task

KEPT = 2**18  # values of each layer that ranges are chosen by; the smallest and largest always count


@dataclass(frozen=True)
class InputGrid:
    """The lattice of a layer's input: scale * (integer - zero_point).

    Args:
        scale: the step, > 0.
        zero_point: the integer that stands for zero.
        bits: 2..8.
        symmetric: integers from 1 - 2**(bits - 1) to 2**(bits - 1) - 1, otherwise from 0 to 2**bits - 1.
    """

    scale: float
    zero_point: int
    bits: int
    symmetric: bool = False


class RoundInput:
    """A hook that rounds the first input of a layer. Gradients pass where nothing is clipped.

    Args:
        grid: the lattice.
    Source: Jacob et al. 2018, arXiv:1712.05877, section 3.
    """

    def __init__(self, grid: InputGrid) -> None:
        self.grid = grid
        self._limits = limits(grid.bits, grid.symmetric)

    def __call__(self, _: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not args or not isinstance(args[0], Tensor) or not args[0].is_floating_point():
            return None
        grid = self.grid
        return (
            torch.fake_quantize_per_tensor_affine(args[0], grid.scale, grid.zero_point, *self._limits),
            *args[1:],
        )


def quantise_inputs(module: nn.Module, grids: Mapping[str, InputGrid]) -> nn.Module:
    """A copy of a network whose layers round what they are given; `float_inputs` takes that off again.

    The copy has the same parameters under the same names, and trains, evaluates and exports like any other.

    Args:
        module: the network, never changed.
        grids: layer -> lattice, of `calibrate`; a layer that rounds already gets the new one.
    Raises:
        ValueError: a layer that is not there.
    """
    copy = duplicate(module)
    for name, grid in grids.items():
        try:
            layer = copy.get_submodule(name)
        except AttributeError:
            raise ValueError(f"The network has no layer {name!r}; leave it out.") from None
        _take_off(layer)
        layer.register_forward_pre_hook(RoundInput(grid))
    return copy


def float_inputs(module: nn.Module) -> nn.Module:
    """A copy of a network in which no layer rounds its input; other hooks stay."""
    copy = duplicate(module)
    for layer in copy.modules():
        _take_off(layer)
    return copy


def input_grids(module: nn.Module) -> dict[str, InputGrid]:
    """layer -> lattice, of the layers that round their input."""
    return {
        name: hook.grid
        for name, layer in module.named_modules()
        for hook in layer._forward_pre_hooks.values()
        if isinstance(hook, RoundInput)
    }


def _take_off(layer: nn.Module) -> None:
    for key, hook in list(layer._forward_pre_hooks.items()):
        if isinstance(hook, RoundInput):
            del layer._forward_pre_hooks[key]


def calibrate(
    module: nn.Module,
    task: Task,
    bits: Mapping[str, int] | int = 8,
    *,
    symmetric: bool = False,
    range: str = "min-max",
    limit: int = 512,
    batch_size: int = 64,
) -> dict[str, InputGrid]:
    """Lattices for layers' inputs, from what these are on calibration images.

    Args:
        module: the network, never changed. If its weights are to be quantised, quantise them before.
        task: its calibration split is used, from the start.
        bits: layer -> 2..8, or the same for all linear layers and convolutions.
        symmetric: the same steps on both sides of zero; otherwise none are wasted on what does not occur.
        range: name of an entry of `RANGES`.
        limit: images at most.
        batch_size: images of a batch.
    Returns:
        One for each layer asked for that was called; a layer inside `nn.MultiheadAttention` is not.
    Raises:
        ValueError: bits out of their range, a layer that is not there, an unknown range, no images.
    Source: Krishnamoorthi 2018, arXiv:1806.08342, section 3.1.
    """
    ends = RANGES[range].ends
    asked = {name: bits for name, _ in _layers(module)} if isinstance(bits, int) else dict(bits)
    for name, number in asked.items():
        check_bits(number, f"the input of {name!r}")
        if number < 2:
            raise ValueError(f"The input of {name!r} needs 2 bits or more, not {number}.")
    seen = _inputs(module, _images(task, limit, batch_size, device_of(module)), asked)
    grids = {}
    for name, values in seen.items():
        row = values.view(1, -1)
        lattice = Lattice.over(*ends(row, asked[name], symmetric), asked[name], symmetric)
        grids[name] = InputGrid(float(lattice.scale), int(lattice.zero_point), asked[name], symmetric)
    return grids


def _layers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    return ((name, layer) for name, layer in module.named_modules() if isinstance(layer, WEIGHTED))


def _images(task: Task, limit: int, batch_size: int, device: torch.device) -> list[Tensor]:
    batches, left = [], limit
    for x, _ in task.calibration.batches(batch_size):
        if left <= 0:
            break
        batches.append(x[:left].to(device))
        left -= len(x)
    if not batches:
        raise ValueError("Calibration needs at least one image; raise the limit or give a task with images.")
    return batches


def _inputs(module: nn.Module, batches: list[Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """A sample of the values that each of these layers is given, and their extremes."""
    probe = float_inputs(private_copy(module, requires_grad=False))
    seen: dict[str, list[Tensor]] = {}
    share = max(1, KEPT // len(batches))
    random = torch.Generator().manual_seed(0)

    def watch(name: str) -> None:
        def before(_: nn.Module, args: tuple[Any, ...]) -> None:
            values = args[0].detach().flatten().float()
            if len(values) > share:
                chosen = torch.randint(len(values), (share,), generator=random).to(values.device)
                values = torch.cat([values[chosen], values.aminmax().min[None], values.aminmax().max[None]])
            seen.setdefault(name, []).append(values)

        try:
            probe.get_submodule(name).register_forward_pre_hook(before)  # goes with the private copy
        except AttributeError:
            raise ValueError(f"The network has no layer {name!r}; leave it out.") from None

    for name in names:
        watch(name)
    with torch.no_grad():
        for x in batches:
            probe(x)
    return {name: torch.cat(values) for name, values in seen.items()}
