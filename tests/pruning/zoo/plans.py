"""Plans for any network."""

from __future__ import annotations

import torch
from torch import Tensor

from pruning.groups import Structure
from pruning.plan import Plan, PlanEntry, kept_count


def random_plan(structure: Structure, seed: int) -> Plan:
    """A plan that keeps a random number of random units of every group; seed 0 keeps one unit of each."""
    generator = torch.Generator().manual_seed(seed)
    keep = {}
    for group in structure.groups:
        kept = int(torch.randint(1, group.size + 1, (1,), generator=generator)) if seed else 1
        mask = torch.zeros(group.size, dtype=torch.bool)
        mask[torch.randperm(group.size, generator=generator)[:kept]] = True
        keep[group.id] = mask
    return _plan(structure, keep)


def ratio_plan(structure: Structure, ratio: float, seed: int = 0) -> Plan:
    """A plan that removes that share of every group, as near as it goes, at random."""
    generator = torch.Generator().manual_seed(seed)
    keep = {}
    for group in structure.groups:
        kept = kept_count(group.size, ratio, minimum=group.minimum)
        mask = torch.zeros(group.size, dtype=torch.bool)
        mask[torch.randperm(group.size, generator=generator)[:kept]] = True
        keep[group.id] = mask
    return _plan(structure, keep)


def _plan(structure: Structure, keep: dict[str, Tensor]) -> Plan:
    entries = tuple(
        PlanEntry(name, "channel", "random", 1 - float(mask.float().mean()), len(mask), int(mask.sum()))
        for name, mask in keep.items()
    )
    return Plan(keep, entries, structure)
