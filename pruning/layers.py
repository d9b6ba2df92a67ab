"""What a network is made of: one record for each layer with parameters, in the order in which they run."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
WEIGHTED = (nn.Linear, *CONVOLUTIONS, *TRANSPOSED)  # their weight multiplies their input
NORMS: dict[str, tuple[type[nn.Module], ...]] = {
    "batch norm": (nn.modules.batchnorm._BatchNorm,),
    "layer norm": (nn.LayerNorm,),
    "group norm": (nn.GroupNorm,),
    "RMS norm": (nn.RMSNorm,),
    "instance norm": (nn.modules.instancenorm._InstanceNorm,),
}
FREE_PARAMETER = "free parameter"


@dataclass(frozen=True)
class Layer:
    """One layer with parameters, or one free parameter of a container (a positional embedding, say).

    Args:
        name: module path, or the qualified name of a free parameter.
        kind: in words: "convolution", "depthwise convolution", "linear", "attention projection", ...
        weight: qualified name of its weight, if it has one.
        weight_shape: of the weight, () if there is none.
        parameters: values that it holds; one shared with an earlier layer is counted there. The sum over all
            layers is the network's.
        macs: multiply-accumulates of its weight for one sample, summed over its calls; exact for
            convolutions and linear layers, 0 for all others. Products of activations with each other (in
            attention) belong to no layer; `pruning.cost` counts them.
        output_shape: of its first call, without the batch dimension; () if it has not run.
        prunable: whether single weights of it can be masked. Whether whole channels can go is said by groups.
        reason: why it is not prunable, "" if it is.
    """

    name: str
    kind: str
    weight: str | None
    weight_shape: tuple[int, ...]
    parameters: int
    macs: int
    output_shape: tuple[int, ...]
    prunable: bool
    reason: str


def private_copy(module: nn.Module, *, requires_grad: bool | None = None) -> nn.Module:
    """A copy in eval mode to put hooks on: it shares the memory of the parameters, and nothing else.

    Hooks and training flags of a network that several threads use would be seen by all of them; on a copy
    nobody sees them, and nothing has to be put back, however the work on it ends.

    Args:
        module: the network, never changed.
        requires_grad: whether the copy's floating-point parameters take gradients; None keeps each as it is.
    """

    def takes_gradient(parameter: nn.Parameter) -> bool:
        wanted = parameter.requires_grad if requires_grad is None else requires_grad
        return wanted and parameter.is_floating_point()

    shared: dict[int, Any] = {
        id(p): nn.Parameter(p.detach(), requires_grad=takes_gradient(p)) for p in module.parameters()
    }
    return duplicate(module, shared).eval()


def duplicate(module: nn.Module, memo: dict[int, Any] | None = None) -> nn.Module:
    """A deep copy, also of a module that keeps a computed tensor, as the older `weight_norm` does.

    Args:
        module: the network, never changed.
        memo: id of an object -> what stands in its place in the copy.
    """
    memo = {} if memo is None else memo
    for part in module.modules():
        for value in vars(part).values():
            if isinstance(value, Tensor) and not value.is_leaf:  # PyTorch refuses to copy these
                memo.setdefault(id(value), value.detach().clone())
    return copy.deepcopy(module, memo)


def qualified(module_name: str, attribute: str) -> str:
    """`a.b` and `weight` -> `a.b.weight`; a network that is one layer has the empty name."""
    return f"{module_name}.{attribute}" if module_name else attribute


def inside(path: str, modules: Iterable[str]) -> bool:
    """Whether a module path, or the name of a parameter, lies in one of these modules."""
    return any(path == module or path.startswith(f"{module}.") for module in modules)


def first_tensor(value: Any) -> Tensor | None:
    """The first tensor found in a module's output: itself, or inside tuples, lists and dicts."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return next((found for part in value if (found := first_tensor(part)) is not None), None)
    return None


