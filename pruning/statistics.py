"""What calibration data says about a network, for the criteria that ask for it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning.device import device_of
from pruning.layers import WEIGHTED, first_tensor, private_copy

if TYPE_CHECKING:
    from pruning.blocks import BlockChange
    from pruning.tasks import Task

NEEDS = frozenset({"inputs", "gradients", "conductance", "blocks"})
CONDUCTANCE_SAMPLES = 64  # each costs STEPS + 1 passes forward and backward
STEPS = 12  # along the path from the baseline to the sample


@dataclass(frozen=True)
class Statistics:
    """Sums over calibration samples, on the device of the network that they were collected on, whose weights
    they describe.

    Args:
        samples: how many samples were seen.
        input_norm: layer -> (in,), L2 norm of each input feature or channel over all samples and positions,
            in activation units.
        gradients: parameter -> gradient of the mean cross-entropy, like the parameter.
        gradient_squares: parameter -> mean over batches of the squared gradient, like the parameter.
        products: parameter -> for each of its dimensions d (batches, shape[d]): gradient times parameter,
            summed over all other dimensions. The first-order change of a batch's loss when an entry is zeroed
            is minus that.
        conductance: layer -> (out,), mean over samples of the absolute conductance of each output feature or
            channel, in logits of the true class.
        blocks: block id -> how much the block changes what passes through it; empty too if there is none.
    """

    samples: int
    input_norm: Mapping[str, Tensor] = field(default_factory=dict)
    gradients: Mapping[str, Tensor] = field(default_factory=dict)
    gradient_squares: Mapping[str, Tensor] = field(default_factory=dict)
    products: Mapping[str, tuple[Tensor, ...]] = field(default_factory=dict)
    conductance: Mapping[str, Tensor] = field(default_factory=dict)
    blocks: Mapping[str, BlockChange] = field(default_factory=dict)


def collect_statistics(
    module: nn.Module,
    task: Task,
    needs: Collection[str],
    *,
    limit: int | None = 512,
    batch_size: int = 32,
) -> Statistics:
    """Run calibration data through a private copy of a network, in eval mode; the network is never touched.

    Args:
        module: a classifier: logits (b, classes) of inputs (b, ...).
        task: its calibration split is used, from the start.
        needs: any of "inputs", "gradients", "conductance", "blocks": a criterion's `needs`.
        limit: samples at most; None takes all. Conductance takes at most CONDUCTANCE_SAMPLES of them.
        batch_size: samples of a batch; "gradients" squares the gradient of each batch.
    Raises:
        ValueError: if a need is unknown, the limit or batch size is not positive, or the split is empty.
    """
    if unknown := sorted(set(needs) - NEEDS):
        raise ValueError(f"There is no statistic {unknown[0]!r}; choose from {', '.join(sorted(NEEDS))}.")
    if batch_size < 1 or (limit is not None and limit < 1):
        raise ValueError("The limit and the batch size must be at least 1.")
    device = device_of(module)
    taken = _take(task.calibration.batches(batch_size), limit)
    batches = [(x.to(device), y.to(device)) for x, y in taken]
    samples = sum(len(y) for _, y in batches)
    if not samples:
        raise ValueError("The calibration split has no samples; statistics need at least one.")
    parts: dict[str, Any] = {}
    if "inputs" in needs:
        parts["input_norm"] = input_norms(module, (x for x, _ in batches))
    if "gradients" in needs:
        gradients, squares, products = _gradients(module, batches)
        parts |= {"gradients": gradients, "gradient_squares": squares, "products": products}
    if "conductance" in needs:
        parts["conductance"] = _mean_conductance(module, _take(iter(batches), CONDUCTANCE_SAMPLES))
    if "blocks" in needs:
        from pruning.blocks import block_changes, find_blocks

        found = find_blocks(module, (batches[0][0][:1],)).blocks
        parts["blocks"] = block_changes(module, found, ((x,) for x, _ in batches))
    return Statistics(samples=samples, **parts)


def _take(batches: Iterator[tuple[Tensor, Tensor]], limit: int | None) -> Iterator[tuple[Tensor, Tensor]]:
    """The first `limit` samples of a stream of batches; the last batch is cut."""
    left = limit
    for x, y in batches:
        if left is None:
            yield x, y
            continue
        if left <= 0:
            return
        yield x[:left], y[:left]
        left -= len(y)


def _weighted_layers(module: nn.Module) -> dict[str, nn.Module]:
    return {name: m for name, m in module.named_modules() if isinstance(m, WEIGHTED)}


def _per_channel(layer: nn.Module, values: Tensor) -> Tensor:
    """Values at a layer's input or output -> (b, channels, positions)."""
    if isinstance(layer, nn.Linear):  # features come last, tokens between
        return values.flatten(1, -2).movedim(-1, 1) if values.dim() > 2 else values.unsqueeze(-1)
    return values.flatten(2)


