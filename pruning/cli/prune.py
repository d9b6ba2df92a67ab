"""`prune`: a recipe applied, measured, and written to a folder."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from pruning.checkpoint import (
    SelfCheck,
    Side,
    dense_size,
    ending_of,
    loading_code,
    model_card,
    reader_code,
    save_checkpoint,
    save_program,
    self_check,
)
from pruning.checkpoint.text import GRADES, RESULTS
from pruning.cli.console import Console, accuracy_text, choices_of, criterion_of, report_data, table
from pruning.cli.evaluate import measured
from pruning.cli.recipe import given_recipe, uniform_recipe
from pruning.cli.record import record_prune
from pruning.cost import CostModel
from pruning.criteria import CRITERIA
from pruning.device import on_device
from pruning.evaluate import Report
from pruning.groups import find_structure
from pruning.latency import Timing, measure_latency
from pruning.models import LoadedModel, load_model
from pruning.plan import Plan, make_plan
from pruning.recipe import Recipe
from pruning.shrink import is_graph, shrink
from pruning.tasks import TASKS, MissingData, Task, load_task

LATENCY_BUDGET_S = 4.0


@dataclass(frozen=True)
class Result:
    """All that one run of the command found out."""

    loaded: LoadedModel
    recipe: Recipe
    plan: Plan
    dense: Side
    pruned: Side
    timing: Timing
    check: SelfCheck | None
    graph: bool
    file: Path
    program: Path | None
    no_program: str
    written: list[Path]


def run_prune(arguments: Namespace, console: Console) -> None:
    """Plan, prune, measure, write, and say what was asked and what came out."""
    arguments.criterion = criterion_of(arguments)
    loaded = on_device(load_model(arguments.model, arguments.weights), arguments.device)
    given = given_recipe(arguments, loaded)
    choices = given.choices if given else choices_of(arguments)
    with console.progress("finding coupled channels"):
        structure = find_structure(loaded.module, loaded.example_inputs, choices)
    recipe = given or uniform_recipe(arguments, loaded, structure)
    task = _task(loaded, recipe, arguments, console)
    with console.progress("pruning"):
        plan = make_plan(
            loaded.module, recipe, example_inputs=loaded.example_inputs, task=task, structure=structure
        )
        pruned = shrink(loaded.module, plan, loaded.example_inputs)
    result = _finish(loaded, recipe, plan, pruned, task, arguments, console)
    record_prune(result, arguments, console)
    console.data(_document(result))
    console.text(*_lines(result))


def _task(loaded: LoadedModel, recipe: Recipe, arguments: Namespace, console: Console) -> Task | None:
    """The network's data; without it pruning goes on unmeasured, unless a criterion needs it."""
    try:
        return load_task(loaded.task, arguments.data_dir)
    except MissingData as error:
        if any(CRITERIA[rule.criterion].needs for rule in recipe.rules.values()):
            raise
        console.warn(f"accuracy is not measured: {error}")
        return None


def _finish(
    loaded: LoadedModel,
    recipe: Recipe,
    plan: Plan,
    pruned: nn.Module,
    task: Task | None,
    arguments: Namespace,
    console: Console,
) -> Result:
    """Write the network, measure it, check the file, write what goes with it."""
    folder: Path = arguments.out
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{loaded.name}-pruned{ending_of(arguments.form)}"
    file = save_checkpoint(folder / name, pruned, plan, recipe, form=arguments.form)
    program, no_program = _program(folder, loaded, pruned, console) if arguments.pt2 else (None, "")
    dense_report = _report(loaded.module, task, "dense", console)
    pruned_report = _report(pruned, task, "pruned", console)
    with console.progress("measuring latency"):
        timing = measure_latency(
            pruned, loaded.example_inputs, baseline=loaded.module, budget_s=LATENCY_BUDGET_S
        )
    with console.progress("loading the file in a fresh process"):
        check = self_check(file, pruned, task.test, limit=1024, fresh_process=True) if task else None
    costs = CostModel(loaded.module, loaded.example_inputs, plan.structure)
    result = Result(
        loaded=loaded,
        recipe=recipe,
        plan=plan,
        dense=Side(costs.cost(), dense_size(loaded.module), dense_report),
        pruned=Side(costs.of_plan(plan), file.stat().st_size, pruned_report),
        timing=timing,
        check=check,
        graph=is_graph(pruned),
        file=file,
        program=program,
        no_program=no_program,
        written=[file, program] if program else [file],
    )
    return _with_texts(result, folder)


