"""What a recipe makes of a network: counts, the pruned network, its file, its explanations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

import pruning
from pruning.checkpoint import Form, checkpoint_bytes
from pruning.explain import Comparison, compare
from ui.cache.data import task
from ui.cache.keeping import kept, resource
from ui.cache.networks import blocks, model, structure
from ui.cache.scoring import scores

if TYPE_CHECKING:
    from torch import nn


def plan(model_id: str, recipe: pruning.Recipe) -> pruning.Plan:
    """Exact counts and masks of a recipe for this model."""
    return _plan(model_id, recipe.digest, recipe)


@kept(16)
def _plan(model_id: str, digest: str, _recipe: pruning.Recipe) -> pruning.Plan:
    rules = _recipe.rules.values()
    # Whole layers are switches, which need no scores.
    way = {(rule.granularity, rule.criterion) for rule in rules if rule.granularity != "layer"}
    known = scores(model_id, *way.pop(), _recipe.seed, _recipe.choices) if len(way) == 1 else None
    loaded = model(model_id)
    needs_task = known is None and any(pruning.CRITERIA[criterion].needs for _, criterion in way)
    return pruning.make_plan(
        loaded.module,
        _recipe,
        example_inputs=loaded.example_inputs,
        task=task(model_id) if needs_task else None,
        structure=structure(model_id, _recipe.choices),
        scores=known,
        blocks=blocks(model_id) if any(rule.granularity == "layer" for rule in rules) else None,
    )


def pruned(model_id: str, recipe: pruning.Recipe) -> nn.Module:
    """The pruned network: really smaller for channels, masked for single weights."""
    return _pruned(model_id, recipe.digest, recipe)


@kept(8)
def _pruned(model_id: str, digest: str, _recipe: pruning.Recipe) -> nn.Module:
    loaded, planned = model(model_id), plan(model_id, _recipe)
    if any(rule.granularity == "channel" for rule in _recipe.rules.values()):
        return pruning.shrink(loaded.module, planned, loaded.example_inputs)
    return pruning.apply_masks(loaded.module, planned)


def exported(model_id: str, recipe: pruning.Recipe, form: Form) -> bytes:
    """The checkpoint file of the pruned network, as it is downloaded."""
    return _exported(model_id, recipe.digest, form, recipe)


@kept(8)
def _exported(model_id: str, digest: str, form: Form, _recipe: pruning.Recipe) -> bytes:
    small = _pruned(model_id, digest, _recipe)
    return checkpoint_bytes(small, plan(model_id, _recipe), _recipe, form=form)


def explained(
    model_id: str, recipe: pruning.Recipe, method: str, layer: str | None, images: tuple[int, ...]
) -> Comparison:
    """Attribution maps of both networks on these validation images; raises `MissingData` without data."""
    return _explained(model_id, recipe.digest, method, layer, images, recipe)


@resource(max_entries=64)
def _explained(
    model_id: str,
    digest: str,
    method: str,
    layer: str | None,
    images: tuple[int, ...],
    _recipe: pruning.Recipe,
) -> Comparison:
    dense, small = model(model_id).module, _pruned(model_id, digest, _recipe)
    validation = task(model_id).validation
    x = torch.stack([validation[image][0] for image in images])
    return compare(dense, small, x, method, layer=layer)
