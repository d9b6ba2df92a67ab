"""What a smaller network has to answer: the masked one, its means and variances taken over what is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pruning.groups import Structure
from pruning.groups.record import UNCOUNTED, Watch, recording_settings
from pruning.groups.types import Average


@torch.no_grad()
def masked_outputs(
    masked: nn.Module, example_inputs: Sequence[Any], structure: Structure, keep: Mapping[str, Tensor]
) -> Any:
    """The outputs of a masked network in eval mode, with every average taken over the entries that stay.

    Where no group of grade "statistics" is pruned, these are just the masked network's outputs.

    Args:
        masked: as `apply_masks` gives it, of the shapes that `structure` describes.
        example_inputs: positional arguments of its forward.
        structure: found on inputs of the same shapes.
        keep: group id -> (size,) bool, True = keep.
    """
    corrections: dict[int, list[tuple[Average, Tensor]]] = {}
    for average in structure.averages:
        removed = _removed(average, keep)
        if len(removed):
            corrections.setdefault(average.call, []).append((average, removed))
    if not corrections:
        return masked(*example_inputs)
    with recording_settings(), _OverKept(corrections):
        return masked(*example_inputs)


def _removed(average: Average, keep: Mapping[str, Tensor]) -> Tensor:
    """Positions along the dimension that go."""
    gone = [entries[0][~keep[name][entries[1]]] for name, entries in average.entries.items() if name in keep]
    return torch.cat(gone) if gone else torch.zeros(0, dtype=torch.long)


class _OverKept(Watch):
    """Counts calls as the recording did, and lets those that average see only what is kept."""

    def __init__(self, corrections: Mapping[int, list[tuple[Average, Tensor]]]) -> None:
        super().__init__()
        self.corrections, self.number = corrections, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._opname == UNCOUNTED:
            return func(*args, **(kwargs or {}))
        number, self.number = self.number, self.number + 1
        if number not in self.corrections:
            return func(*args, **(kwargs or {}))
        names = [argument.name for argument in func._schema.arguments]
        given = {**dict(zip(names, args, strict=False)), **(kwargs or {})}
        return _over_kept(func, given, self.corrections[number])


def _over_kept(func: Any, given: dict[str, Any], corrections: list[tuple[Average, Tensor]]) -> Any:
    """Run a call on the kept entries; results as long as its first argument get zeros for the others."""
    if "query" in given:  # attention averages nothing: its temperature follows the width that is kept
        width = given["query"].shape[3] - len(corrections[0][1])
        return func(**{**given, "scale": width**-0.5})
    kept: dict[int, Tensor] = {}
    first = next(value for value in given.values() if isinstance(value, Tensor))
    shape = first.shape
    for average, removed in corrections:
        tensor = given[average.argument]
        if tensor is None:
            continue
        stays = torch.ones(tensor.shape[average.dim], dtype=torch.bool)
        stays[removed] = False
        index = torch.nonzero(stays).flatten().to(tensor.device)
        if tensor is first:
            kept[average.dim] = index
        given[average.argument] = tensor.index_select(average.dim, index)
    smaller = next(value for value in given.values() if isinstance(value, Tensor))
    if "normalized_shape" in given:
        given["normalized_shape"] = list(smaller.shape[-len(given["normalized_shape"]) :])
    if "group" in given:
        given["C"] = smaller.shape[1]
    results = func(**given)
    if isinstance(results, (tuple, list)):
        return (_spread(results[0], smaller.shape, shape, kept), *results[1:])
    return _spread(results, smaller.shape, shape, kept)


def _spread(result: Tensor, smaller: torch.Size, shape: torch.Size, kept: Mapping[int, Tensor]) -> Tensor:
    """A result of the smaller shape in the shape of before, zeros where entries were left out."""
    if result.shape != smaller:
        return result  # what was averaged over is gone
    for dim, index in kept.items():
        whole = result.new_zeros((*result.shape[:dim], shape[dim], *result.shape[dim + 1 :]))
        result = whole.index_copy(dim, index, result)
    return result
