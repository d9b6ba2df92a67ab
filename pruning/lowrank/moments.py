"""What a layer's inputs are like: so that a factorisation errs where it does not show."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pruning.device import device_of
from pruning.evaluate import split_batches
from pruning.layers import CONVOLUTIONS, private_copy
from pruning.lowrank.candidates import Candidate
from pruning.lowrank.methods import METHODS

if TYPE_CHECKING:
    from pruning.tasks import Task

IMAGES = 256  # calibration images; a layer of 3 x 3 sees hundreds of patches of each
PATCHES = 8192  # of a layer, drawn from all images; more give the same ranks and accuracies
RIDGE = 1e-6  # of the mean square, so that inputs that are always zero have a say


@torch.no_grad()
def input_roots(
    module: nn.Module, task: Task, candidates: Iterable[Candidate], images: int = IMAGES
) -> dict[str, Tensor]:
    """Cholesky roots of the second moments of what layers read, on calibration images.

    With a root R of a layer, |(W - W') R|^2 is the mean square error of its outputs, on these images where it
    has at most `PATCHES` outputs there, else on as many, drawn at random and the same every time.

    Args:
        module: the network, never changed.
        task: the data; its calibration images are used.
        candidates: of `find_factorable`; those whose method takes no data are passed over.
        images: how many to use.
    Returns:
        Layer -> (n, n) lower triangular, float64, n = inputs of one output: channels times kernel.
    Source: Zhang et al. 2015, arXiv:1505.06798, section 3.1, without means and biases; they draw positions
        from each image, too.
    """
    names = [one.name for one in candidates if not one.reason and METHODS[one.method].takes_data]
    sums = dict.fromkeys(names, torch.zeros((), dtype=torch.float64))
    rows = dict.fromkeys(names, 0)
    probe, drawn = private_copy(module), torch.Generator().manual_seed(0)
    total, batches = split_batches(task, "calibration", batch_size=64, limit=images)

    def hook(name: str, layer: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def seen(_: nn.Module, given: tuple[Any, ...]) -> None:
            read = patches(layer, given[0].cpu())
            most = max(1, PATCHES * len(given[0]) // total)
            if len(read) > most:
                read = read[torch.randperm(len(read), generator=drawn)[:most]]
            read = read.double()  # rounding could make the moment indefinite
            sums[name] = sums[name] + read.T @ read
            rows[name] += len(read)

        return layer.register_forward_pre_hook(seen)

    handles = [hook(name, probe.get_submodule(name)) for name in names]
    try:
        for x, _ in batches:
            probe(x.to(device_of(probe)))
    finally:
        for handle in handles:
            handle.remove()
    return {name: _root(sums[name] / max(rows[name], 1)) for name in names}


def patches(layer: nn.Module, x: Tensor) -> Tensor:
    """What a layer multiplies its weight with, one row for each position and sample.

    Args:
        layer: linear, or a convolution in one group.
        x: its input.
    Returns:
        (rows, n), n in the order of the weight's dimensions but the first.
    """
    if isinstance(layer, nn.Linear):
        return x.reshape(-1, layer.in_features)
    assert isinstance(layer, CONVOLUTIONS)
    axes = len(layer.kernel_size)
    x = x if x.dim() == axes + 2 else x.unsqueeze(0)
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    x = functional.pad(x, layer._reversed_padding_repeated_twice, mode=mode)
    for axis, (size, step, gap) in enumerate(
        zip(layer.kernel_size, layer.stride, layer.dilation, strict=True)
    ):
        x = x.unfold(2 + axis, (size - 1) * gap + 1, step)[..., ::gap]
    return x.movedim(1, 1 + axes).flatten(0, axes).flatten(1)


def _root(moment: Tensor) -> Tensor:
    mean = moment.diagonal().mean()
    ridge = RIDGE * mean if mean > 0 else torch.ones((), dtype=moment.dtype)
    return torch.linalg.cholesky(moment + ridge * torch.eye(len(moment), dtype=moment.dtype))
