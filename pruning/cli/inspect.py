"""`models` and `inspect`: what there is."""

from __future__ import annotations

import textwrap
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pruning.checkpoint.text import GRADES
from pruning.cli.console import Console, choices_of, table
from pruning.cost import CostModel
from pruning.groups import Fixed, Group, find_structure
from pruning.layers import find_layers
from pruning.models import MODELS, load_model
from pruning.models.loading import read_card
from pruning.plan import multiple_for

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
        structure = find_structure(loaded.module, loaded.example_inputs, choices_of(arguments))
        layers = find_layers(loaded.module, loaded.example_inputs)
        costs = CostModel(loaded.module, loaded.example_inputs, structure)
    cost = costs.dense
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
            "choices": asdict(structure.choices),
            "groups": [_group_data(group, costs) for group in structure.groups],
            "fixed": [asdict(fixed) for fixed in structure.fixed],
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
        *(line for group in structure.groups for line in _group(group, costs)),
        "",
        "What no group may shorten:" if structure.fixed else "Every dimension belongs to a group.",
        *_fixed(structure.fixed),
    )


def _group_data(group: Group, costs: CostModel) -> dict[str, Any]:
    return {
        "id": group.id,
        "size": group.size,
        "kind": group.kind,
        "grade": group.grade,
        "why": group.why,
        "operations": list(group.operations),
        "minimum": group.minimum,
        "multiple": group.multiple,
        "roundable": multiple_for(group, 2) > 1,
        "parameters_per_unit": costs.parameters_per_unit[group.id],
        "macs_per_unit": costs.macs_per_unit[group.id],
        "producers": list(group.producers),
        "consumers": list(group.consumers),
        "members": [
            {"parameter": member.parameter, "dim": member.dim, "role": member.role}
            for member in group.members
        ],
    }


def _group(group: Group, costs: CostModel) -> list[str]:
    """A group and, below it, why its channels go together and what goes with each, wrapped for a terminal."""
    plural = "s" if group.size != 1 else ""
    rounded = "can be rounded up to a multiple" if multiple_for(group, 2) > 1 else "are never rounded"
    facts = (
        f"Grade: {GRADES[group.grade]}. At least {group.minimum:,} must stay; counts {rounded}. One "
        f"{group.kind} carries {costs.parameters_per_unit[group.id]:,} parameters and "
        f"{costs.macs_per_unit[group.id]:,} MACs."
    )
    return [f"group {group.id}: {group.size:,} {group.kind}{plural}", _indented(group.why), _indented(facts)]


def _fixed(fixed: Sequence[Fixed]) -> list[str]:
    """Each reason once, with the dimensions that it holds."""
    reasons: dict[str, list[str]] = {}
    for one in fixed:
        reasons.setdefault(one.reason, []).append(f"{one.parameter} [{one.dim}]")
    return [_indented(f"{', '.join(names)}: {reason}") for reason, names in reasons.items()]


def _indented(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="    ", subsequent_indent="    ", break_long_words=False)


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
