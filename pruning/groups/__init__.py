"""Which channels of a network are coupled, and why.

`find_structure` records one forward pass, labels every index of every dimension of every tensor in one
union-find, and reads off the units that live and die together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from pruning.groups.assemble import assemble
from pruning.groups.record import record
from pruning.groups.rules import rule_for
from pruning.groups.tracer import Tracer
from pruning.groups.types import Extent, Fixed, Group, Kind, Member, Role, Size, Structure, Work

_OWN_WIDTHS: dict[type[nn.Module], str] = {
    nn.MultiheadAttention: "its layer `{}` computes the width of a head from the width of the embedding",
    nn.RNNBase: "its layer `{}` is recurrent, and recurrent layers have no rule yet",
}


def find_structure(module: nn.Module, example_inputs: Sequence[Any]) -> Structure:
    """Find every group of coupled channels, what stays fixed, and what the forward pass computes.

    Args:
        module: any module; it is copied, never touched.
        example_inputs: positional arguments of its forward, a batch of any size.
    Returns:
        The groups in the order of the forward pass. Equal modules give equal structures.
    Raises:
        ValueError: if it does not run on these inputs, or returns something other than tensors.
    """
    inputs = tuple(example_inputs)
    tracer = Tracer(record(module, inputs), rule_for).run()
    shapes = {name: tuple(t.shape) for name, t in [*module.named_parameters(), *module.named_buffers()]}
    return assemble(tracer, shapes, dict(_refused(module)))


def find_groups(module: nn.Module, example_inputs: Sequence[Any]) -> tuple[Group, ...]:
    """The groups of `find_structure`."""
    return find_structure(module, example_inputs).groups


def _refused(module: nn.Module) -> list[tuple[str, str]]:
    """Parameters of layers whose own code computes widths that no attribute could repair."""
    return [
        (f"{name}.{own}" if name else own, why.format(name))
        for name, child in module.named_modules()
        for kind, why in _OWN_WIDTHS.items()
        if isinstance(child, kind)
        for own, _ in child.named_parameters()
    ]


__all__ = [
    "Extent",
    "Fixed",
    "Group",
    "Kind",
    "Member",
    "Role",
    "Size",
    "Structure",
    "Work",
    "find_groups",
    "find_structure",
]
