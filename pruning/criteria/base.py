"""What a criterion is, and the registry of all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from pruning.criteria.views import BlockView, GroupView, LayerView
from pruning.registry import Registry


@dataclass(frozen=True)
class Criterion:
    """A way to score weights, units of a group, or whole layers; higher = keep.

    Args:
        name: the key in `CRITERIA`.
        label: its name on a screen.
        description: how it scores and when that is a good idea; shown on the screen.
        source: paper and arXiv number.
        needs: statistics that it reads: any of "inputs", "gradients", "conductance", "blocks".
        weights: scores like the weight, of one layer; None if it cannot score single weights.
        units: scores (size,) of one group; None if it cannot score units.
        layers: score (1,) of one block; None if it cannot score whole layers.
        misfit: why it cannot score a group that it is shown, "" if it can.
        comparable: whether scores of different groups have the same meaning as they are, as changes of the
            loss have; if not, `across_groups` divides them by their mean before one threshold is applied.
    """

    name: str
    label: str
    description: str
    source: str
    needs: frozenset[str] = frozenset()
    weights: Callable[[LayerView], Tensor] | None = None
    units: Callable[[GroupView], Tensor] | None = None
    layers: Callable[[BlockView], Tensor] | None = None
    misfit: Callable[[GroupView], str] = lambda view: ""
    comparable: bool = False

    @property
    def granularities(self) -> frozenset[str]:
        """Any of "weight" (every mask over weights: see `sparsity.scored_as`), "channel" and "layer"."""
        offered = {"weight": self.weights, "channel": self.units, "layer": self.layers}
        return frozenset(name for name, score in offered.items() if score is not None)


CRITERIA: Registry[Criterion] = Registry("criterion")


def register(criterion: Criterion) -> None:
    """Add a criterion to `CRITERIA` under its own name."""
    CRITERIA.add(criterion.name, criterion)
