"""Which channels of a network are coupled, and why.

`find_structure` records one forward pass, labels every index of every dimension of every tensor in one
union-find, and reads off the units that live and die together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from pruning.groups.choices import DEFAULT, Choices
from pruning.groups.find import find_structure
from pruning.groups.types import Extent, Fixed, Grade, Group, Kind, Member, Role, Size, Structure, Work


def find_groups(
    module: nn.Module, example_inputs: Sequence[Any], choices: Choices = DEFAULT
) -> tuple[Group, ...]:
    """The groups of `find_structure`."""
    return find_structure(module, example_inputs, choices).groups


__all__ = [
    "Choices",
    "Extent",
    "Fixed",
    "Grade",
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
