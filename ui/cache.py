"""What is worth computing once for all visitors: models, structures, scores, measurements.

The only module that uses `st.cache_*`. Keys are a model id (see `ui.uploads.model_id`), names and digests,
never a tensor. What these functions return is shared by every session: read it, never change it; the engine's
own functions return modified copies.
"""

from __future__ import annotations

import gc
import sys
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st
import torch

import pruning
from pruning import MODELS, store
from pruning.blocks import BlockStructure, find_blocks
from pruning.checkpoint import Form, SizeModel, checkpoint_bytes
from pruning.device import on_device
from pruning.explain import Comparison, compare
from pruning.graph import Graph, find_graph
from pruning.groups.choices import DEFAULT, Choices
from pruning.live import LiveEvaluator
from pruning.recipe import Granularity
from pruning.replay import BUDGET
from pruning.sparsity import LayerScores, Stops, masks_weights, parse, scored_as
from pruning.weights import SortedScores
from ui import uploads
from ui.bounded import Bounded
from ui.draft import usual_criterion
from ui.jobs import JobManager

if TYPE_CHECKING:
    from torch import Tensor, nn

_resource = partial(st.cache_resource, show_spinner=False)


kept = Bounded(limit=1 << 30).keep  # like `_resource`, for results that grow with the network


def freeze() -> None:
    """Collect garbage once and exempt what is left from later collections.

    Streamlit runs a full collection after each script or fragment run; over the objects of torch, plotly and
    pandas that takes 150 ms and holds the interpreter's lock.
    """
    gc.collect()
    gc.freeze()


_frozen_modules = 0


def freeze_imports() -> None:
    """`freeze` again if many modules came in since the last time: pages import theirs when they run."""
    global _frozen_modules
    if len(sys.modules) > _frozen_modules + 20:
        _frozen_modules = len(sys.modules)
        freeze()


@_resource
def jobs() -> JobManager:
    """The manager of long work, one for the whole server."""
    return JobManager()


@_resource
def parameter_counts() -> dict[str, int]:
    """Architecture name -> number of parameters, without reading weights.

    Building all eight takes 30 ms; on the meta device it would be a second, for what that imports.
    """
    with torch.random.fork_rng(devices=[]):
        return {name: sum(p.numel() for p in pruning.build_model(name).parameters()) for name in MODELS}


@kept(16)
def model(model_id: str) -> pruning.LoadedModel:
    """The dense network, on the device that the id names.

    Raises:
        ValueError: if there is no such model or device, or its uploaded weights are gone.
    """
    name, digest = uploads.split_id(model_id)
    weights = uploads.find(name, digest) if digest else None
    if digest and weights is None:
        raise ValueError("The uploaded weights are no longer in the cache directory; upload the file again.")
    loaded = on_device(pruning.load_model(name, weights=weights), uploads.device_in(model_id))
    freeze()
    return loaded


@_resource
def use_data_dir(path: str | None) -> None:
    """Read data sets from there, if a path is given; the first call decides for the whole server."""
    if path:
        pruning.set_data_dir(path)


@_resource(max_entries=8)
def task_named(name: str) -> pruning.Task:
    """The data of this name.

    Raises:
        MissingData: if its files are not in the data directory.
    """
    return pruning.load_task(name)


def task(model_id: str) -> pruning.Task:
    """The data that this model is measured on; raises `MissingData` like `task_named`."""
    return task_named(MODELS[uploads.split_id(model_id)[0]].task)


@_resource(max_entries=16)
def layers(model_id: str) -> tuple[pruning.Layer, ...]:
    """Layer records in execution order."""
    loaded = model(model_id)
    return tuple(pruning.find_layers(loaded.module, loaded.example_inputs))


def structure(model_id: str, choices: Choices = DEFAULT) -> pruning.Structure:
    """Which channels are coupled, and why."""
    return _structure(model_id, choices)


@_resource(max_entries=32)
def _structure(model_id: str, choices: Choices) -> pruning.Structure:
    loaded = model(model_id)
    return pruning.find_structure(loaded.module, loaded.example_inputs, choices)


@_resource(max_entries=16)
def blocks(model_id: str) -> BlockStructure:
    """Which whole layers can be dropped, and why not the others."""
    loaded = model(model_id)
    return find_blocks(loaded.module, loaded.example_inputs, structure(model_id))


@_resource(max_entries=16)
def graph(model_id: str) -> Graph:
    """Which layer feeds which."""
    loaded = model(model_id)
    return find_graph(loaded.module, loaded.example_inputs)


@_resource(max_entries=16)
def layer_graph(model_id: str) -> Graph:
    """The same with every layer that has parameters: norms too."""
    loaded = model(model_id)
    return find_graph(loaded.module, loaded.example_inputs, every_layer=True)


@_resource(max_entries=16)
def summary(model_id: str) -> str:
    """torchinfo's table."""
    loaded = model(model_id)
    return pruning.summary_text(loaded.module, loaded.example_inputs)


