"""Small networks, recipes and files for the checkpoint tests."""

from __future__ import annotations

import json
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pruning.checkpoint.container import Entry, header_bytes, ordered, read_container, tensor_bytes
from pruning.checkpoint.layout import digest, digest_place
from pruning.layers import find_layers
from pruning.plan import Plan, make_plan
from pruning.recipe import Recipe, Rule


class Net(nn.Module):
    """A residual convolution with BatchNorm, then two linear layers."""

    def __init__(self, channels: int = 6, hidden: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, channels, 3, padding=1)
        self.inner = nn.Conv2d(channels, channels + 2, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels + 2)
        self.outer = nn.Conv2d(channels + 2, channels, 1)
        self.hidden = nn.Linear(channels, hidden)
        self.head = nn.Linear(hidden, 3)
        self.architecture = "net"

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.outer(self.norm(self.inner(x)).relu())
        return self.head(self.hidden(x.mean(dim=(2, 3))).relu())


INPUTS = (torch.randn(2, 1, 5, 5, generator=torch.Generator().manual_seed(0)),)


def make_net(seed: int = 0, **sizes: int) -> Net:
    torch.manual_seed(seed)
    net = Net(**sizes)
    stir(net)
    return net.eval()


def stir(module: nn.Module) -> None:
    """Give BatchNorm statistics that are not 0 and 1, so that losing one shows."""
    for name, buffer in module.named_buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.rand(buffer.shape) + 0.5)
        elif name.endswith("num_batches_tracked"):
            buffer.fill_(17)


def channel_recipe(module: nn.Module, ids: list[str], ratio: float = 0.4, seed: int = 0) -> Recipe:
    rules = {key: Rule(ratio=ratio, criterion="random") for key in ids}
    return Recipe(rules=rules, seed=seed, model=module.architecture)


def weight_recipe(module: nn.Module, inputs: tuple[Tensor, ...], ratio: float = 0.7, seed: int = 0) -> Recipe:
    names = [layer.name for layer in find_layers(module, inputs) if layer.prunable]
    rules = {name: Rule(ratio=ratio, granularity="weight", criterion="random") for name in names}
    return Recipe(rules=rules, seed=seed, model=module.architecture)


def plan_for(module: nn.Module, recipe: Recipe, inputs: tuple[Tensor, ...] = INPUTS) -> Plan:
    return make_plan(module, recipe, example_inputs=inputs)


def outputs(module: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return module(x)


def forged(
    data: bytes,
    *,
    metadata: Mapping[str, object] | None = None,
    tensors: Mapping[str, Tensor | None] | None = None,
) -> bytes:
    """The same checkpoint with other metadata or tensors (None takes one away), and a digest that fits."""
    state, fields = read_container(data)
    for name, tensor in (tensors or {}).items():
        state.pop(name, None)
        if tensor is not None:
            state[name] = tensor
    for key, value in (metadata or {}).items():
        fields.pop(key, None)
        if value is not None:
            fields[key] = value if isinstance(value, str) else json.dumps(value)
    entries = [Entry(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in state.items()]
    result = bytearray(header_bytes(entries, fields))
    for entry in ordered(entries):
        result += tensor_bytes(state[entry.name])
    place = digest_place(result)
    if place is not None:
        result[place : place + 64] = digest(result, place).encode()
    return bytes(result)
