"""What a criterion is shown: one layer's weight, or the slices of one group's units."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from pruning.layers import CONVOLUTIONS, TRANSPOSED
from pruning.statistics import Statistics

if TYPE_CHECKING:
    from pruning.blocks import Block, BlockChange
    from pruning.groups import Group, Member

T = TypeVar("T")


def take_units(tensor: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices of a tensor that belong to each unit.

    Args:
        tensor: a parameter, or anything of its shape.
        dim: the dimension that the units lie along.
        index: (size, m) entries of that dimension belonging to each unit.
    Returns:
        (size, m * the product of the other dimensions), float64.
    """
    return tensor.detach().movedim(dim, 0)[index].flatten(1).double()


def spread_input_norm(layer: nn.Module, norm: Tensor) -> Tensor:
    """The norm of the input that each weight of a layer multiplies.

    Args:
        layer: linear, convolution (grouped too) or transposed convolution.
        norm: (in,) of its input features or channels.
    Returns:
        Of the weight's shape.
    Raises:
        ValueError: if the sizes differ.
    """
    weight = layer.weight
    assert isinstance(weight, Tensor)
    if isinstance(layer, TRANSPOSED):  # weight (in, out / groups, ...)
        expected, spread = weight.shape[0], norm.unsqueeze(1)
    elif isinstance(layer, CONVOLUTIONS):  # weight (out, in / groups, ...): each group of rows has its inputs
        expected = layer.in_channels
        of_group = norm.reshape(layer.groups, -1) if norm.numel() == expected else norm
        spread = of_group.repeat_interleave(weight.shape[0] // layer.groups, dim=0)
    else:
        expected, spread = weight.shape[1], norm.unsqueeze(0)
    if norm.numel() != expected:
        raise ValueError(
            f"The statistics hold {norm.numel()} input norms for a layer with {expected} inputs;"
            " collect them on this network."
        )
    return spread.reshape(*spread.shape, *[1] * (weight.dim() - 2)).expand(weight.shape)


def make_generator(seed: int, key: str) -> torch.Generator:
    """Random numbers of one layer or group: the same whatever else is scored, and in whichever order."""
    digest = hashlib.sha256(f"{seed}/{key}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


@dataclass(frozen=True)
class LayerView:
    """One layer with what is known about it.

    Args:
        name: module path.
        layer: the module.
        statistics: of the network.
        seed: of the criteria that draw numbers.
    """

    name: str
    layer: nn.Module
    statistics: Statistics
    seed: int = 0

    @property
    def weight(self) -> Tensor:
        """The layer's weight, float64."""
        weight = self.layer.weight
        assert isinstance(weight, Tensor)
        return weight.detach().double()

    def input_norm(self) -> Tensor:
        """The norm of the input that each weight multiplies, of the weight's shape."""
        return spread_input_norm(self.layer, find(self.statistics.input_norm, self.name, "inputs").double())

    def gradient_square(self) -> Tensor:
        """Mean over batches of the squared gradient, of the weight's shape."""
        name = f"{self.name}.weight" if self.name else "weight"
        return find(self.statistics.gradient_squares, name, "gradients").double()

    def generator(self) -> torch.Generator:
        """Random numbers that belong to this layer."""
        return make_generator(self.seed, self.name)


def find(values: Mapping[str, T], name: str, need: str) -> T:
    """One statistic.

    Raises:
        ValueError: if it was not collected.
    """
    if name not in values:
        raise ValueError(
            f"There are no statistics of {name!r}; call collect_statistics on this network"
            f" with needs={{{need!r}}}."
        )
    return values[name]


@dataclass(frozen=True)
class GroupView:
    """One group of units with what is known about it.

    Args:
        group: the group.
        module: the network.
        statistics: of the network.
        seed: of the criteria that draw numbers.
    """

    group: Group
    module: nn.Module
    statistics: Statistics
    seed: int = 0

    def owner(self, member: Member) -> tuple[str, nn.Module]:
        """The module that holds a member's parameter, after its path."""
        path = member.parameter.rpartition(".")[0]
        return path, self.module.get_submodule(path)

    def tensor(self, member: Member) -> Tensor:
        """A member's parameter or buffer."""
        _, module = self.owner(member)
        tensor = getattr(module, member.parameter.rpartition(".")[2])
        assert isinstance(tensor, Tensor)
        return tensor

    def with_role(self, role: str) -> list[Member]:
        """Members of one role, without biases; with them, where there is nothing else."""
        members = [member for member in self.group.members if member.role == role]
        return [member for member in members if self.tensor(member).dim() > 1] or members

    def removed(self) -> list[Member]:
        """The weights whose loss is what pruning a unit does to the network: those that read it.

        A unit that no weight reads (a query's entry, say, which only meets keys) is judged by what makes it.
        """
        return self.with_role("consumer") or self.with_role("producer")

    def weights(self) -> list[Tensor]:
        """For each producer's weight the slices of every unit: (size, n) each, float64."""
        return [take_units(self.tensor(m), m.dim, m.index) for m in self.with_role("producer")]

    def generator(self) -> torch.Generator:
        """Random numbers that belong to this group."""
        return make_generator(self.seed, self.group.id)


@dataclass(frozen=True)
class BlockView:
    """One block that could be dropped, with what is known about it.

    Args:
        block: the block.
        module: the network.
        statistics: of the network.
        seed: of the criteria that draw numbers.
    """

    block: Block
    module: nn.Module
    statistics: Statistics
    seed: int = 0

    def weights(self) -> list[Tensor]:
        """Every parameter of it as one row: (1, n) each, float64."""
        part = self.module.get_submodule(self.block.id)
        return [parameter.detach().double().reshape(1, -1) for parameter in part.parameters()]

    def change(self) -> BlockChange:
        """How much it changes what passes through it."""
        return find(self.statistics.blocks, self.block.id, "blocks")

    def generator(self) -> torch.Generator:
        """Random numbers that belong to this block."""
        return make_generator(self.seed, self.block.id)