def keys(model_id: str, granularity: Granularity, choices: Choices = DEFAULT) -> tuple[str, ...]:
    """What a ratio can be given for: group ids ("channel"), block ids ("layer"), or layers that it fits."""
    if granularity == "channel":
        return tuple(group.id for group in structure(model_id, choices).groups)
    if granularity == "layer":
        return tuple(block.id for block in blocks(model_id).blocks)
    misfit, module = parse(granularity).misfit, model(model_id).module
    names = (layer.name for layer in layers(model_id) if layer.prunable)
    return tuple(name for name in names if not misfit(module.get_submodule(name)))


def criterion_fits(name: str, granularity: Granularity) -> bool:
    """Whether there is such a criterion, and it can rank parts of this granularity."""
    return name in pruning.CRITERIA and scored_as(granularity) in pruning.CRITERIA[name].granularities


def criterion_for(granularity: Granularity, wanted: str) -> str:
    """That criterion if it was chosen and can rank parts of this granularity, else the usual one."""
    chosen = wanted not in ("l2", "influence")  # the usual ones
    return wanted if chosen and criterion_fits(wanted, granularity) else usual_criterion(granularity)


def cost_model(model_id: str, choices: Choices = DEFAULT) -> pruning.CostModel:
    """Exact parameters, MACs and bytes of any plan, in less than a millisecond."""
    return _cost_model(model_id, choices)


@_resource(max_entries=32)
def _cost_model(model_id: str, choices: Choices) -> pruning.CostModel:
    loaded = model(model_id)
    return pruning.CostModel(loaded.module, loaded.example_inputs, structure(model_id, choices))


@_resource(max_entries=16)
def size_model(model_id: str, choices: Choices) -> SizeModel:
    """Exact bytes of any plan's checkpoint, in less than a millisecond."""
    return SizeModel(model(model_id).module, structure(model_id, choices))


@_resource(max_entries=16)
def weights_digest(model_id: str) -> str:
    """Name of this network by the values of its weights, for results kept on disk."""
    return store.weights_digest(model(model_id).module)


@_resource(max_entries=64)
def score_histograms(
    model_id: str, granularity: Granularity, criterion: str, seed: int, choices: Choices
) -> dict[str, tuple[int, ...]]:
    """Group id or layer name -> counts of its scores in 28 bins, lowest first, for a small drawing."""
    found = scores(model_id, granularity, criterion, seed, choices)
    bins = {key: SortedScores(values).compact(28).counts for key, values in found.items()}
    return {key.removesuffix(".weight"): tuple(counts.tolist()) for key, counts in bins.items()}


@_resource(max_entries=2)
def live(model_id: str, choices: Choices) -> LiveEvaluator:
    """Measures recipes while they are edited; raises `MissingData` without data."""
    loaded, found = model(model_id), structure(model_id, choices)
    budget = store.megabytes("PRUNING_ACTIVATIONS_MB", BUDGET)
    return LiveEvaluator(loaded.module, task(model_id), loaded.example_inputs, structure=found, budget=budget)


@kept(16)
def statistics(model_id: str, needs: tuple[str, ...]) -> pruning.Statistics:
    """Activation and gradient statistics on calibration data; raises `MissingData` without data."""
    return pruning.collect_statistics(model(model_id).module, task(model_id), frozenset(needs))


def unscorable(
    model_id: str, granularity: Granularity, criterion: str, choices: Choices = DEFAULT
) -> dict[str, str]:
    """Keys that a criterion cannot rank and that stay whole under it, each with the reason; usually none."""
    return _unscorable(model_id, criterion, choices) if granularity == "channel" else {}


@_resource(max_entries=64)
def _unscorable(model_id: str, criterion: str, choices: Choices) -> dict[str, str]:
    return pruning.unscorable(model(model_id).module, structure(model_id, choices).groups, criterion)


def scores(
    model_id: str, granularity: Granularity, criterion: str, seed: int = 0, choices: Choices = DEFAULT
) -> dict[str, Tensor]:
    """Scores, higher = keep: group id -> (size,), block id -> (1,), or parameter name -> weight shape.

    Groups that the criterion cannot rank (`unscorable`) are left out.

    Raises:
        MissingData: if the criterion needs calibration data and there is none.
    """
    kind = scored_as(granularity)
    return _scores(model_id, kind, criterion, seed, choices if kind == "channel" else DEFAULT)


@kept(32)
def _scores(
    model_id: str, granularity: Granularity, criterion: str, seed: int, choices: Choices
) -> dict[str, Tensor]:
    needs = tuple(sorted(pruning.CRITERIA[criterion].needs))
    known = statistics(model_id, needs) if needs else None
    module = model(model_id).module
    if granularity == "channel":
        cannot = unscorable(model_id, granularity, criterion, choices)
        groups = [group for group in structure(model_id, choices).groups if group.id not in cannot]
        return pruning.score_groups(module, groups, criterion, statistics=known, seed=seed)
    if granularity == "layer":
        return pruning.score_blocks(module, blocks(model_id).blocks, criterion, statistics=known, seed=seed)
    return pruning.score_weights(module, layers(model_id), criterion, statistics=known, seed=seed)


