"""Exact parameters, multiply-accumulates and bytes of any plan, by integer arithmetic on counts alone."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from torch import nn

from pruning.groups import Structure, find_structure
from pruning.layers import inside
from pruning.masks import named_tensors

if TYPE_CHECKING:
    from pruning.plan import Plan

Length = tuple[int, tuple[tuple[str, int], ...]]  # fixed entries, and entries for each kept unit of a group


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    Args:
        parameters: trainable values, each shared tensor once.
        nonzero: of these, the ones that no mask of single weights has set to zero.
        macs: multiply-accumulates of convolutions, linear layers and attention products for one sample; one
            MAC is one multiplication and one addition.
        bytes_dense: of all parameters and buffers as they are stored, zeros included.
    """

    parameters: int
    nonzero: int
    macs: int
    bytes_dense: int

    @property
    def sparsity(self) -> float:
        """Fraction of the parameters that a mask has set to zero."""
        return 1 - self.nonzero / self.parameters if self.parameters else 0.0


@dataclass(frozen=True)
class LayerCost:
    """The part of one module: its own parameters, and the MACs of its own operations."""

    name: str
    parameters: int
    nonzero: int
    macs: int


class _Sum:
    """A sum of products of lengths, each a linear function of the kept counts."""

    def __init__(self) -> None:
        self._terms: Counter[tuple[Length, ...]] = Counter()

    def add(self, constant: int, lengths: Sequence[Length]) -> None:
        free = []
        for fixed, units in lengths:
            if units:
                free.append((fixed, units))
            else:
                constant *= fixed
        self._terms[tuple(sorted(free))] += constant

    def value(self, length: Mapping[Length, int]) -> int:
        total = 0
        for lengths, constant in self._terms.items():
            for each in lengths:
                constant *= length[each]
            total += constant
        return total

    def by_changed(
        self, before: Mapping[Length, int], after: Mapping[Length, int]
    ) -> Iterator[tuple[int, int, int]]:
        """For each term: how many of its lengths differ, its value before, its value after."""
        for lengths, constant in self._terms.items():
            changed = sum(before[each] != after[each] for each in lengths)
            yield (
                changed,
                constant * math.prod(before[each] for each in lengths),
                constant * math.prod(after[each] for each in lengths),
            )

    @property
    def lengths(self) -> set[Length]:
        return {each for lengths in self._terms for each in lengths}


@dataclass(frozen=True)
class Shrinking:
    """The part of a network in which the same number of dimensions get shorter.

    Args:
        dimensions: how many; None for what goes with a dropped block.
        before, after: parameters, or MACs for the example inputs.
    """

    dimensions: int | None
    before: int
    after: int


