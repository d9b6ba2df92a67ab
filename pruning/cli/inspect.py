"""`models` and `inspect`: what there is."""

from __future__ import annotations

import textwrap
from argparse import Namespace
from typing import Any

from pruning.cli.console import Console, table
from pruning.cost import CostModel
from pruning.groups import Group, find_structure
from pruning.layers import find_layers
from pruning.models import MODELS, load_model
from pruning.models.loading import read_card

WIDTH = 100


def run_models(arguments: Namespace, console: Console) -> None:
    """List the built-in networks with what their cards say."""
    rows = [_model(name) for name in MODELS]
    console.data(rows)
    lines = []
    for row in rows:
        accuracy = row["test_accuracy"]
        shown = f"{100 * accuracy:.2f} %" if accuracy is not None else "not trained"
        parameters = f"{row['parameters']:,}" if row["parameters"] else ""
        lines.append((row["name"], parameters, shown, row["task"], row["description"]))
    console.text(table(("name", "parameters", "test accuracy", "data", "what it is"), lines))


def _model(name: str) -> dict[str, Any]:
    spec, card = MODELS[name], read_card(name)
    return {
        "name": name,
        "label": spec.label,
        "task": spec.task,
        "input_shape": list(spec.input_shape),
        "parameters": card.get("parameters"),
        "macs": card.get("macs"),
        "test_accuracy": card.get("accuracy", {}).get("test", {}).get("accuracy"),
        "source": spec.source,
        "description": spec.description,
    }


def run_inspect(arguments: Namespace, console: Console) -> None:
    """Print the layers, the groups, and what can not be pruned and why."""
    loaded = load_model(arguments.model, arguments.weights)
    with console.progress("finding coupled channels"):
        structure = find_structure(loaded.module, loaded.example_inputs)
        layers = find_layers(loaded.module, loaded.example_inputs)
        cost = CostModel(loaded.module, loaded.example_inputs, structure).cost()
    console.data(
        {
            "name": loaded.name,
            "provenance": loaded.provenance,
            "parameters": cost.parameters,
            "macs": cost.macs,
            "layers": [
                {
                    "name": layer.name,
                    "kind": layer.kind,
                    "weight_shape": list(layer.weight_shape),
                    "parameters": layer.parameters,
                    "macs": layer.macs,
                    "output_shape": list(layer.output_shape),
                    "prunable": layer.prunable,
                    "reason": layer.reason,
                }
                for layer in layers
            ],
            "groups": [
                {"id": g.id, "size": g.size, "kind": g.kind, "why": g.why, "producers": list(g.producers)}
                for g in structure.groups
            ],
        }
    )
    console.text(
        f"{loaded.name}: {cost.parameters:,} parameters, {cost.macs:,} MACs (multiply-accumulates of one "
        f"image); {loaded.provenance}",
        "",
        table(
            ("layer", "kind", "weight", "parameters", "MACs", "output", "single weights"),
            [
                (
                    layer.name,
                    layer.kind,
                    _shape(layer.weight_shape),
                    layer.parameters,
                    layer.macs,
                    _shape(layer.output_shape),
                    "prunable" if layer.prunable else layer.reason,
                )
                for layer in layers
            ],
        ),
        "",
        *(line for group in structure.groups for line in _group(group)),
    )


def _group(group: Group) -> list[str]:
    """A group and, below it, why its channels go together, wrapped for a terminal."""
    plural = "s" if group.size != 1 else ""
    title = f"group {group.id}: {group.size:,} {group.kind}{plural}"
    return [title, textwrap.fill(group.why, WIDTH, initial_indent="    ", subsequent_indent="    ")]


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
