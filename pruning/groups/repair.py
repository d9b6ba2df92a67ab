"""Bring the attributes of sliced modules in line with their parameters, so that the user's own class runs."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

from torch import Tensor, nn

from pruning.groups.narrow_attention import narrow
from pruning.groups.types import Extent, Size, Structure

ATTEMPTS = 96  # combinations of attribute values that are tried


def repair_layers(module: nn.Module) -> None:
    """Set the sizes that PyTorch's own layers keep beside their parameters."""
    for layer in module.modules():
        for types, repair in _LAYERS:
            if isinstance(layer, types):
                repair(layer)
        if type(layer).__name__ == "Conv1D" and hasattr(
            layer, "nf"
        ):  # GPT-2's linear layer, weight (in, out)
            _transposed_linear(layer)


def repair_sizes(module: nn.Module, structure: Structure, keep: Mapping[str, Tensor]) -> Iterator[None]:
    """Set the integers that other modules keep as attributes and use in their forward, such as a head count.

    The recording knows each integer that a module's forward used and what it counts: an attribute of that
    value takes the new one. Where one old value has several new ones, each step of the iterator sets another
    combination, the likeliest first; whether it is right shows in the outputs. Modules of one class are taken
    to use an attribute alike. Last, the integers of a configuration that modules share are tried: then each
    module gets a configuration of its own.

    Args:
        module: already sliced; changed in place at each step.
        structure: of the network before.
        keep: group id -> (size,) bool, True = keep.
    """
    used: dict[str, list[Size]] = defaultdict(list)
    for size in structure.sizes:
        used[size.module].append(size)
    owners = [(module.get_submodule(path), sizes) for path, sizes in used.items()]
    owners = [(owner, sizes) for owner, sizes in owners if _keeps_sizes(owner)]
    places = [place for owner, sizes in owners for place in _places(owner, vars(owner), sizes, keep)]
    yield from _combinations(places)
    shared = [
        place
        for owner, sizes in owners
        for name, config in vars(owner).items()
        if _is_configuration(config)
        for place in _places(_own(owner, name), vars(config), sizes, keep)
    ]
    if shared:
        yield from _combinations([*places, *shared])


def _keeps_sizes(owner: nn.Module) -> bool:
    """Whether it may keep sizes of its own: PyTorch's layers do so only beside parameters, but for two."""
    bare_norm = isinstance(owner, nn.modules.batchnorm._NormBase) and not owner.state_dict()
    return isinstance(owner, nn.Unflatten) or bare_norm or not type(owner).__module__.startswith("torch.nn")


@dataclass(frozen=True)
class _Place:
    """An attribute and the values that it may take, likeliest first."""

    owner: object
    name: str
    options: list[Any]

    @property
    def alike(self) -> tuple[type, str, int]:
        """Places that take the same option: of one class, one name, and as many options."""
        return type(self.owner), self.name, len(self.options)


def _combinations(places: Sequence[_Place]) -> Iterator[None]:
    """Set the places to one combination of their options after the other, alike places together."""
    alike: dict[tuple[type, str, int], list[_Place]] = defaultdict(list)
    for place in places:
        alike[place.alike].append(place)
    ways = [range(kind[-1]) for kind in alike]
    for combination in islice(product(*ways), ATTEMPTS):
        for way, together in zip(combination, alike.values(), strict=True):
            for place in together:
                setattr(place.owner, place.name, place.options[way])
        yield


def _is_configuration(value: object) -> bool:
    """A plain object with a name that says so, as the configurations of Hugging Face are."""
    return "config" in type(value).__name__.lower() and hasattr(value, "__dict__")


def _own(owner: nn.Module, name: str) -> object:
    """Give a module a configuration that it shares with nobody."""
    config = copy.copy(getattr(owner, name))
    setattr(owner, name, config)
    return config


def _places(
    owner: object, attributes: Mapping[str, object], sizes: Sequence[Size], keep: Mapping[str, Tensor]
) -> list[_Place]:
    places = []
    integers: dict[int, list[str]] = defaultdict(list)
    for name, held in attributes.items():
        if name.startswith("_"):
            continue
        if type(held) is int:
            integers[held].append(name)
        elif isinstance(held, (list, tuple)) and held:
            runs = _runs(list(held), sizes, keep)
            places += [_Place(owner, name, [type(held)(run) for run in runs])] if runs else []
    for value, names in integers.items():
        lengths = _lengths(value, sizes, keep)
        for number, name in enumerate(names):
            # As many attributes as lengths: the order of use is the likeliest match.
            first = lengths[number : number + 1] if len(lengths) == len(names) else []
            changed = [length for length in lengths if length != value]
            options = list(dict.fromkeys([*first, *changed, *lengths, value]))
            places += [_Place(owner, name, options)] if lengths else []
    return places


def _lengths(value: int, sizes: Sequence[Size], keep: Mapping[str, Tensor]) -> list[int]:
    """What each different thing of that size has become, in the order of use."""
    extents: dict[tuple[Any, ...], Extent] = {}
    for size in sizes:
        if size.value == value:
            units = tuple((name, tuple(index.tolist())) for name, index in size.extent.units.items())
            extents.setdefault((size.extent.fixed, *units), size.extent)
    return [extent.length(keep) for extent in extents.values()]


def _runs(values: list[Any], sizes: Sequence[Size], keep: Mapping[str, Tensor]) -> list[list[int]]:
    """What integers that one call used side by side have become."""
    found = []
    for start in range(len(sizes) - len(values) + 1):
        run = sizes[start : start + len(values)]
        if len({size.call for size in run}) == 1 and [size.value for size in run] == values:
            found.append([size.extent.length(keep) for size in run])
    return found


def _convolution(layer: Any) -> None:
    out, inside = layer.weight.shape[:2]
    if layer.transposed:
        if layer.groups > 1 and layer.in_channels == layer.groups:
            layer.groups = out
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


def _layer_norm(layer: Any) -> None:
    if layer.weight is not None:
        layer.normalized_shape = tuple(layer.weight.shape)


def _group_norm(layer: Any) -> None:
    if layer.weight is not None:
        layer.num_channels = len(layer.weight)


def _recurrent(layer: Any) -> None:
    layer.input_size, layer.hidden_size = layer.weight_ih_l0.shape[1], layer.weight_hh_l0.shape[1]


def _cell(layer: Any) -> None:
    layer.input_size, layer.hidden_size = layer.weight_ih.shape[1], layer.weight_hh.shape[1]


def _bilinear(layer: Any) -> None:
    layer.out_features, layer.in1_features, layer.in2_features = layer.weight.shape


def _transposed_linear(layer: Any) -> None:
    layer.nx, layer.nf = layer.weight.shape


def _prelu(layer: Any) -> None:
    layer.num_parameters = len(layer.weight)


_LAYERS: tuple[tuple[type[nn.Module] | tuple[type[nn.Module], ...], Callable[[Any], None]], ...] = (
    (nn.modules.conv._ConvNd, _convolution),
    (nn.Linear, _linear),
    (nn.modules.batchnorm._NormBase, _norm),
    ((nn.Embedding, nn.EmbeddingBag), _embedding),
    ((nn.LayerNorm, nn.RMSNorm), _layer_norm),
    (nn.GroupNorm, _group_norm),
    (nn.RNNBase, _recurrent),
    (nn.RNNCellBase, _cell),
    (nn.Bilinear, _bilinear),
    (nn.PReLU, _prelu),
    (nn.MultiheadAttention, narrow),
)
