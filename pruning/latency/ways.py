"""Ways of running a network: as it is written, with its batch norms folded in, or compiled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import fuse_conv_bn_eval, fuse_linear_bn_eval
from torch.utils._pytree import tree_leaves

from pruning.device import rounding
from pruning.latency.timing import Way
from pruning.layers import private_copy

TOLERANCE = 1e-4  # how far outputs may lie apart on the CPU, as a share of the largest
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_IDLE = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


@dataclass(frozen=True)
class WaySpec:
    """One way of running a network.

    Args:
        label: for the screen.
        description: one sentence.
    """

    label: str
    description: str


WAYS: dict[Way, WaySpec] = {
    "eager": WaySpec("eager", "As the code is written, one operation after the other."),
    "frozen": WaySpec(
        "frozen",
        "Batch norms folded into the layers before them, dropout and identities left out, the rest replayed "
        "as a torch.fx graph (torch.jit.freeze, which did this before, is deprecated).",
    ),
    "compiled": WaySpec(
        "compiled",
        "torch.compile with Inductor, in one graph, for this batch size; needs a C++ compiler and takes from "
        "seconds to a minute.",
    ),
}


def prepare(module: nn.Module, inputs: tuple[Tensor, ...], way: Way) -> nn.Module:
    """A network that runs that way, checked to answer as the eager one does.

    Args:
        module: in eval mode; never changed: what is folded or compiled is a private copy.
        inputs: arguments of the forward, of the size to be timed.
        way: see `WAYS`; "eager" gives back the module itself.
    Raises:
        ValueError: if the network cannot be run that way here, or answers otherwise.
    """
    if way not in WAYS:
        raise ValueError(f"There is no way to run called {str(way)[:40]!r}; choose one of {', '.join(WAYS)}.")
    if way == "eager":
        return module
    with torch.inference_mode(False), torch.no_grad():  # folded weights are ordinary tensors
        prepared = folded(module) if way == "frozen" else _compiled(module)
    with torch.inference_mode():
        try:
            answers = prepared(*inputs)
        except Exception as error:
            raise ValueError(_refused(way, error)) from error
        if not _alike(module(*inputs), answers):
            raise ValueError(f"The {way} network answers otherwise than the eager one; time it eagerly.")
    return prepared


def _compiled(module: nn.Module) -> nn.Module:
    # Dynamo keeps what it compiled by the code of a forward, and gives up on a code after eight networks.
    torch.compiler.reset()
    compiled: Any = torch.compile(private_copy(module), fullgraph=True, dynamic=False)
    return compiled


def folded(module: nn.Module) -> nn.Module:
    """Source: the folding is that of Jacob et al. 2018, arXiv:1712.05877, section 3.2."""
    try:
        graph = fx.symbolic_trace(private_copy(module))
    except Exception as error:
        raise ValueError(_refused("frozen", error)) from error
    calls: dict[str, int] = {}
    for node in graph.graph.nodes:
        if node.op == "call_module":
            calls[node.target] = calls.get(node.target, 0) + 1
    for node in list(graph.graph.nodes):
        if node.op != "call_module":
            continue
        part = graph.get_submodule(node.target)
        if isinstance(part, _IDLE):
            _skip(graph, node)
        elif isinstance(part, _NORMS) and part.track_running_stats:
            before = node.args[0]
            if before.op == "call_module" and len(before.users) == 1 == calls[before.target]:
                _fold(graph, before, node, part)
    graph.graph.eliminate_dead_code()
    graph.delete_all_unused_submodules()
    graph.recompile()
    return graph.eval()


def _fold(graph: fx.GraphModule, before: fx.Node, node: fx.Node, norm: Any) -> None:
    """Write a norm into the layer that feeds it alone, where that is a convolution or linear."""
    name = str(before.target)
    layer: Any = graph.get_submodule(name)
    if type(layer) in _CONVOLUTIONS:
        graph.set_submodule(name, fuse_conv_bn_eval(layer, norm))
    elif type(layer) is nn.Linear:
        graph.set_submodule(name, fuse_linear_bn_eval(layer, norm))
    else:
        return
    _skip(graph, node)


def _skip(graph: fx.GraphModule, node: fx.Node) -> None:
    before: Any = node.args[0]
    node.replace_all_uses_with(before)
    graph.graph.erase_node(node)


def _alike(expected: Any, got: Any) -> bool:
    pairs = list(zip(tree_leaves(expected), tree_leaves(got), strict=True))
    return all(
        a.shape == b.shape and bool((a - b).abs().max() <= _margin(a))
        for a, b in pairs
        if isinstance(a, Tensor) and a.numel()
    )


def _margin(expected: Tensor) -> Tensor:
    """How far outputs may lie apart."""
    return rounding(expected.device, TOLERANCE) * expected.abs().max().clamp_min(1e-6)


def _refused(way: str, error: Exception) -> str:
    """Why a network cannot be run that way, in one sentence."""
    cause = getattr(error, "inner_exception", error)  # what Dynamo wraps
    if "InvalidCxxCompiler" in type(cause).__name__:
        return "torch.compile needs a C++ compiler and finds none here; install g++, or time another way."
    first = next((line.strip() for line in str(cause).splitlines() if line.strip()), type(cause).__name__)
    return f"This network cannot be {way} here ({first[:160]}); time it eagerly."
