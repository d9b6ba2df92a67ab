"""Measured accuracy of dense and pruned networks, and what measures recipes while they are edited."""

from __future__ import annotations

import pruning
from pruning import store
from pruning.groups.choices import Choices
from pruning.live import LiveEvaluator
from pruning.replay import BUDGET
from ui.cache.data import task
from ui.cache.keeping import resource
from ui.cache.networks import model, structure
from ui.cache.recipes import pruned


@resource(max_entries=16)
def dense_report(model_id: str) -> pruning.Report:
    """Measured accuracy of the dense network on all validation images; raises `MissingData` without data."""
    return pruning.evaluate(model(model_id).module, task(model_id))


@resource(max_entries=16)
def dense_reports(model_id: str) -> dict[str, pruning.Report]:
    """Split -> measured accuracy of the dense network on it, as far as background work has found it out."""
    return {}


def pruned_report(model_id: str, recipe: pruning.Recipe) -> pruning.Report:
    """Measured accuracy of the pruned network on all validation images; raises `MissingData` without data."""
    return _pruned_report(model_id, recipe.digest, recipe)


@resource(max_entries=16)
def _pruned_report(model_id: str, digest: str, _recipe: pruning.Recipe) -> pruning.Report:
    return pruning.evaluate(pruned(model_id, _recipe), task(model_id))


@resource(max_entries=2)
def live(model_id: str, choices: Choices) -> LiveEvaluator:
    """Measures recipes while they are edited; raises `MissingData` without data."""
    loaded, found = model(model_id), structure(model_id, choices)
    budget = store.megabytes("PRUNING_ACTIVATIONS_MB", BUDGET)
    return LiveEvaluator(loaded.module, task(model_id), loaded.example_inputs, structure=found, budget=budget)
