"""`latency`: how long a network takes on this machine, where its time goes, and at which counts to stop."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from typing import Any

from torch import nn

from pruning.cli.console import Console, choices_of, criterion_of, table
from pruning.cli.recipe import given_recipe, uniform_recipe
from pruning.device import on_device
from pruning.groups import Structure, find_structure
from pruning.latency import LayerProfile, Memory, Timing, measure_latency, peak_memory, profile_layers
from pruning.latency.table import ChannelTable, refine_channels
from pruning.models import LoadedModel, load_model
from pruning.plan import make_plan
from pruning.shrink import shrink
from pruning.tasks import load_task

BUDGET_S = 4.0
LAYERS_S = 2.0
TABLE_S = 15.0
SLICES = 10  # of a table


def run_latency(arguments: Namespace, console: Console) -> None:
    """Time a network, pruned and dense in turns where something is pruned, and print what was found."""
    arguments.criterion = criterion_of(arguments)
    loaded = on_device(load_model(arguments.model, arguments.weights), arguments.device)
    given = given_recipe(arguments, loaded)
    with console.progress("finding coupled channels"):
        structure = find_structure(
            loaded.module, loaded.example_inputs, given.choices if given else choices_of(arguments)
        )
    networks = {"dense": loaded.module}
    if given or arguments.ratio is not None:
        recipe = given or uniform_recipe(arguments, loaded, structure)
        networks["pruned"] = _pruned(loaded, recipe, structure, arguments)
    how = {"batch_size": arguments.batch_size, "threads": arguments.threads}
    timing = _timing(networks, loaded, console, {**how, "way": arguments.way})
    memory = {
        name: peak_memory(network, loaded.example_inputs, batch_size=arguments.batch_size)
        for name, network in networks.items()
    }
    profiles = {}
    if arguments.layers:
        with console.progress("timing layers"):
            profiles = {
                name: profile_layers(network, loaded.example_inputs, **how, budget_s=LAYERS_S)
                for name, network in networks.items()
            }
    found = _table(loaded, structure, arguments, console) if arguments.table else None
    console.data(_document(loaded, timing, memory, profiles, found))
    console.text(*_lines(timing, memory, profiles, found))


def _pruned(loaded: LoadedModel, recipe: Any, structure: Structure, arguments: Namespace) -> nn.Module:
    from pruning.criteria import CRITERIA

    needs = any(CRITERIA[rule.criterion].needs for rule in recipe.rules.values())
    task = load_task(loaded.task, arguments.data_dir) if needs else None
    plan = make_plan(
        loaded.module, recipe, example_inputs=loaded.example_inputs, task=task, structure=structure
    )
    return shrink(loaded.module, plan, loaded.example_inputs)


def _timing(
    networks: dict[str, nn.Module], loaded: LoadedModel, console: Console, how: dict[str, Any]
) -> Timing:
    with console.progress("measuring latency"):
        return measure_latency(
            networks.get("pruned", loaded.module),
            loaded.example_inputs,
            baseline=loaded.module if "pruned" in networks else None,
            budget_s=BUDGET_S,
            **how,
        )


def _table(loaded: LoadedModel, structure: Structure, arguments: Namespace, console: Console) -> ChannelTable:
    walk = refine_channels(
        loaded.module,
        loaded.example_inputs,
        arguments.table,
        structure=structure,
        batch_size=arguments.batch_size,
        threads=arguments.threads,
        way=arguments.way,
        budget_s=TABLE_S,
        slices=SLICES,
    )
    with console.progress("timing channel counts") as bar:
        tables: list[ChannelTable] = []
        for found in walk:
            tables.append(found)
            bar.update(len(tables), SLICES)
    return tables[-1]


def _document(
    loaded: LoadedModel,
    timing: Timing,
    memory: dict[str, Memory],
    profiles: dict[str, LayerProfile],
    found: ChannelTable | None,
) -> dict[str, Any]:
    return {
        "model": loaded.name,
        "latency": asdict(timing),
        "peak_memory": {name: asdict(each) for name, each in memory.items()},
        "layers": {name: asdict(profile) for name, profile in profiles.items()},
        "table": found.model_dump(mode="json") | {"good": list(found.good)} if found else None,
    }


def _lines(
    timing: Timing,
    memory: dict[str, Memory],
    profiles: dict[str, LayerProfile],
    found: ChannelTable | None,
) -> list[str]:
    threads = f"{timing.threads} thread{'s' * (timing.threads > 1)}, {timing.device}"
    prepared = f", prepared in {timing.preparation:.1f} s" if timing.way != "eager" else ""
    lines = [f"{timing.way}, batch {timing.batch_size}, {threads}, {timing.n} turns{prepared}"]
    sides = {"pruned": timing, "dense": timing.baseline} if timing.baseline else {"dense": timing}
    for name, side in sides.items():
        assert side is not None
        lines.append(
            f"{name}: {1e3 * side.median:.3f} ms (quartiles {1e3 * side.q1:.3f} to {1e3 * side.q3:.3f}); "
            f"peak memory {memory[name].peak:,} bytes, of which {memory[name].activations:,} activations"
        )
    if timing.ratio_interval:
        low, high = timing.ratio_interval
        lines.append(f"{timing.ratio:.2f} times as fast (95 % interval {low:.2f} to {high:.2f})")
    lines += [timing.warning] if timing.warning else []
    for name, profile in profiles.items():
        rows = [(part.name or "(itself)", part.kind, 1e6 * part.seconds) for part in profile.layers]
        lines += [
            "",
            f"where the time of the {name} network goes:",
            table(("module", "kind", "microseconds"), rows),
        ]
        lines.append(
            f"Hooks alone sum to {profile.corrected / profile.whole:.0%} of the whole "
            f"({profile.raw / profile.whole:.0%} with their own cost)."
        )
    return [*lines, *_table_lines(found)] if found else lines


def _table_lines(found: ChannelTable) -> list[str]:
    dense = found.points[-1]
    rows = [
        (
            point.kept,
            f"{point.macs / dense.macs:.1%}" if dense.macs else "",
            f"{1e3 * point.seconds:.3f}",
            f"{point.ratio:.3f} ({point.interval[0]:.3f} to {point.interval[1]:.3f})",
            "good" if point.kept in found.good else "",
        )
        for point in found.points
    ]
    head = ("kept", "MACs", "ms", "times as fast (95 % interval)", "")
    return ["", f"time against channels of {found.key}:", table(head, rows), found.said]
