"""From a network to its structure: record, trace, and try the other ways of reshapes that have several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn
from torch.nn.utils.parametrize import ParametrizationList
from torch.nn.utils.weight_norm import WeightNorm

from pruning.groups.assemble import assemble
from pruning.groups.choices import DEFAULT, Choices
from pruning.groups.narrow_attention import NarrowAttention
from pruning.groups.notes import SiteKey
from pruning.groups.record import Recording, record
from pruning.groups.rules import rule_for
from pruning.groups.tracer import Tracer
from pruning.groups.types import Kind, Structure

TRIALS = 8  # other ways that are tried; alike reshapes of alike blocks count as one
_ATTENTION = "its layer `{}` is an attention layer of PyTorch {}"


def find_structure(module: nn.Module, example_inputs: Sequence[Any], choices: Choices = DEFAULT) -> Structure:
    """Find every group of coupled channels, what stays fixed, and what the forward pass computes.

    Args:
        module: any module; it is copied, never touched.
        example_inputs: positional arguments of its forward, a batch of any size.
        choices: the ways to take where there are several.
    Returns:
        The groups in the order of the forward pass. Equal modules give equal structures.
    Raises:
        ValueError: if it does not run on these inputs, or returns something other than tensors.
    """
    tracer = trace(module, record(module, tuple(example_inputs)), choices)
    shapes = {name: tuple(t.shape) for name, t in [*module.named_parameters(), *module.named_buffers()]}
    return assemble(tracer, shapes, _refused(module, choices))


def trace(module: nn.Module, recording: Recording, choices: Choices) -> Tracer:
    """Label everything in a recording of a network, by the ways that leave the most free to go."""
    return _widest(recording, choices, _kinds(module), _directions(module))


def _widest(
    recording: Recording, choices: Choices, kinds: Mapping[str, Kind], directions: set[tuple[str, int]]
) -> Tracer:
    """The trace that leaves the most parameters free to go.

    A reshape that splits a dimension can carry its labels on along one of the new ones only. The first way
    suits attention heads; at reshapes that came to nothing the others are tried, one place after the other.
    """

    def by(carriers: Mapping[SiteKey, int]) -> Tracer:
        known: dict[str, Any] = {"kinds": dict(kinds), "divisors": set(directions)}
        return Tracer(recording, rule_for, choices, carriers, **known).run()

    best = by({})
    units = _free_units(best)
    single = [{site: way} for site in _undecided(best) for way in range(1, len(site.ways))]
    for changes in single[:TRIALS]:
        best, units = _better(best, units, by({**best.carriers, **changes}))
    together = dict.fromkeys(_undecided(best), 1)
    if len(together) > 1:  # two reshapes that need each other, as into the pieces of a softmax and back
        best, units = _better(best, units, by({**best.carriers, **together}))
    return best


def _better(best: Tracer, units: tuple[int, int], other: Tracer) -> tuple[Tracer, tuple[int, int]]:
    """The one that leaves more free, with what it leaves free."""
    found = _free_units(other)
    return (other, found) if found > units else (best, units)


def _free_units(tracer: Tracer) -> tuple[int, int]:
    """Parameters that some choice of units could remove, and the number of units."""
    total, roots = 0, []
    for dims in tracer.parameters.values():
        free = [~tracer.labels.is_fixed(labels) for labels in dims]
        total += int(np.prod([len(labels) for labels in dims], dtype=np.int64))
        total -= int(np.prod([np.count_nonzero(~mask) for mask in free], dtype=np.int64))
        roots += [tracer.labels.find(labels)[mask] for labels, mask in zip(dims, free, strict=True)]
    return total, len(np.unique(np.concatenate(roots))) if roots else 0


def _undecided(tracer: Tracer) -> list[SiteKey]:
    """Reshapes that may have taken the wrong way; those into heads did not."""
    heads = [
        np.unique(tracer.labels.find(note.labels)) for note in tracer.notes if note.kind in ("head", "inside")
    ]
    several = [roots for roots in heads if np.count_nonzero(roots) > 1]
    right = np.unique(np.concatenate(several)) if several else np.zeros(0, np.int64)
    sites = []
    for site, vectors in tracer.sites.items():
        roots = tracer.labels.find(np.concatenate(vectors))
        if not np.isin(roots[roots != 0], right).any():
            sites.append(site)
    return sites


def _refused(module: nn.Module, choices: Choices) -> dict[str, str]:
    """Parameters of layers whose own code computes widths that no attribute could repair, and why."""
    reasons = {}
    for name, child in module.named_modules():
        if isinstance(child, nn.MultiheadAttention) and (why := _hinders(child, choices)):
            for own, _ in child.named_parameters():
                reasons[f"{name}.{own}" if name else own] = _ATTENTION.format(name, why)
    return reasons


def _hinders(layer: nn.MultiheadAttention, choices: Choices) -> str:
    if type(layer) not in (nn.MultiheadAttention, NarrowAttention):
        return "with code of its own"
    if layer.bias_k is not None or layer.add_zero_attn:
        return "with keys and values of its own"
    if choices.heads == "inside":
        return "that computes the width of a head from the width of the embedding"
    return ""


def _kinds(module: nn.Module) -> dict[str, Kind]:
    """Parameters whose rows have a name of their own."""
    return {
        f"{name}.{own}" if name else own: "recurrent unit"
        for name, child in module.named_modules()
        if isinstance(child, (nn.RNNBase, nn.RNNCellBase))
        for own, _ in child.named_parameters()
    }


def _directions(module: nn.Module) -> set[tuple[str, int]]:
    """The directions of weight norms by parameter and dimension: they are divided by their lengths."""
    found: set[tuple[str, int]] = set()
    for path, child in module.named_modules():
        inside = f"{path}." if path else ""
        if isinstance(child, ParametrizationList):
            norms: list[Any] = [part for part in child if type(part).__name__ == "_WeightNorm"]
            found.update((f"{inside}original1", norm.dim) for norm in norms)
        for hook in child._forward_pre_hooks.values():
            if isinstance(hook, WeightNorm) and hook.dim is not None:
                found.add((f"{inside}{hook.name}_v", hook.dim))
    return {(name, dim) for name, dim in found if dim >= 0}
