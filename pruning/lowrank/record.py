"""What was factorised, as a network and its file carry it along."""

from __future__ import annotations

from collections.abc import Container, Mapping
from functools import reduce
from typing import Annotated, Any

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from pruning.documents import FROZEN, read_json
from pruning.layers import duplicate
from pruning.lowrank.geometry import PARTS, Shape, build
from pruning.lowrank.methods import METHODS
from pruning.lowrank.refuse import refusal

ATTRIBUTE = "low_rank"  # of the network: the record as JSON, kept by copies and pruned copies
MOST_CHARS = 4_000_000

Rank = Annotated[int, Field(ge=1, le=2**31)]


class Split(BaseModel):
    """One layer: by which method, and at which ranks."""

    model_config = FROZEN

    method: Annotated[str, Field(max_length=64)]
    ranks: Annotated[tuple[Rank, ...], Field(min_length=1, max_length=2, strict=False)]


class Record(BaseModel):
    """All layers of a network that were factorised.

    Args:
        layers: module path -> how.
        after_pruning: whether the network had been pruned before; only a file says so.
    """

    model_config = FROZEN

    layers: dict[str, Split]
    after_pruning: bool = False

    def known_to(self, tensors: Container[str]) -> bool:
        """Whether these names of tensors are those of a network in which all of it was factorised."""
        return all(f"{name}.{PARTS[0]}.weight" in tensors for name in self.layers)

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Read a record.

        Raises:
            ValueError: one sentence saying what is wrong and where.
        """
        return read_json(cls, text, "record of low ranks", MOST_CHARS)


def record_of(module: nn.Module) -> Record | None:
    """What was factorised in a network; None if nothing was."""
    text = getattr(module, ATTRIBUTE, None)
    return Record.from_json(text) if isinstance(text, str) and text.startswith("{") else None


def with_record(module: nn.Module, record: Record) -> nn.Module:
    """The network itself, with the record written on it."""
    setattr(module, ATTRIBUTE, record.model_dump_json())
    return module


def unfilled(module: nn.Module, record: Record) -> nn.Module:
    """A copy with the smaller layers in place, zeros in them: to load their weights into.

    Args:
        module: the network before it was factorised; its weights do not matter, and it is not changed.
        record: of what was factorised.
    Raises:
        ValueError: if the record does not fit the network.
    """
    copy = duplicate(module)
    for name, split in record.layers.items():
        layer = fitting(copy, name, split)
        shape: Shape = tuple(layer.weight.shape)
        factors = METHODS[split.method].factors(shape, split.ranks)
        weights = [torch.zeros(factor.weight) for factor in factors]
        copy.set_submodule(name, build(layer, factors, weights))
    return with_record(copy, record)


def fitting(module: nn.Module, name: str, split: Split) -> Any:
    """The layer of a path, if it can be factorised like this.

    Raises:
        ValueError: one sentence, if not.
    """
    method = METHODS[split.method]
    reason = refusal(module, name) or method.misfit(module.get_submodule(name))
    if reason:
        raise ValueError(f"The layer {name[:80]!r} cannot be factorised: {reason}")
    layer: Any = module.get_submodule(name)
    shape = tuple(layer.weight.shape)
    most = method.most(shape)
    if len(split.ranks) != len(most):
        raise ValueError(
            f"The layer {name!r} needs {len(most)} rank{'s' * (len(most) > 1)} by {split.method}, "
            f"not {len(split.ranks)}."
        )
    if method.fitted(shape, split.ranks) != split.ranks:
        raise ValueError(
            f"The layer {name!r} cannot have the rank {_words(split.ranks)} by {split.method}; "
            f"its highest is {_words(method.fitted(shape, split.ranks))}."
        )
    return layer


def _words(ranks: tuple[int, ...]) -> str:
    return " x ".join(map(str, ranks))


def shapes_before(record: Record, shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """The shapes of the tensors that a network had before it was factorised.

    Args:
        record: of what was factorised.
        shapes: tensor -> its shape in the network after.
    Raises:
        ValueError: if factors are missing, or have other shapes than the record says.
    """
    found = dict(shapes)
    for name, split in record.layers.items():
        weights = _pop_weights(found, name)
        whole = _whole_shape(list(weights.values()))
        if not whole or weights != _factor_shapes(split, whole):
            raise ValueError(f"The factors of the layer {name[:80]!r} have other shapes than its ranks say.")
        found[f"{name}.weight"] = whole
        _rename_bias(found, name)
    return found


def products(record: Record, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the network before it was factorised: in place of factors the weight that they make.

    Args:
        record: of what was factorised.
        state: tensors of the network after, by name, of shapes that `shapes_before` has accepted.
    Returns:
        Tensors by name; a weight is a product up to rounding, a bias that of the last factor.
    Raises:
        ValueError: if factors of one layer have different dtypes.
    """
    found = dict(state)
    for name in record.layers:
        weights = list(_pop_weights(found, name).values())
        if len({weight.dtype for weight in weights}) > 1 or not weights[0].is_floating_point():
            raise ValueError(f"The factors of the layer {name[:80]!r} are not of one floating-point type.")
        found[f"{name}.weight"] = multiplied(weights)
        _rename_bias(found, name)
    return found


def _pop_weights(tensors: dict[str, Any], name: str) -> dict[str, Any]:
    """What belongs to the factors of a layer, by their names, taken out."""
    keys = {part: f"{name}.{part}.weight" for part in PARTS}
    return {part: tensors.pop(key) for part, key in keys.items() if key in tensors}


def _rename_bias(tensors: dict[str, Any], name: str) -> None:
    bias = tensors.pop(f"{name}.{PARTS[-1]}.bias", None)
    if bias is not None:
        tensors[f"{name}.bias"] = bias


def _whole_shape(parts: list[Shape]) -> Shape:
    """The shape of the product of factors of these shapes; () if they have none."""
    if not parts or any(len(part) != len(parts[0]) or len(part) < 2 for part in parts):
        return ()
    kernel = [max(sizes) for sizes in zip(*(part[2:] for part in parts), strict=True)]
    return (parts[-1][0], parts[0][1], *kernel)


def _factor_shapes(split: Split, whole: Shape) -> dict[str, Shape]:
    """Name of each factor -> shape of its weight; {} if the method does not fit such a layer."""
    method = METHODS[split.method]
    if (len(whole) - 2 not in method.axes) or len(split.ranks) != len(method.most(whole)):
        return {}
    return {factor.name: factor.weight for factor in method.factors(whole, split.ranks)}


def multiplied(weights: list[Tensor]) -> Tensor:
    """The weight (out, in, *kernel) that factors make when they run one after the other.

    No two of them have a kernel along the same axis, so kernels multiply by broadcasting.
    """
    return reduce(lambda before, weight: torch.einsum("or...,ri...->oi...", weight, before), weights)
