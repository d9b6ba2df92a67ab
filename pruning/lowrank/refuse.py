"""Why a layer cannot be factorised."""

from __future__ import annotations

from torch import nn

from pruning.layers import CONVOLUTIONS, TRANSPOSED, qualified

PLAIN = (nn.Linear, *CONVOLUTIONS)


def refusal(module: nn.Module, name: str) -> str:
    """Why a layer of a network cannot be replaced by smaller ones, one sentence; "" if it can.

    Looks at the modules alone; whether the network's own code gets along with it only a run tells, see
    `find_factorable`.

    Args:
        module: the network.
        name: the layer's module path.
    """
    try:
        layer = module.get_submodule(name)
    except AttributeError:
        return "The network has no such layer."
    if layer is module:
        return "The network is this one layer alone; put it into an nn.Sequential."
    return _kind(layer) or _shared(module, name, layer)


def _kind(layer: nn.Module) -> str:
    if isinstance(layer, TRANSPOSED):
        return "Transposed convolutions are not factorised."
    if not isinstance(layer, PLAIN):
        return "Only linear layers and convolutions are factorised."
    if layer._parameters.get("weight") is None:
        return "Its weight is computed from other tensors at every call; make it a plain parameter first."
    if type(layer).__name__ == "NonDynamicallyQuantizableLinear":
        return "nn.MultiheadAttention multiplies with its weight in one fused operation."
    if type(layer) not in PLAIN:
        return f"Its class {type(layer).__name__} may do more than multiply with its weight."
    if not layer.weight.is_floating_point():
        return "Its weight is not of floating-point numbers."
    if isinstance(layer, CONVOLUTIONS) and layer.groups > 1:
        what = "depthwise" if layer.groups == layer.in_channels else "grouped"
        return f"Filters of a {what} convolution read different channels and have no factor in common."
    if layer._forward_hooks or layer._forward_pre_hooks:
        return "It has hooks, which smaller layers in its place would not have."
    return ""


def _shared(module: nn.Module, name: str, layer: nn.Module) -> str:
    own = {id(parameter) for parameter in layer._parameters.values() if parameter is not None}
    for other, part in module.named_modules(remove_duplicate=False):
        if other == name:
            continue
        if part is layer:
            return f"It is the same module as {other}."
        for attribute, parameter in part._parameters.items():
            if id(parameter) in own:
                return f"Its weight is also that of {qualified(other, attribute)}."
    return ""
