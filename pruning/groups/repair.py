"""Bring the attributes of sliced modules in line with their parameters, so that the user's own class runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from pruning.groups.types import Extent, Structure


def repair_layers(module: nn.Module) -> None:
    """Set the sizes that PyTorch's own layers keep beside their parameters."""
    for layer in module.modules():
        for types, repair in _LAYERS:
            if isinstance(layer, types):
                repair(layer)


def repair_sizes(module: nn.Module, structure: Structure, keep: Mapping[str, Tensor]) -> None:
    """Set the integers that other modules keep as attributes and use in their forward, such as a head count.

    The recording knows each integer that a module's forward used and what it counts; an attribute (or an
    entry of a tuple) of that value takes the new one. Where one old value has several new ones, attributes
    are matched in the order in which the forward uses them. A wrong match does not get far: `shrink` compares
    outputs.

    Args:
        module: already sliced; changed in place.
        structure: of the network before.
        keep: group id -> (size,) bool, True = keep.
    """
    for path, values in _used(structure).items():
        owner = module.get_submodule(path)
        if type(owner).__module__.startswith("torch.nn") and not isinstance(owner, nn.Unflatten):
            continue
        places = {old: list(_places(owner, old)) for old in values}
        for old, extents in values.items():
            new = [extent.length(keep) for extent in extents.values()]
            for number, place in enumerate(places[old]):
                _write(owner, place, _choose(old, new, number, len(places[old])))


def _used(structure: Structure) -> dict[str, dict[int, dict[tuple[Any, ...], Extent]]]:
    """Module path -> value -> the different things of that size, in order of use."""
    used: dict[str, dict[int, dict[tuple[Any, ...], Extent]]] = {}
    for size in structure.sizes:
        units = tuple((name, tuple(index.tolist())) for name, index in size.extent.units.items())
        extents = used.setdefault(size.module, {}).setdefault(size.value, {})
        extents.setdefault((size.extent.fixed, *units), size.extent)
    return used


def _choose(old: int, new: list[int], number: int, places: int) -> int:
    """The new value of one of several attributes that had the same value."""
    if len(new) == places:
        return new[number]
    changed = [value for value in new if value != old]
    return changed[0] if changed else old


def _places(owner: nn.Module, value: int) -> Iterator[tuple[str, int | None]]:
    """Attributes of that value, and positions in tuples and lists of integers that hold it."""
    for name, held in vars(owner).items():
        if name.startswith("_") or isinstance(held, bool):
            continue
        if isinstance(held, int):
            if held == value:
                yield name, None
        elif isinstance(held, (tuple, list)) and all(isinstance(entry, int) for entry in held):
            yield from ((name, position) for position, entry in enumerate(held) if entry == value)


def _write(owner: nn.Module, place: tuple[str, int | None], value: int) -> None:
    name, position = place
    if position is None:
        setattr(owner, name, value)
        return
    entries = list(getattr(owner, name))
    entries[position] = value
    setattr(owner, name, type(getattr(owner, name))(entries))


def _convolution(layer: Any) -> None:
    out, inside = layer.weight.shape[:2]
    if layer.transposed:
        layer.in_channels, layer.out_channels = out, inside * layer.groups
        return
    if layer.groups > 1 and inside == 1:  # depthwise: the filters of each channel stay together
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
