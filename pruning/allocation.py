"""How one target is shared among layers or groups: from a single number to a ratio for each key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from pruning.registry import Registry

if TYPE_CHECKING:
    from pruning.sensitivity import Scan

Ratios = dict[str, float]
Family = Callable[[float], Ratios]
"""Level in 0..1 -> key -> ratio. No ratio falls as the level rises."""

STEPS = 10_000  # levels tried lie this close, so that uniform ratios come out as tidy numbers
TOLERANCE = 0.005  # share by which a jump between two levels may overshoot before the ratios are blended


@dataclass(frozen=True)
class Evidence:
    """What allocations look at; each says in its `needs` which fields it reads.

    Args:
        sizes: key -> number of units (channels of a group, weights of a layer), for the selected keys.
        scores: key -> scores of its units, any shape with `sizes[key]` values, higher = keep. Those of groups
            as `criteria.across_groups` gives them, as a recipe with scope "global" compares them.
        scan: of these keys.
        shapes: key -> shape of the layer's weight.
        minimum: key -> units that always stay; 1 for keys that are missing.
    """

    sizes: Mapping[str, int]
    scores: Mapping[str, Tensor] = field(default_factory=dict)
    scan: Scan | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    minimum: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Allocation:
    """One way to share a target.

    Args:
        name: the key in `ALLOCATIONS`.
        label: its name on a screen.
        description: shown on the screen.
        source: paper and arXiv number, or where it comes from.
        needs: fields of `Evidence` that it reads beside sizes.
        family: prepares the evidence once, and gives the ratios of any level.
        granularities: what it can share.
    """

    name: str
    label: str
    description: str
    source: str
    family: Callable[[Evidence], Family]
    needs: frozenset[str] = frozenset()
    granularities: frozenset[str] = frozenset({"channel", "weight"})


@dataclass(frozen=True)
class Allocated:
    """Ratios that reach a target.

    Args:
        ratios: key -> ratio.
        removed: the share that these ratios remove, at least the target.
        level: of the family that they come from.
    """

    ratios: Ratios
    removed: float
    level: float


def allocate(
    name: str,
    target: float,
    evidence: Evidence,
    removed: Callable[[Ratios], float] | None = None,
) -> Allocated:
    """Share a target among keys.

    Args:
        name: of an entry of `ALLOCATIONS`.
        target: share to remove, in [0, 1]. Of what, `removed` says: without it, of the units of the selected
            keys, all together (of their channels, or of their weights). A share of units is not a share of
            parameters: removing half of all channels takes about three quarters of the weights between
            them, and nothing from layers that were not selected.
        evidence: what the allocation needs.
        removed: ratios -> the share that they remove, never falling as ratios rise. For a share of the
            network's parameters or MACs use `share_removed`.
    Returns:
        The lowest ratios of this family that remove at least the target.
    Raises:
        ValueError: if the allocation is unknown, lacks evidence, or cannot reach the target.
    """
    entry = ALLOCATIONS[name]
    for need in sorted(entry.needs):
        if not getattr(evidence, need):
            raise ValueError(f"{entry.label} needs {need}; pass them in the evidence.")
    if not evidence.sizes:
        raise ValueError("Nothing is selected; choose at least one layer or group to prune.")
    return reach(entry.family(evidence), target, removed or partial(_unit_share, evidence.sizes))


def _unit_share(sizes: Mapping[str, int], ratios: Ratios) -> float:
    return sum(size * ratios.get(key, 0.0) for key, size in sizes.items()) / sum(sizes.values())


def share_removed(amount: Callable[[Ratios], int]) -> Callable[[Ratios], float]:
    """For `allocate`: the share of the network's parameters (or MACs, or bytes) that ratios remove.

    Args:
        amount: ratios -> parameters of the network pruned so, counted exactly, rounding included.
    """
    dense = amount({})
    return lambda ratios: 1 - amount(ratios) / dense if dense else 0.0


def reach(family: Family, target: float, removed: Callable[[Ratios], float]) -> Allocated:
    """The lowest ratios of a family that really remove a share, by bisection.

    Args:
        family: level -> ratios.
        target: share to remove, in [0, 1].
        removed: ratios -> the share that they remove, never falling as ratios rise.
    Raises:
        ValueError: if even the highest level removes less than the target.
    """
    if not 0 <= target <= 1:
        raise ValueError(f"The target must lie between 0 and 1, not {target}.")

    def at(step: int) -> Allocated:
        ratios = family(step / STEPS)
        return Allocated(ratios, removed(ratios), step / STEPS)

    def enough(tried: Allocated) -> bool:
        return tried.removed >= target - 1e-12

    found, below = at(0), Allocated(dict.fromkeys(family(0.0), 0.0), 0.0, 0.0)
    if enough(below):
        return below
    if not enough(found):
        below, found = found, at(STEPS)
        if not enough(found):
            raise ValueError(
                f"At most {100 * found.removed:.1f} % can be removed from what is selected;"
                " ask for less, or select more."
            )
        low, high = 0, STEPS
        while high - low > 1:
            middle = (low + high) // 2
            if enough(tried := at(middle)):
                high, found = middle, tried
            else:
                low, below = middle, tried
    return _blend(below, found, target, removed) if found.removed - target > TOLERANCE else found


def _blend(
    below: Allocated, above: Allocated, target: float, removed: Callable[[Ratios], float]
) -> Allocated:
    """Ratios between those of two neighbouring levels, where the family jumps over the target."""
    found, low, high = above, 0, STEPS
    while high - low > 1:
        middle = (low + high) // 2
        part = middle / STEPS
        ratios = {
            key: below.ratios[key] + part * (ratio - below.ratios[key]) for key, ratio in above.ratios.items()
        }
        if (share := removed(ratios)) >= target:
            high, found = middle, Allocated(ratios, share, above.level)
        else:
            low = middle
    return found


def uniform(evidence: Evidence) -> Family:
    """The same ratio for every key; the level is the ratio."""
    return lambda level: dict.fromkeys(evidence.sizes, level)


def global_threshold(evidence: Evidence) -> Family:
    """One threshold over the scores of all keys: what lies below goes, wherever it is.

    The level is the share of all units that goes, those excepted that always stay. Counted by rank, so that
    ties never take more than was asked; equal scores go in the order of the keys.
    """
    ordered = {key: _removable(evidence.scores, key, evidence.minimum.get(key, 1)) for key in evidence.sizes}
    everything = np.sort(np.concatenate(list(ordered.values())))
    total = sum(evidence.sizes.values())

    def ratios(level: float) -> Ratios:
        count = min(round(level * total), len(everything))
        if count == len(everything):
            gone = {key: len(scores) for key, scores in ordered.items()}
        else:
            threshold = everything[count]
            gone = {key: int(np.searchsorted(scores, threshold)) for key, scores in ordered.items()}
            left = count - sum(gone.values())
            for key, scores in ordered.items():  # those that equal the threshold
                taken = min(int(np.searchsorted(scores, threshold, "right")) - gone[key], left)
                gone[key] += taken
                left -= taken
        return {key: gone[key] / size for key, size in evidence.sizes.items()}

    return ratios


def _removable(scores: Mapping[str, Tensor], key: str, minimum: int) -> np.ndarray:
    """The scores of one key in ascending order, without those of the units that always stay."""
    if key not in scores:
        raise ValueError(f"There are no scores of {key!r}; score every selected key.")
    ordered = np.sort(scores[key].detach().cpu().flatten().numpy())
    return ordered[: max(len(ordered) - minimum, 0)]


def from_sensitivity(evidence: Evidence) -> Family:
    """Every key as far as its measured curve allows within one loss of accuracy; the level is that loss.

    Level 0.01 is one percentage point.

    Curves are straight lines between measured ratios, and never rise again: a ratio counts only if no
    smaller one lost more. Nothing is taken beyond the largest measured ratio.
    """
    scan = evidence.scan
    assert scan is not None  # `allocate` has checked it
    curves = {}
    for key in evidence.sizes:
        points = sorted((p for p in scan.points if p.key == key and p.ratio > 0), key=lambda p: p.ratio)
        if not points:
            raise ValueError(f"The scan has no points of {key!r}; scan every selected key first.")
        lost = accumulate((scan.dense.accuracy - p.accuracy for p in points), max, initial=0.0)
        curves[key] = ([0.0, *(p.ratio for p in points)], list(lost))

    def ratios(level: float) -> Ratios:
        return {key: _crossing(*curve, level) for key, curve in curves.items()}

    return ratios


def _crossing(ratios: list[float], lost: list[float], level: float) -> float:
    """The largest ratio at which straight lines through ascending losses are still within a level."""
    beyond = next((i for i, loss in enumerate(lost) if loss > level + 1e-12), None)
    if beyond is None:
        return ratios[-1]
    part = (level - lost[beyond - 1]) / (lost[beyond] - lost[beyond - 1])
    return ratios[beyond - 1] + max(part, 0.0) * (ratios[beyond] - ratios[beyond - 1])


def erdos_renyi_kernel(evidence: Evidence) -> Family:
    """Density of a layer in proportion to the sum of its weight's dimensions over their product.

    The level is the share of all weights that goes. Layers that would get more than all of their weights keep
    them all, and the others share the rest.
    """
    keys = list(evidence.sizes)
    if missing := [key for key in keys if key not in evidence.shapes]:
        raise ValueError(f"There is no weight shape of {missing[0]!r}; this allocation is for layers only.")
    weights = {key: prod(evidence.shapes[key]) for key in keys}
    raw = {key: sum(evidence.shapes[key]) / weights[key] for key in keys}

    def ratios(level: float) -> Ratios:
        left = (1 - level) * sum(weights.values())
        dense: set[str] = set()
        while True:
            sparse = [key for key in keys if key not in dense]
            scale = (left - sum(weights[key] for key in dense)) / max(
                sum(raw[key] * weights[key] for key in sparse), 1e-300
            )
            if not (full := {key for key in sparse if scale * raw[key] >= 1}):
                return {key: 0.0 if key in dense else 1 - max(scale, 0.0) * raw[key] for key in keys}
            dense |= full

    return ratios


ALLOCATIONS: Registry[Allocation] = Registry("allocation")

for _entry in (
    Allocation(
        name="uniform",
        label="Uniform",
        description=(
            "The same ratio everywhere. Simple and strong for mild pruning; it ignores that some layers "
            "bear more than others."
        ),
        source="the usual baseline, as in Li et al. 2016, arXiv:1608.08710",
        family=uniform,
    ),
    Allocation(
        name="global_threshold",
        label="Global threshold",
        description=(
            "One threshold on the scores of all layers: what lies below goes, so that each layer's ratio "
            "follows from its scores. Only sensible for criteria whose scores are comparable between "
            "layers, such as Taylor or LAMP; with LAMP this is the paper's layer-adaptive sparsity."
        ),
        source="Han et al. 2015, arXiv:1506.02626; with LAMP: Lee et al. 2020, arXiv:2010.07611",
        family=global_threshold,
        needs=frozenset({"scores"}),
    ),
    Allocation(
        name="from_sensitivity",
        label="From the sensitivity scan",
        description=(
            "Each layer as far as its measured curve allows within one and the same loss of accuracy; the "
            "smallest such loss that reaches the target. Layers that nobody misses give most."
        ),
        source="after the sensitivity analysis of Li et al. 2016, arXiv:1608.08710",
        family=from_sensitivity,
        needs=frozenset({"scan"}),
    ),
    Allocation(
        name="erk",
        label="Erdős-Rényi kernel (ERK)",
        description=(
            "Large layers become sparser than small ones: a layer's density is proportional to the sum of "
            "its weight's dimensions divided by their product. Needs no data and no scores."
        ),
        source="Evci et al. 2019, arXiv:1911.11134",
        family=erdos_renyi_kernel,
        needs=frozenset({"shapes"}),
        granularities=frozenset({"weight"}),
    ),
):
    ALLOCATIONS.add(_entry.name, _entry)
