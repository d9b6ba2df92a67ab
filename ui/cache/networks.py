"""Dense networks and what is known of them without any data: layers, groups, costs."""

from __future__ import annotations

import torch

import pruning
from pruning import MODELS, store
from pruning.blocks import BlockStructure, find_blocks
from pruning.checkpoint import SizeModel
from pruning.device import on_device
from pruning.graph import Graph, find_graph
from pruning.groups.choices import DEFAULT, Choices
from pruning.recipe import Granularity
from pruning.sparsity import parse
from ui import uploads
from ui.cache.keeping import freeze, kept, resource


@resource
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


@resource(max_entries=16)
def weights_digest(model_id: str) -> str:
    """Name of this network by the values of its weights, for results kept on disk."""
    return store.weights_digest(model(model_id).module)


@resource(max_entries=16)
def layers(model_id: str) -> tuple[pruning.Layer, ...]:
    """Layer records in execution order."""
    loaded = model(model_id)
    return tuple(pruning.find_layers(loaded.module, loaded.example_inputs))


def structure(model_id: str, choices: Choices = DEFAULT) -> pruning.Structure:
    """Which channels are coupled, and why."""
    return _structure(model_id, choices)


@resource(max_entries=32)
def _structure(model_id: str, choices: Choices) -> pruning.Structure:
    loaded = model(model_id)
    return pruning.find_structure(loaded.module, loaded.example_inputs, choices)


@resource(max_entries=16)
def blocks(model_id: str) -> BlockStructure:
    """Which whole layers can be dropped, and why not the others."""
    loaded = model(model_id)
    return find_blocks(loaded.module, loaded.example_inputs, structure(model_id))


@resource(max_entries=16)
def graph(model_id: str) -> Graph:
    """Which layer feeds which."""
    loaded = model(model_id)
    return find_graph(loaded.module, loaded.example_inputs)


@resource(max_entries=16)
def layer_graph(model_id: str) -> Graph:
    """The same with every layer that has parameters: norms too."""
    loaded = model(model_id)
    return find_graph(loaded.module, loaded.example_inputs, every_layer=True)


@resource(max_entries=16)
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


def cost_model(model_id: str, choices: Choices = DEFAULT) -> pruning.CostModel:
    """Exact parameters, MACs and bytes of any plan, in less than a millisecond."""
    return _cost_model(model_id, choices)


@resource(max_entries=32)
def _cost_model(model_id: str, choices: Choices) -> pruning.CostModel:
    loaded = model(model_id)
    return pruning.CostModel(loaded.module, loaded.example_inputs, structure(model_id, choices))


@resource(max_entries=16)
def size_model(model_id: str, choices: Choices) -> SizeModel:
    """Exact bytes of any plan's checkpoint, in less than a millisecond."""
    return SizeModel(model(model_id).module, structure(model_id, choices))