def _macs(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> int:
    """Multiply-accumulates of one call, for the whole batch."""
    if isinstance(module, nn.Linear) and isinstance(output, Tensor):
        return output.numel() * module.in_features
    if isinstance(module, CONVOLUTIONS) and isinstance(output, Tensor):
        return output.numel() * module.in_channels // module.groups * prod(module.kernel_size)
    if isinstance(module, TRANSPOSED) and (given := first_tensor(inputs)) is not None:
        return given.numel() * module.out_channels // module.groups * prod(module.kernel_size)
    return 0


class _Trace:
    """Watches one forward pass: which modules ran, in which order, with which shapes and MACs."""

    def __init__(self) -> None:
        self.order: dict[str, None] = {}  # a set that keeps the order of insertion
        self.macs: dict[str, int] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}

    def watch(self, name: str, module: nn.Module) -> list[torch.utils.hooks.RemovableHandle]:
        def before(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            self.order.setdefault(name)

        def after(ran: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            self.macs[name] = self.macs.get(name, 0) + _macs(ran, inputs, output)
            if (tensor := first_tensor(output)) is not None:
                self.shapes.setdefault(name, tuple(tensor.shape[1:]))

        return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]


def _run(probe: nn.Module, example_inputs: Sequence[Any]) -> _Trace:
    """One forward pass with every module that holds parameters itself being watched."""
    trace = _Trace()
    handles: list[torch.utils.hooks.RemovableHandle] = []
    try:
        for name, module in probe.named_modules():
            if module._parameters:
                handles += trace.watch(name, module)
        with torch.no_grad():
            probe(*example_inputs)
    except Exception as error:
        raise ValueError(f"The network does not run on the example inputs: {_first_line(error)}") from error
    finally:
        for handle in handles:
            handle.remove()
    return trace


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _convolution_kind(module: nn.Module) -> str:
    if isinstance(module, TRANSPOSED):
        return "transposed convolution"
    assert isinstance(module, CONVOLUTIONS)
    if module.groups > 1:
        return "depthwise convolution" if module.groups == module.in_channels else "grouped convolution"
    return "pointwise convolution" if prod(module.kernel_size) == 1 else "convolution"


def _kind(module: nn.Module, parent: nn.Module | None) -> str:
    """What a layer is, in words."""
    if isinstance(module, CONVOLUTIONS + TRANSPOSED):
        return _convolution_kind(module)
    if isinstance(module, nn.Linear):
        return "attention projection" if hasattr(parent, "num_heads") else "linear"
    for words, types in NORMS.items():
        if isinstance(module, types):
            return words
    # "LayerScale" -> "layer scale", "LSTM" -> "LSTM"
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", type(module).__name__)
    return " ".join(part if part.isupper() else part.lower() for part in parts)


def _reason(kind: str, shape: tuple[int, ...], ran: bool, twin: str | None) -> str:
    """Why single weights of a layer cannot be masked, "" if they can."""
    if not ran:
        return "It was not called on the example inputs."
    if twin is not None:
        return f"Its weight is that of {twin}: prune it there."
    if kind in NORMS:
        return "The scales and shifts of a normalisation go with whole channels, not singly."
    if kind == "linear" or kind == "attention projection" or "convolution" in kind:
        return ""
    if not shape:
        return "It has no weight matrix."
    return "Only the weights of convolutions and linear layers can be masked."


def _is_leaf(module: nn.Module) -> bool:
    return next(module.children(), None) is None


class _Rows:
    """Turns modules into `Layer` records, counting every parameter once."""

    def __init__(self, modules: dict[str, nn.Module], trace: _Trace, batch: int) -> None:
        self.modules = modules
        self.trace = trace
        self.batch = batch
        self.owner: dict[int, str] = {}  # id of a parameter -> the layer that counts it

    def _count(self, parameters: Sequence[nn.Parameter | None], name: str) -> int:
        new = {id(p): p for p in parameters if p is not None and id(p) not in self.owner}
        self.owner.update(dict.fromkeys(new, name))
        return sum(p.numel() for p in new.values())

    def leaf(self, name: str) -> Layer:
        module = self.modules[name]
        weight = module._parameters.get("weight")
        shape = () if weight is None else tuple(weight.shape)
        kind = _kind(module, self.modules.get(name.rpartition(".")[0]))
        ran = name in self.trace.order
        twin = None if weight is None else self.owner.get(id(weight))
        reason = _reason(kind, shape, ran, twin)
        return Layer(
            name=name,
            kind=kind,
            weight=None if weight is None else qualified(name, "weight"),
            weight_shape=shape,
            parameters=self._count(list(module._parameters.values()), name),
            macs=self.trace.macs.get(name, 0) // self.batch,
            output_shape=self.trace.shapes.get(name, ()),
            prunable=not reason,
            reason=reason,
        )

    def free(self, name: str) -> list[Layer]:
        """The parameters that a container holds beside its children."""
        rows = []
        for attribute, parameter in self.modules[name]._parameters.items():
            if parameter is None or id(parameter) in self.owner:
                continue
            full = qualified(name, attribute)
            reason = (
                f"A parameter that {type(self.modules[name]).__name__} uses by itself, outside any layer."
            )
            size = self._count([parameter], full)
            rows.append(Layer(full, FREE_PARAMETER, full, tuple(parameter.shape), size, 0, (), False, reason))
        return rows


def find_layers(module: nn.Module, example_inputs: Sequence[Any]) -> list[Layer]:
    """All layers that hold parameters, in the order of their first call; those not called come last.

    A module called twice, and a parameter that two layers share, are listed and counted once. The network
    runs once, in eval mode, as a private copy: the one given is never touched.

    Args:
        module: any network.
        example_inputs: positional inputs of its forward, batch dimension first.
    Raises:
        ValueError: if the network does not run on the example inputs.
    """
    probe = private_copy(module)
    trace = _run(probe, example_inputs)
    modules = dict(probe.named_modules())
    given = first_tensor(tuple(example_inputs))
    batch = given.shape[0] if given is not None and given.dim() else 1
    rows = _Rows(modules, trace, max(batch, 1))
    not_called = [name for name, m in modules.items() if m._parameters and name not in trace.order]
    layers: list[Layer] = []
    for name in [*trace.order, *not_called]:
        if _is_leaf(modules[name]):
            layers.append(rows.leaf(name))
        else:
            layers += rows.free(name)
    return layers


def summary_text(module: nn.Module, example_inputs: Sequence[Any]) -> str:
    """torchinfo's table of every module: kernel, input and output shape, parameters, their share.

    Its count of multiply-adds is left out: it takes a linear layer's tokens for one, where `find_layers`
    counts each of them.

    Raises:
        ValueError: if the network does not run on the example inputs.
    """
    import torchinfo

    try:
        summary = torchinfo.summary(
            private_copy(module),
            input_data=list(example_inputs),
            col_names=("kernel_size", "input_size", "output_size", "num_params", "params_percent"),
            row_settings=("var_names", "depth"),
            depth=8,
            verbose=0,
        )
    except Exception as error:
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        raise ValueError(f"The network does not run on the example inputs: {_first_line(cause)}") from error
    return "\n".join(line for line in str(summary).splitlines() if "mult-adds" not in line)