def _program(
    folder: Path, loaded: LoadedModel, pruned: nn.Module, console: Console
) -> tuple[Path | None, str]:
    """The `.pt2`, or why there is none; all else goes on."""
    try:
        with console.progress("writing the .pt2 program, loading and comparing it"):
            return save_program(folder / f"{loaded.name}-pruned.pt2", pruned, loaded.example_inputs), ""
    except ValueError as error:
        console.warn(str(error))
        return None, str(error)


def _report(module: nn.Module, task: Task | None, which: str, console: Console) -> Report | None:
    label = f"measuring the {which} network on test images"
    return measured(module, task, "test", console, label=label) if task else None


def _with_texts(result: Result, folder: Path) -> Result:
    """Write recipe, card and loading code beside the checkpoint."""
    spec = TASKS[result.loaded.task]
    texts = {
        "recipe.json": result.recipe.to_json() + "\n",
        "load.py": loading_code(result.loaded.name, result.file.name),
        "README.md": model_card(
            architecture=result.loaded.name,
            recipe=result.recipe,
            plan=result.plan,
            dense=result.dense,
            pruned=result.pruned,
            timing=result.timing,
            check=result.check,
            graph=result.graph,
            file_name=result.file.name,
            program_name=result.program.name if result.program else "",
            provenance=result.loaded.provenance,
            data=f"Data: {spec.label} ({spec.source}).",
        ),
    }
    if result.file.suffix == ending_of("prz"):
        texts["reader.py"] = reader_code()
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
        result.written.append(folder / name)
    return result


def _document(result: Result) -> dict[str, Any]:
    timing, check = result.timing, result.check
    return {
        "model": result.loaded.name,
        "written": [str(path) for path in result.written],
        "entries": [
            {"key": e.key, "granularity": e.granularity, "asked": e.asked, "size": e.size, "kept": e.kept}
            for e in result.plan.entries
        ],
        "grade": result.plan.grade,
        "choices": asdict(result.recipe.choices),
        "graph": result.graph,
        "program": str(result.program) if result.program else None,
        "no_program": result.no_program,
        "dense": _side(result.dense),
        "pruned": _side(result.pruned),
        "latency": {
            "seconds": timing.median,
            "dense_seconds": timing.baseline.median if timing.baseline else None,
            "ratio": timing.ratio,
            "ratio_interval": list(timing.ratio_interval) if timing.ratio_interval else None,
            "batch_size": timing.batch_size,
            "threads": timing.threads,
            "device": timing.device,
            "warning": timing.warning,
        },
        "self_check": {"same": check.same, "n": check.n, "identical": check.identical} if check else None,
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "parameters": side.cost.parameters,
        "nonzero": side.cost.nonzero,
        "macs": side.cost.macs,
        "file_bytes": side.file_bytes,
        "report": report_data(side.report),
    }


def _lines(result: Result) -> list[str]:
    dense, pruned, timing = result.dense, result.pruned, result.timing
    rows = [
        (entry.key, entry.spelled, f"{entry.asked:.1%}", entry.size - entry.kept, entry.kept, entry.size)
        for entry in result.plan.entries
    ]
    counts = [
        ("parameters", dense.cost.parameters, pruned.cost.parameters),
        ("not zero", dense.cost.nonzero, pruned.cost.nonzero),
        ("MACs", dense.cost.macs, pruned.cost.macs),
        ("file bytes", dense.file_bytes, pruned.file_bytes),
    ]
    lines = [
        table(("layer or group", "granularity", "asked", "removed", "kept", "of"), rows),
        "",
        table(
            ("", "dense", "pruned", "ratio"), [(n, a, b, f"{b / a:.3f}" if a else "") for n, a, b in counts]
        ),
        "",
    ]
    if dense.report and pruned.report:
        lines += [f"dense:  {accuracy_text(dense.report)}", f"pruned: {accuracy_text(pruned.report)}"]
    if timing.baseline and timing.ratio:
        interval = timing.ratio_interval
        threads = f"{timing.threads} thread{'s' if timing.threads > 1 else ''}, {timing.device}"
        spread = f" (95 % interval {interval[0]:.2f} to {interval[1]:.2f})" if interval else ""
        lines.append(
            f"latency: {1000 * timing.median:.3f} ms, dense {1000 * timing.baseline.median:.3f} ms, "
            f"{timing.ratio:.2f} times as fast{spread}; batch {timing.batch_size}, {threads}, "
            f"{timing.n} turns. {timing.warning}".rstrip()
        )
    lines.append(f"result: {GRADES[result.plan.grade]}; {RESULTS[result.graph]}")
    if result.check:
        lines.append(str(result.check))
    if result.program:
        lines.append("The .pt2 was loaded again: its outputs on the example input are the same bit for bit.")
    return [*lines, "", *(f"wrote {path}" for path in result.written)]