def input_norms(module: nn.Module, inputs: Iterator[Tensor]) -> dict[str, Tensor]:
    """L2 norm of each input feature of each linear layer, of each input channel of each convolution.

    Args:
        module: any network with one tensor as input; never touched.
        inputs: batches (b, ...).
    Returns:
        layer -> (in,), float32; only layers that were called.
    Source: the activation half of Wanda, Sun et al. 2023, arXiv:2306.11695.
    """
    probe = private_copy(module, requires_grad=False)
    squares: dict[str, Tensor] = {}

    def watch(name: str, layer: nn.Module) -> None:
        def before(_: nn.Module, args: tuple[Any, ...]) -> None:
            if (x := first_tensor(args)) is not None:
                total = _per_channel(layer, x.double()).square().sum((0, 2))
                squares[name] = squares[name] + total if name in squares else total

        layer.register_forward_pre_hook(before)  # goes with the private copy

    for name, layer in _weighted_layers(probe).items():
        watch(name, layer)
    with torch.no_grad():
        for x in inputs:
            probe(x)
    return {name: total.sqrt().float() for name, total in squares.items()}


def _gradients(
    module: nn.Module, batches: list[tuple[Tensor, Tensor]]
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, tuple[Tensor, ...]]]:
    """Mean gradients, mean squared batch gradients, and gradient times parameter per entry and batch."""
    probe = private_copy(module, requires_grad=True)
    parameters = {name: p for name, p in probe.named_parameters() if p.requires_grad}
    samples = sum(len(y) for _, y in batches)
    mean = {name: torch.zeros_like(p) for name, p in parameters.items()}
    squares = {name: torch.zeros_like(p) for name, p in parameters.items()}
    products: dict[str, list[list[Tensor]]] = {name: [[] for _ in p.shape] for name, p in parameters.items()}
    for x, y in batches:
        with torch.enable_grad():
            loss = F.cross_entropy(probe(x), y)
        found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for (name, parameter), gradient in zip(parameters.items(), found, strict=True):
            gradient = torch.zeros_like(parameter) if gradient is None else gradient
            mean[name] += gradient * (len(y) / samples)
            squares[name] += gradient.square() / len(batches)
            product = (gradient * parameter.detach()).double()
            for d, rows in enumerate(products[name]):
                rows.append(product.movedim(d, 0).flatten(1).sum(1) if product.dim() > 1 else product)
    stacked = {
        name: tuple(torch.stack(rows).float() for rows in dimensions) for name, dimensions in products.items()
    }
    return (
        _with_tied_names(module, mean),
        _with_tied_names(module, squares),
        _with_tied_names(module, stacked),
    )


def _with_tied_names(module: nn.Module, values: dict[str, Any]) -> dict[str, Any]:
    """Give a value under every name of its parameter: a shared one has several."""
    first: dict[int, str] = {}
    result = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        original = first.setdefault(id(parameter), name)
        if original in values:
            result[name] = values[original]
    return result


def conductance(module: nn.Module, x: Tensor, target: Tensor, *, steps: int = STEPS) -> dict[str, Tensor]:
    """How much of each sample's logit flows through each output channel of each layer.

    The path goes straight from the zero input to the sample; along it, the gradient of the target's logit by
    a layer's output times the change of that output is summed (trapezoid rule). Channels of one layer that
    everything passes through sum to the difference of the logit between sample and zero input. All layers
    are measured in the same passes; captum's `LayerConductance` gives the same, one layer at a time.

    Args:
        module: a classifier, never touched.
        x: (b, ...) samples.
        target: (b,) class indices.
        steps: intervals of the path.
    Returns:
        layer -> (b, out), float32, signed, in logits; only layers that were called. Layers: linear and
        convolutions. Calls of one layer, and its positions or tokens, are summed.
    Source: Dhamdhere et al. 2018, arXiv:1805.12233.
    """
    probe = private_copy(module, requires_grad=False)
    layers = _weighted_layers(probe)
    outputs: list[tuple[str, Tensor]] = []

    def watch(name: str, layer: nn.Module) -> None:
        def after(_: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
            if output.requires_grad:
                outputs.append((name, output))
            return output.clone()  # an in-place activation behind it must not change what is kept

        layer.register_forward_hook(after)  # goes with the private copy

    for name, layer in layers.items():
        watch(name, layer)

    def at(position: float) -> list[tuple[str, Tensor, Tensor]]:
        """Output and gradient of every call of a layer at one point of the path."""
        outputs.clear()
        with torch.enable_grad():
            logits = probe((x * position).requires_grad_())
            chosen = logits.gather(1, target.unsqueeze(1)).sum()
        found = torch.autograd.grad(chosen, [output for _, output in outputs], allow_unused=True)
        return [
            (name, output.detach(), torch.zeros_like(output) if gradient is None else gradient)
            for (name, output), gradient in zip(outputs, found, strict=True)
        ]

    total: dict[str, Tensor] = {}
    for before, after in pairwise(at(i / steps) for i in range(steps + 1)):
        for (name, y0, g0), (_, y1, g1) in zip(before, after, strict=True):
            flow = _per_channel(layers[name], (g0 + g1) / 2 * (y1 - y0)).sum(2)
            total[name] = total[name] + flow if name in total else flow
    return total


def _mean_conductance(module: nn.Module, batches: Iterator[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Mean over samples of the absolute conductance of each channel."""
    total: dict[str, Tensor] = {}
    samples = 0
    for x, y in batches:
        samples += len(y)
        for name, flow in conductance(module, x, y).items():
            size = flow.abs().sum(0)
            total[name] = total[name] + size if name in total else size
    return {name: size / samples for name, size in total.items()}
