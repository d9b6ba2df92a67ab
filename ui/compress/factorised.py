"""The network with factorised layers, and pruned as on the Prune page; both are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

import pruning
from pruning import Layer, Recipe
from pruning.compress.begin import Begun
from pruning.groups import find_structure
from pruning.lowrank import (
    LowRank,
    LowRankPlan,
    Prediction,
    carried,
    factorise,
    find_factorable,
    input_roots,
    plan_low_rank,
    predict,
)
from pruning.lowrank.scan import weight_error
from pruning.sparsity import masks_weights
from ui import cache


@dataclass(frozen=True, eq=False)
class Made:
    """A factorised network.

    Args:
        module: in eval mode.
        plan: its ranks, and what could have been factorised.
        layers: of `module`, in execution order.
        errors: factorised layer -> squared error of its weight, as a share of its squares.
        before, after: parameters and multiply-accumulates for one image, exact.
    """

    module: nn.Module
    plan: LowRankPlan
    layers: tuple[Layer, ...]
    errors: Mapping[str, float]
    before: Prediction
    after: Prediction


def made(model_id: str, settings: LowRank) -> Made:
    """The factorised network.

    Raises:
        ValueError, MissingData: as `pruning.lowrank.plan_low_rank`.
    """
    return _made(model_id, settings.digest, settings)


@cache.kept(6)
def _made(model_id: str, digest: str, _settings: LowRank) -> Made:
    loaded = cache.model(model_id)
    inputs = loaded.example_inputs
    roots = _roots(model_id, _settings.method) if _settings.data else None
    plan = plan_low_rank(loaded.module, _settings, example_inputs=inputs, roots=roots)
    module = factorise(loaded.module, plan.ranks, _settings.method, roots=plan.roots)
    dense = pruning.CostModel(loaded.module, inputs).dense
    chosen = {one.name: one for one in plan.candidates if one.name in plan.ranks}
    return Made(
        module=module,
        plan=plan,
        layers=tuple(pruning.find_layers(module, inputs)),
        errors={name: weight_error(loaded.module, module, one) for name, one in chosen.items()},
        before=Prediction(dense.parameters, dense.macs),
        after=predict(dense.parameters, dense.macs, chosen.values(), plan.ranks),
    )


@cache.kept(4)
def _roots(model_id: str, method: str) -> dict[str, Tensor]:
    """What weighs the errors of every layer, whatever its rank: seconds for a large network."""
    loaded = cache.model(model_id)
    candidates = find_factorable(loaded.module, loaded.example_inputs, method)
    return input_roots(loaded.module, cache.task(model_id), candidates)


def pruned(model_id: str, settings: LowRank, recipe: Recipe) -> Begun:
    """The same, pruned by a recipe of the whole network.

    Raises:
        ValueError: if the recipe does not fit factorised layers, in one sentence.
    """
    return _pruned(model_id, settings.digest, recipe.digest, settings, recipe)


@cache.kept(4)
def _pruned(model_id: str, digest: str, rules: str, _settings: LowRank, _recipe: Recipe) -> Begun:
    loaded, small = cache.model(model_id), made(model_id, _settings).module
    structure = find_structure(small, loaded.example_inputs, _recipe.choices)
    recipe = carried(_recipe, small, structure)
    needs = any(pruning.CRITERIA[rule.criterion].needs for rule in recipe.rules.values())
    plan = pruning.make_plan(
        small,
        recipe,
        example_inputs=loaded.example_inputs,
        task=cache.task(model_id) if needs else None,
        structure=structure,
    )
    if not recipe.rules:
        return Begun(small, plan, recipe)
    if all(masks_weights(rule.granularity) for rule in recipe.rules.values()):
        return Begun(pruning.apply_masks(small, plan), plan, recipe)
    return Begun(pruning.shrink(small, plan, loaded.example_inputs), plan, recipe)
