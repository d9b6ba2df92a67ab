"""Scores as a plan asks for them: given ones first, the others computed once for each criterion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from pruning.groups import Group, Structure
from pruning.layers import find_layers
from pruning.recipe import Granularity, Recipe
from pruning.sparsity import scored_as

if TYPE_CHECKING:
    from pruning.statistics import Statistics
    from pruning.tasks import Task


def weight_name(layer: str) -> str:
    """The qualified name of a layer's weight."""
    return f"{layer}.weight" if layer else "weight"


class KnownScores:
    """Scores of groups and layers.

    Args:
        module: the network, never changed.
        recipe: whose keys are scored.
        example_inputs: positional arguments of its forward.
        task: for criteria that need calibration data.
        structure: of the network.
        given: as `make_plan` takes them.
    """

    def __init__(
        self,
        module: nn.Module,
        recipe: Recipe,
        example_inputs: tuple[Any, ...],
        task: Task | None,
        structure: Structure,
        given: Mapping[str, Tensor],
    ) -> None:
        self.module, self.recipe, self.inputs, self.task = module, recipe, example_inputs, task
        self.structure, self.given = structure, given
        self._statistics: dict[frozenset[str], Statistics | None] = {}
        self._computed: dict[tuple[Granularity, str], dict[str, Tensor]] = {}

    def of_group(self, group: Group, criterion: str) -> Tensor:
        """(size,), on the CPU."""
        return self._checked(group.id, group.id, (group.size,), "channel", criterion)

    def of_weight(self, layer: str, weight: Tensor, criterion: str) -> Tensor:
        """Like the weight, on the CPU."""
        return self._checked(weight_name(layer), layer, tuple(weight.shape), "weight", criterion)

    def _checked(
        self, name: str, key: str, shape: tuple[int, ...], granularity: Granularity, criterion: str
    ) -> Tensor:
        found = self.given.get(name)
        if found is None:
            found = self._all(granularity, criterion)[name]
        if tuple(found.shape) != shape:
            raise ValueError(f"The scores of {key!r} have shape {tuple(found.shape)}; expected is {shape}.")
        return found.detach().cpu()

    def _all(self, granularity: Granularity, criterion: str) -> dict[str, Tensor]:
        """Scores of all keys of the recipe that use this granularity and criterion."""
        from pruning.criteria import CRITERIA, score_groups, score_weights

        if (granularity, criterion) not in self._computed:
            rules = self.recipe.rules.items()
            keys = {
                key
                for key, rule in rules
                if (scored_as(rule.granularity), rule.criterion) == (granularity, criterion)
            }
            statistics = self._known(CRITERIA[criterion].needs, criterion)
            seed = self.recipe.seed
            if granularity == "channel":
                groups = [group for group in self.structure.groups if group.id in keys]
                found = score_groups(self.module, groups, criterion, statistics, seed)
            else:
                layers = [layer for layer in find_layers(self.module, self.inputs) if layer.name in keys]
                if held := next((layer for layer in layers if not layer.prunable), None):
                    raise ValueError(f"Weights of {held.name!r} cannot be pruned: {held.reason}")
                found = score_weights(self.module, layers, criterion, statistics, seed)
            self._computed[granularity, criterion] = found
        return self._computed[granularity, criterion]

    def _known(self, needs: frozenset[str], criterion: str) -> Statistics | None:
        """Statistics of calibration data, collected once for each set of needs."""
        from pruning.statistics import collect_statistics

        if not needs:
            return None
        if self.task is None:
            raise ValueError(f"The criterion {criterion!r} needs calibration data; give make_plan a task.")
        if needs not in self._statistics:
            self._statistics[needs] = collect_statistics(self.module, self.task, needs)
        return self._statistics[needs]
