"""The network that is compressed: factorised, pruned, or that of a finished fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from pruning import Layer, Plan, Recipe
from pruning.compress.begin import Begun, begun
from pruning.runs.leave import checkpoint_name
from ui import cache, runs
from ui.compress import factorised
from ui.state import Session

if TYPE_CHECKING:
    from pathlib import Path

    from pruning.history import Run


@dataclass(frozen=True, eq=False)
class Base:
    """A network before its weights share values.

    Args:
        key: names it by its weights: model id and the digest of what was done to it.
        module, plan, recipe: as `pruning.compress.Begun`.
        layers: that can share values, in execution order.
        about: what each of them is, before channels went.
        label: what it is, in words.
    """

    key: str
    module: nn.Module
    plan: Plan
    recipe: Recipe
    layers: tuple[str, ...]
    about: Mapping[str, Layer]
    label: str


def of(session: Session) -> Base:
    """What this visitor compresses.

    Raises:
        ValueError: in one sentence, if a run's files are gone, or the recipe does not fit.
    """
    decided = session.decided
    rows: Sequence[Layer] = cache.layers(session.model_id)
    if decided.source:
        found = _of_run(session.model_id, decided.source)
        key, label = f"run {decided.source}", "the network of the chosen run"
    elif decided.low_rank is not None:
        recipe = session.recipe if decided.prune else Recipe(model=session.model)
        made = factorised.made(session.model_id, decided.low_rank)
        found, rows = factorised.pruned(session.model_id, decided.low_rank, recipe), made.layers
        key = f"low rank {decided.low_rank.digest} {recipe.digest}"
        label = "the factorised network, " + ("pruned and " if found.recipe.rules else "") + "not fine-tuned"
    elif decided.prune and session.recipe.rules:
        recipe = session.recipe
        plan = cache.plan(session.model_id, recipe)
        found = Begun(cache.pruned(session.model_id, recipe), plan, recipe)
        key, label = recipe.digest, "the network as pruned on the Prune page, not fine-tuned"
    else:
        recipe = Recipe(model=session.model)
        found = Begun(cache.model(session.model_id).module, cache.plan(session.model_id, recipe), recipe)
        key, label = "dense", "the dense network"
    about = {row.name: row for row in rows if row.prunable and _has(found.module, row.name)}
    where = f"{session.model_id} {cache.weights_digest(session.model_id)} {key}"
    return Base(where, found.module, found.plan, found.recipe, tuple(about), about, label)


def sources(session: Session) -> list[Run]:
    """Finished fine-tunings of this very network whose files are there, the latest first."""
    weights = cache.weights_digest(session.model_id)
    done = runs.history().runs(kind="fine-tuning", state="done", model=session.model, limit=50, study="")
    return [run for run in done if run.weights == weights and file_of(run.id, session.model).is_file()]


def file_of(run_id: str, model: str) -> Path:
    """The checkpoint that a fine-tuning has left."""
    return runs.history().folder(run_id) / checkpoint_name(model)


@cache.kept(4)
def _of_run(model_id: str, run_id: str) -> Begun:
    run = runs.find(run_id)
    loaded = cache.model(model_id)
    file = file_of(run_id, loaded.name)
    if run is None or run.model != loaded.name or not file.is_file():
        raise ValueError("The chosen run, or its file, is gone; choose another network to begin with.")
    if run.weights != cache.weights_digest(model_id):
        raise ValueError("The chosen run is of other weights of this network; choose another one.")
    return begun(loaded, file)


def _has(module: nn.Module, name: str) -> bool:
    try:
        weight = module.get_submodule(name)._parameters.get("weight")
    except AttributeError:
        return False
    return weight is not None