@kept(64)
def sorted_scores(
    model_id: str, granularity: Granularity, criterion: str, seed: int, choices: Choices, key: str
) -> SortedScores:
    """Scores of one group or layer, sorted once.

    Args:
        key: group id or layer name.
    Raises:
        KeyError: if there is no such group or layer, or the criterion cannot rank it.
        MissingData: as `scores`.
    """
    if granularity == "channel":
        return SortedScores(scores(model_id, granularity, criterion, seed, choices)[key])
    return SortedScores(_layer_scores(model_id, criterion, seed, key), reuse=True)  # one copy less


def _layer_scores(model_id: str, criterion: str, seed: int, name: str) -> Tensor:
    """Scores of one layer's weights alone, in memory of their own."""
    needs = tuple(sorted(pruning.CRITERIA[criterion].needs))
    known = statistics(model_id, needs) if needs else None
    own = [layer for layer in layers(model_id) if layer.name == name]
    module = model(model_id).module
    (found,) = pruning.score_weights(module, own, criterion, known, seed).values()
    weight = module.get_submodule(name).weight.untyped_storage()  # type: ignore[operator]
    shared = needs or found.untyped_storage().data_ptr() == weight.data_ptr()
    return found.clone() if shared else found


@_resource(max_entries=64)
def stops(model_id: str, granularity: Granularity, criterion: str, seed: int = 0) -> dict[str, Stops]:
    """Key -> the counts that a granularity allows; none for those that allow every count.

    Raises:
        MissingData: as `scores`.
    """
    if not masks_weights(granularity) or granularity == "weight":  # single weights allow every count
        return {}
    found, module = scores(model_id, granularity, criterion, seed), model(model_id).module
    cutter = parse(granularity).prepare(module)
    cuts = {
        key: cutter(LayerScores(module.get_submodule(key), found[pruning.layers.qualified(key, "weight")]))
        for key in keys(model_id, granularity)
    }
    return {key: cut.stops for key, cut in cuts.items() if cut.stops is not None}


@_resource(max_entries=16)
def dense_report(model_id: str) -> pruning.Report:
    """Measured accuracy of the dense network on all validation images; raises `MissingData` without data."""
    return pruning.evaluate(model(model_id).module, task(model_id))


@_resource(max_entries=16)
def dense_reports(model_id: str) -> dict[str, pruning.Report]:
    """Split -> measured accuracy of the dense network on it, as far as background work has found it out."""
    return {}


@_resource(max_entries=16)
def timings(model_id: str) -> dict[str, pruning.Timing]:
    """Recipe digest -> latency in turns with the dense network, as far as `ui.latencies` has measured it."""
    return {}


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


def plan(model_id: str, recipe: pruning.Recipe) -> pruning.Plan:
    """Exact counts and masks of a recipe for this model."""
    return _plan(model_id, recipe.digest, recipe)


@kept(8)
def _pruned(model_id: str, digest: str, _recipe: pruning.Recipe) -> nn.Module:
    loaded, planned = model(model_id), plan(model_id, _recipe)
    if any(rule.granularity == "channel" for rule in _recipe.rules.values()):
        return pruning.shrink(loaded.module, planned, loaded.example_inputs)
    return pruning.apply_masks(loaded.module, planned)


def pruned(model_id: str, recipe: pruning.Recipe) -> nn.Module:
    """The pruned network: really smaller for channels, masked for single weights."""
    return _pruned(model_id, recipe.digest, recipe)


@_resource(max_entries=16)
def _pruned_report(model_id: str, digest: str, _recipe: pruning.Recipe) -> pruning.Report:
    return pruning.evaluate(_pruned(model_id, digest, _recipe), task(model_id))


def pruned_report(model_id: str, recipe: pruning.Recipe) -> pruning.Report:
    """Measured accuracy of the pruned network on all validation images; raises `MissingData` without data."""
    return _pruned_report(model_id, recipe.digest, recipe)


@kept(4)
def _exported(model_id: str, digest: str, form: Form, _recipe: pruning.Recipe) -> bytes:
    small = _pruned(model_id, digest, _recipe)
    return checkpoint_bytes(small, plan(model_id, _recipe), _recipe, form=form)


def exported(model_id: str, recipe: pruning.Recipe, form: Form) -> bytes:
    """The checkpoint file of the pruned network, as it is downloaded."""
    return _exported(model_id, recipe.digest, form, recipe)


@_resource(max_entries=64)
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


def explained(
    model_id: str, recipe: pruning.Recipe, method: str, layer: str | None, images: tuple[int, ...]
) -> Comparison:
    """Attribution maps of both networks on these validation images; raises `MissingData` without data."""
    return _explained(model_id, recipe.digest, method, layer, images, recipe)
