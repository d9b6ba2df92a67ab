"""Bring the attributes of sliced modules in line with their parameters, so that the user's own class runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from pruning.groups.types import Extent, Size, Structure


def repair_layers(module: nn.Module) -> None:
    """Set the sizes that PyTorch's own layers keep beside their parameters."""
    for layer in module.modules():
        for types, repair in _LAYERS:
            if isinstance(layer, types):
                repair(layer)


def repair_sizes(module: nn.Module, structure: Structure, keep: Mapping[str, Tensor]) -> None:
    """Set the integers that other modules keep as attributes and use in their forward, such as a head count.

    The recording knows each integer that a module's forward used and what it counts. An attribute of that
    value takes the new one; where one old value has several new ones, attributes are matched in the order in
    which the forward uses them. A list or tuple is matched as a whole, with integers used side by side.
    A wrong match does not get far: `shrink` compares outputs.

    Args:
        module: already sliced; changed in place.
        structure: of the network before.
        keep: group id -> (size,) bool, True = keep.
    """
    used: dict[str, list[Size]] = defaultdict(list)
    for size in structure.sizes:
        used[size.module].append(size)
    for path, sizes in used.items():
        owner = module.get_submodule(path)
        if type(owner).__module__.startswith("torch.nn") and not isinstance(owner, nn.Unflatten):
            continue  # these keep sizes only beside their parameters
        held = {name: value for name, value in vars(owner).items() if not name.startswith("_")}
        for name, values in held.items():
            if isinstance(values, (list, tuple)) and (new := _run_of(list(values), sizes, keep)):
                setattr(owner, name, type(values)(new))
        for value in {size.value for size in sizes}:
            names = [
                name for name, held_value in held.items() if type(held_value) is int and held_value == value
            ]
            for number, name in enumerate(names):
                setattr(owner, name, _choose(value, sizes, keep, number, len(names)))


def _run_of(values: list[Any], sizes: Sequence[Size], keep: Mapping[str, Tensor]) -> list[int] | None:
    """The new values of integers that one call used side by side, None if there is no such call."""
    for start in range(len(sizes) - len(values) + 1):
        run = sizes[start : start + len(values)]
        if values and len({size.call for size in run}) == 1 and [size.value for size in run] == values:
            return [size.extent.length(keep) for size in run]
    return None


def _choose(value: int, sizes: Sequence[Size], keep: Mapping[str, Tensor], number: int, places: int) -> int:
    """The new value of one of several attributes that had the same value."""
    extents: dict[tuple[Any, ...], Extent] = {}
    for size in sizes:
        if size.value == value:
            units = tuple((name, tuple(index.tolist())) for name, index in size.extent.units.items())
            extents.setdefault((size.extent.fixed, *units), size.extent)
    new = [extent.length(keep) for extent in extents.values()]
    if len(new) == places:
        return new[number]
    return next((length for length in new if length != value), value)


def _convolution(layer: Any) -> None:
    out, inside = layer.weight.shape[:2]
    if layer.transposed:
        layer.in_channels, layer.out_channels = out, inside * layer.groups
        return
    if layer.groups > 1 and layer.in_channels == layer.groups:  # depthwise: a channel takes its filters along
        layer.groups = out // (layer.out_channels // layer.groups)
    layer.in_channels, layer.out_channels = inside * layer.groups, out


def _linear(layer: Any) -> None:
    layer.out_features, layer.in_features = layer.weight.shape


def _norm(layer: Any) -> None:
    held = next((t for t in (layer.weight, layer.running_mean) if t is not None), None)
    if held is not None:
        layer.num_features = len(held)


def _embedding(layer: Any) -> None:
    layer.num_embeddings, layer.embedding_dim = layer.weight.shape


def _prelu(layer: Any) -> None:
    layer.num_parameters = len(layer.weight)


_LAYERS: tuple[tuple[type[nn.Module], Callable[[Any], None]], ...] = (
    (nn.modules.conv._ConvNd, _convolution),
    (nn.Linear, _linear),
    (nn.modules.batchnorm._NormBase, _norm),
    (nn.Embedding, _embedding),
    (nn.PReLU, _prelu),
)
