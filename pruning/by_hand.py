"""Units that a person removes by name: what stays, and whether that is possible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pruning.counts import kept_count

if TYPE_CHECKING:
    from pruning.groups import Group
    from pruning.recipe import Rule

NAMED = 8  # units that a note lists


def keep_by_hand(group: Group, rule: Rule) -> Tensor:
    """What stays of a group when the units that the rule names go.

    Args:
        group: that the rule is for.
        rule: with `removed`.
    Returns:
        (size,) bool, True = keep.
    Raises:
        ValueError: if the group has no such unit, cannot spare so many, or the ratio says another number.
    """
    gone, size = rule.removed, group.size
    kept = size - len(gone)
    if gone[-1] >= size:
        raise ValueError(f"{group.id!r} has no unit {gone[-1]}; its units are 0 to {size - 1}.")
    if kept < group.minimum:
        raise ValueError(f"{group.id!r} must keep at least {group.minimum} of {size} units; remove fewer.")
    if kept_count(size, rule.ratio, 1, 0) != kept:
        raise ValueError(
            f"The rule of {group.id!r} removes {len(gone)} of {size} units by hand, which is a ratio of "
            f"{len(gone) / size:.4g}, not {rule.ratio:g}; correct one of them."
        )
    keep = torch.ones(size, dtype=torch.bool)
    keep[list(gone)] = False
    return keep


def note_by_hand(gone: Sequence[int], kept: int, multiple: int) -> str:
    """What a plan says of such a rule.

    Args:
        gone: numbers of the units.
        kept: how many stay.
        multiple: that other rules' counts are rounded up to.
    """
    more = f" and {len(gone) - NAMED} more" if len(gone) > NAMED else ""
    rounding = f"; not rounded to a multiple of {multiple}" if kept % multiple else ""
    return f"by hand, without {', '.join(map(str, gone[:NAMED]))}{more}{rounding}"
