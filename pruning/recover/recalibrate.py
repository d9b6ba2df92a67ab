"""Statistics of BatchNorm measured anew: after pruning, activations are not distributed as they were."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, fx, nn

from pruning.layers import duplicate, first_tensor

_Norm = nn.modules.batchnorm._BatchNorm


def has_batch_norm(module: nn.Module) -> bool:
    """Whether `recalibrate` can change anything: a BatchNorm is in the network that keeps statistics."""
    return bool(_norms(module))


@torch.no_grad()
def recalibrate(module: nn.Module, batches: Iterable[Any]) -> nn.Module:
    """A copy whose BatchNorms have the mean and variance of these images, all else being as it was.

    Each batch counts the same: means and variances are the plain average of those of the batches. Only
    BatchNorms run as in training; dropout stays off, and no random number is drawn. Layers come all at once:
    those behind see what those before make of a batch by its own statistics.

    Args:
        module: the network, never changed; masked or smaller.
        batches: x (b, ...), or tuples that begin with it, such as `task.calibration.batches()` gives; more
            than one image each.
    Returns:
        The copy; one equal to the network if it has no BatchNorm that keeps statistics. A BatchNorm that the
        forward pass does not reach keeps its own.
    Raises:
        ValueError: if there is no batch, a batch is too small for a variance, or the network is a graph whose
            BatchNorm is an operation and no module.
    Source: Li et al. 2020, arXiv:2007.02491 (adaptive BatchNorm).
    """
    if _in_graph(module):
        raise ValueError(
            "This network is a graph in which BatchNorm is a fixed operation, so its statistics cannot be "
            "measured anew; recalibrate before it is made smaller."
        )
    copy = duplicate(module)
    if norms := _norms(copy):
        _measure(copy, norms, batches)
    return copy


def _norms(module: nn.Module) -> list[_Norm]:
    parts = (part for part in module.modules() if isinstance(part, _Norm))
    return [part for part in parts if part.running_mean is not None]


def _in_graph(module: nn.Module) -> bool:
    return isinstance(module, fx.GraphModule) and any(
        node.op == "call_function" and "batch_norm" in str(node.target) for node in module.graph.nodes
    )


def _measure(copy: nn.Module, norms: list[_Norm], batches: Iterable[Any]) -> None:
    """Run the batches through, and give everything but the statistics back."""
    flags = [(part, part.training) for part in copy.modules()]
    before = [(norm, norm.momentum, {k: v.clone() for k, v in norm.named_buffers()}) for norm in norms]
    copy.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the average over all batches
        norm.training = True
    seen = _run(copy, batches)
    for norm, momentum, buffers in before:
        norm.momentum = momentum
        if not norm.num_batches_tracked:  # it was not reached
            norm.load_state_dict(buffers, strict=False)
        elif norm.num_batches_tracked is not None:
            norm.num_batches_tracked.copy_(buffers["num_batches_tracked"])
    for part, training in flags:
        part.training = training
    if not seen:
        raise ValueError("There are no images to measure BatchNorm's statistics on; give at least one batch.")


def _run(copy: nn.Module, batches: Iterable[Any]) -> int:
    """Send the batches through; how many there were."""
    device = next((tensor.device for tensor in copy.state_dict().values()), None)
    seen = 0
    for batch in batches:
        x = first_tensor(batch)
        assert isinstance(x, Tensor)
        try:
            copy(x.to(device))
        except ValueError as error:  # PyTorch's "Expected more than 1 value per channel when training"
            if "more than 1 value" not in str(error):
                raise
            raise ValueError("A batch of one image has no variance; use larger batches.") from error
        seen += 1
    return seen
