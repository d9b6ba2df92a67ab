"""A network whose linear layers and convolutions run in 8-bit integers, to be timed and measured."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import fx, nn

from pruning.latency.ways import folded
from pruning.layers import duplicate
from pruning.quantise.activations import InputGrid, calibrate, float_inputs
from pruning.quantise.grid import Uniform, grid_of
from pruning.quantise.integer_layer import IntegerLayer, misfit, obstacle

if TYPE_CHECKING:
    from pruning.tasks import Task

WEIGHTS = Uniform(symmetric=True, per_channel=True, range="min-max")
_RELU = (F.relu, torch.relu)


def integer_layers(module: nn.Module) -> dict[str, str]:
    """Linear layers and convolutions -> why one stays in float, "" for those that can run in integers."""
    return {
        name: misfit(layer)
        for name, layer in module.named_modules()
        if layer._parameters.get("weight") is not None
    }


def to_integer(
    module: nn.Module,
    task: Task,
    *,
    layers: Iterable[str] | None = None,
    range: str = "min-max",
    limit: int = 512,
) -> nn.Module:
    """A network that computes in 8-bit integers what can be, on the CPU, to time with `measure_latency`.

    Batch norms are folded into the layers before them where the network can be traced, a ReLU becomes part of
    the layer that it follows, and layers that feed each other hand on integers. Weights are symmetric with a
    step for each channel, inputs affine with one step.

    Args:
        module: a network of float32, never changed. Layers that round their inputs do so no more: they are
            calibrated for 8 bits.
        task: its calibration split is used for the inputs' ranges.
        layers: that are to run in integers; all that can, if not given.
        range: name of an entry of `RANGES`, for the inputs.
        limit: images at most.
    Raises:
        ValueError: no integer kernels here, a layer that has none, no layer at all.
    Source: Jacob et al. 2018, arXiv:1712.05877, sections 2 and 3.2.
    """
    if why := obstacle():
        raise ValueError(why)
    network = _foldable(float_inputs(module).cpu().eval())
    grids = calibrate(network, task, dict.fromkeys(_chosen(network, layers), 8), range=range, limit=limit)
    if not grids:
        raise ValueError("No layer of this network can run in integers; time it in float.")
    for name, grid in grids.items():
        layer = network.get_submodule(name)
        weight = grid_of(layer.weight, 8, WEIGHTS)  # type: ignore[arg-type]
        network.set_submodule(name, IntegerLayer(layer, weight, grid))
    if isinstance(network, fx.GraphModule):
        _fuse(network)
    return network


def _foldable(module: nn.Module) -> nn.Module:
    """With batch norms folded in; as it is where it cannot be traced."""
    try:
        return folded(module)
    except ValueError:
        return duplicate(module)


def _chosen(network: nn.Module, layers: Iterable[str] | None) -> list[str]:
    reasons = integer_layers(network)
    if layers is None:
        return [name for name, reason in reasons.items() if not reason]
    for name in (names := list(layers)):
        if reason := reasons.get(name, "The network has no such layer with a weight."):
            raise ValueError(f"{name!r} cannot run in integers: {reason}")
    return names


def _fuse(network: fx.GraphModule) -> None:
    """Let layers do the ReLU after them, and hand integers to layers that would make the same ones."""
    for node in list(network.graph.nodes):
        layer = _layer(network, node)
        if layer is not None and layer.fuses and len(node.users) == 1 and _once(network, node):
            after = next(iter(node.users))
            if _is_relu(network, after):
                layer.relu = True
                after.replace_all_uses_with(node)
                network.graph.erase_node(after)
    for node in list(network.graph.nodes):
        layer = _layer(network, node)
        if layer is None or not _once(network, node):
            continue
        takers = [_layer(network, user) for user in node.users if _once(network, user)]
        grids: set[InputGrid | None] = {taker.grid if taker else None for taker in takers}
        if len(takers) == len(node.users) and len(grids) == 1 and None not in grids:
            layer.gives = grids.pop()
            for taker in takers:
                taker.takes_integers = True  # type: ignore[union-attr]
    network.graph.eliminate_dead_code()
    network.delete_all_unused_submodules()
    network.recompile()


def _layer(network: fx.GraphModule, node: fx.Node) -> IntegerLayer | None:
    """The integer layer that a node calls."""
    part = network.get_submodule(str(node.target)) if node.op == "call_module" else None
    return part if isinstance(part, IntegerLayer) else None


def _once(network: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a module is called at this node alone."""
    return (
        sum(other.op == "call_module" and other.target == node.target for other in network.graph.nodes) == 1
    )


def _is_relu(network: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return type(network.get_submodule(str(node.target))) is nn.ReLU
    if node.op == "call_method":
        return node.target == "relu"
    return node.op == "call_function" and node.target in _RELU