class CostModel:
    """The cost of a network for any kept counts, without touching a tensor.

    Args:
        module: the dense network.
        example_inputs: positional arguments of its forward.
        structure: of this network, if already found.
    """

    def __init__(
        self, module: nn.Module, example_inputs: Sequence[Any], structure: Structure | None = None
    ) -> None:
        self.structure = structure or find_structure(module, example_inputs)
        self._parameters, self._bytes, self._macs = _Sum(), _Sum(), _Sum()
        self._layer_parameters: dict[str, _Sum] = defaultdict(_Sum)
        self._layer_macs: dict[str, _Sum] = defaultdict(_Sum)
        self._layer_bytes: dict[str, _Sum] = defaultdict(_Sum)
        self._weights: dict[str, _Sum] = {}
        shapes = _shapes(self.structure)
        trainable = dict(module.named_parameters())
        self.trainable = frozenset(trainable)
        for name, tensor in named_tensors(module).items():
            layer, _, own = name.rpartition(".")
            self._bytes.add(tensor.element_size(), shapes[name])
            self._layer_bytes[layer or name].add(tensor.element_size(), shapes[name])
            if name in trainable:
                self._parameters.add(1, shapes[name])
                self._layer_parameters[layer or name].add(1, shapes[name])
                if own == "weight":
                    self._weights[layer] = _Sum()
                    self._weights[layer].add(1, shapes[name])
        for work in self.structure.work:
            lengths = [
                _length(extent.fixed, _per_unit(self.structure, extent.units)) for extent in work.extents
            ]
            self._macs.add(work.constant, lengths)
            self._layer_macs[work.module].add(work.constant, lengths)
        self._lengths = self._parameters.lengths | self._bytes.lengths | self._macs.lengths
        self._sizes = {group.id: group.size for group in self.structure.groups}

    def cost(
        self,
        kept: Mapping[str, int] | None = None,
        nonzero: Mapping[str, int] | None = None,
        dropped: Collection[str] = (),
    ) -> Cost:
        """The cost of the network when only some units, weights and blocks are kept.

        Args:
            kept: group id -> units kept; groups that are not named stay whole.
            nonzero: layer name -> weights kept by a mask, counted in the smaller network; layers that are not
                named keep all.
            dropped: ids of blocks (`pruning.blocks`) that are dropped with all that is inside them.
        Raises:
            ValueError: an unknown group or layer, or a count out of its range.
        """
        length = self._evaluate(kept or {})

        def left(total: _Sum, layers: Mapping[str, _Sum]) -> int:
            gone = sum(own.value(length) for name, own in layers.items() if inside(name, dropped))
            return total.value(length) - gone

        parameters = left(self._parameters, self._layer_parameters)
        masked = sum(
            self._masked(layer, count, length)
            for layer, count in (nonzero or {}).items()
            if not inside(layer, dropped)
        )
        macs = self._for_each_sample(left(self._macs, self._layer_macs))
        return Cost(parameters, parameters - masked, macs, left(self._bytes, self._layer_bytes))

    def of_plan(self, plan: Plan) -> Cost:
        """The cost of the network that a plan for it makes.

        Raises:
            ValueError: if the plan names what this network does not have.
        """
        kept = {key: int(keep.sum()) for key, keep in plan.channels.items()}
        nonzero = {key: int(keep.sum()) for key, keep in plan.weights.items()}
        return self.cost(kept, nonzero, [block.id for block in plan.blocks])

    def shrinking(
        self, kept: Mapping[str, int] | None = None, dropped: Collection[str] = ()
    ) -> tuple[list[Shrinking], list[Shrinking]]:
        """How parameters and MACs come to fall as they do: along how many dimensions.

        Of a weight between two groups at ratio 0.5 a quarter is left, of its bias a half.

        Args:
            kept, dropped: as for `cost`.
        Returns:
            Of the parameters and of the MACs, by rising number of dimensions, dropped blocks last.
        """
        lengths = self._evaluate({}), self._evaluate(kept or {})
        return (
            _shrinking(self._layer_parameters, *lengths, dropped),
            _shrinking(self._layer_macs, *lengths, dropped),
        )

    def layer_table(
        self, kept: Mapping[str, int] | None = None, nonzero: Mapping[str, int] | None = None
    ) -> list[LayerCost]:
        """The cost by module, in the order of the forward pass; it adds up to `cost` with the same arguments.

        A module without parameters has a row if it multiplies (attention); a parameter outside of any layer
        has one of its own.
        """
        length = self._evaluate(kept or {})
        nonzero = nonzero or {}
        gone = {layer: self._masked(layer, count, length) for layer, count in nonzero.items()}
        rows = []
        for name in dict.fromkeys([*self._layer_parameters, *self._layer_macs]):
            parameters = self._layer_parameters[name].value(length) if name in self._layer_parameters else 0
            work = self._layer_macs[name].value(length) if name in self._layer_macs else 0
            macs = self._for_each_sample(work)
            rows.append(LayerCost(name, parameters, parameters - gone.get(name, 0), macs))
        return rows

    @cached_property
    def dense(self) -> Cost:
        """The cost of the whole network."""
        return self.cost()

    @cached_property
    def parameters_per_unit(self) -> dict[str, int]:
        """Group id -> parameters that go with the first unit removed, all else whole."""
        return {name: self.dense.parameters - one.parameters for name, one in self._one_less.items()}

    @cached_property
    def macs_per_unit(self) -> dict[str, int]:
        """Group id -> MACs that go with the first unit removed, all else whole."""
        return {name: self.dense.macs - one.macs for name, one in self._one_less.items()}

    @cached_property
    def _one_less(self) -> dict[str, Cost]:
        return {name: self.cost({name: size - 1}) for name, size in self._sizes.items()}

    def _evaluate(self, kept: Mapping[str, int]) -> dict[Length, int]:
        for name, count in kept.items():
            if not 0 <= count <= self.structure.group(name).size:
                raise ValueError(
                    f"{count} units of group {name!r} cannot be kept; it has {self._sizes[name]}."
                )
        counts = {**self._sizes, **kept}
        return {
            each: each[0] + sum(times * counts[name] for name, times in each[1]) for each in self._lengths
        }

    def _masked(self, layer: str, count: int, length: Mapping[Length, int]) -> int:
        """Weights of a layer that its mask sets to zero."""
        if layer not in self._weights:
            raise ValueError(f"This network has no layer {layer!r} with a weight of its own.")
        there = self._weights[layer].value(length)
        if not 0 <= count <= there:
            raise ValueError(f"{count:,} weights of {layer!r} cannot be kept; it has {there:,}.")
        return there - count

    def _for_each_sample(self, total: int) -> int:
        return -(-total // max(self.structure.batch, 1))


def _shrinking(
    layers: Mapping[str, _Sum],
    before: Mapping[Length, int],
    after: Mapping[Length, int],
    dropped: Collection[str],
) -> list[Shrinking]:
    found: dict[int | None, tuple[int, int]] = {}
    for name, total in layers.items():
        gone = inside(name, dropped)
        for changed, dense, left in total.by_changed(before, after):
            key = None if gone else changed
            known = found.get(key, (0, 0))
            found[key] = known[0] + dense, known[1] + (0 if gone else left)
    ordered = sorted(found, key=lambda key: math.inf if key is None else key)
    return [Shrinking(key, *found[key]) for key in ordered]


def _shapes(structure: Structure) -> dict[str, list[Length]]:
    """Tensor name -> the length of each dimension."""
    units: dict[tuple[str, int], dict[str, int]] = defaultdict(dict)
    for group in structure.groups:
        for member in group.members:
            units[member.parameter, member.dim][group.id] = member.index.shape[1]
    return {
        name: [
            _length(size - _whole(structure, units[name, dim]), units[name, dim])
            for dim, size in enumerate(shape)
        ]
        for name, shape in structure.shapes.items()
    }


def _whole(structure: Structure, units: Mapping[str, int]) -> int:
    return sum(times * structure.group(name).size for name, times in units.items())


def _per_unit(structure: Structure, units: Mapping[str, Any]) -> dict[str, int]:
    """Entries for each unit: units of one group take part equally often, or they would be two groups."""
    return {name: len(index) // structure.group(name).size for name, index in units.items()}


def _length(fixed: int, units: Mapping[str, int]) -> Length:
    return fixed, tuple(sorted(units.items()))
