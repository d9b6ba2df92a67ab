"""`scan`: how sensitive each key is, and a recipe out of it."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from pruning.cli.console import Console, choices_of, criterion_of, table
from pruning.cli.record import record_scan
from pruning.device import on_device
from pruning.groups import find_structure
from pruning.models import LoadedModel, load_model
from pruning.recipe import Recipe, Rule
from pruning.sensitivity import Precise, Scan, ScanPoint, iter_scan, usual_precision
from pruning.store import find_scan, keep_scan, scan_digest, weights_digest
from pruning.tasks import Task, load_task


def run_scan(arguments: Namespace, console: Console) -> None:
    """Measure or find the scan, print it, and propose a recipe within the loss asked for."""
    arguments.criterion = criterion_of(arguments)
    if arguments.ratios is None:
        arguments.ratios = (1.0,) if arguments.granularity == "layer" else tuple(i / 10 for i in range(1, 10))
    loaded = on_device(load_model(arguments.model, arguments.weights), arguments.device)
    task = load_task(loaded.task, arguments.data_dir)
    scan, kept = _scan(loaded, task, arguments, console)
    prunable = scan.prunable(arguments.loss)
    recipe = _recipe(scan, prunable, loaded.name)
    if arguments.write:
        _write(arguments.write, recipe)
    predicted = scan.predict(prunable)
    record_scan(scan, loaded, arguments, console)
    console.data(
        {
            "scan": scan.model_dump(mode="json"),
            "loss": arguments.loss,
            "prunable": prunable,
            "predicted_accuracy": predicted,
            "recipe": recipe.model_dump(mode="json"),
            "written": str(arguments.write) if arguments.write else None,
            "from_cache": kept,
        }
    )
    console.text(*_lines(scan, prunable, predicted, arguments.loss, kept=kept))
    if arguments.write:
        console.text(
            f"Written to {arguments.write}; next: python -m pruning prune {loaded.name} --recipe "
            f"{arguments.write} --out DIR"
        )


def _scan(loaded: LoadedModel, task: Task, arguments: Namespace, console: Console) -> tuple[Scan, bool]:
    """The scan, and whether it was found in the cache directory."""
    split, choices = "validation", choices_of(arguments)
    images = min(arguments.limit or len(task.validation), len(task.validation))
    precise, weights = _precise(arguments, images), weights_digest(loaded.module)
    digest = scan_digest(
        weights,
        task=task.name,
        split=split,
        granularity=arguments.granularity,
        criterion=arguments.criterion,
        ratios=arguments.ratios,
        seed=arguments.seed,
        n=images,
        choices=choices,
        precise=precise,
    )
    known = None if arguments.fresh else find_scan(digest)
    if known is not None and known.complete:
        return known, True
    with console.progress("scanning") as bar:
        walk = iter_scan(
            loaded.module,
            task,
            arguments.ratios,
            arguments.granularity,
            arguments.criterion,
            example_inputs=loaded.example_inputs,
            structure=find_structure(loaded.module, loaded.example_inputs, choices),
            split=split,
            limit=arguments.limit,
            seed=arguments.seed,
            known=known,
            precise=precise,
        )
        for point in walk:
            bar.update(walk.settled, walk.total, point.key)
    scan = walk.scan()
    keep_scan(weights, scan)
    return scan, False


def _precise(arguments: Namespace, images: int) -> Precise | None:
    """What an adaptive scan is asked for, None for an exact one; without a flag the images decide."""
    if arguments.exact:
        if arguments.strict or arguments.precision is not None:
            raise ValueError(
                "An exact scan has no precision; leave --exact out, or --precision and --strict."
            )
        return None
    if arguments.adaptive or arguments.strict or arguments.precision is not None:
        points = Precise().points if arguments.precision is None else arguments.precision
        return Precise(points, strict=arguments.strict)
    return usual_precision(images, arguments.granularity)


def _recipe(scan: Scan, prunable: dict[str, float], model: str) -> Recipe:
    rules = {
        key: Rule(ratio=ratio, granularity=scan.granularity, criterion=scan.criterion)
        for key, ratio in prunable.items()
        if ratio > 0
    }
    return Recipe(rules=rules, seed=scan.seed, heads=scan.heads, norms=scan.norms, model=model)


def _write(path: Path, recipe: Recipe) -> None:
    try:
        path.write_text(recipe.to_json() + "\n", encoding="utf-8")
    except OSError as error:
        raise ValueError(f"The recipe cannot be written to {path}: {error.strerror}.") from None


def _lines(
    scan: Scan, prunable: dict[str, float], predicted: float | None, loss: float, *, kept: bool
) -> list[str]:
    low, high = scan.dense.interval
    name = "group" if scan.granularity == "channel" else "layer"
    rows = []
    for key in sorted(scan.keys, key=lambda key: -prunable[key]):
        curve = {point.ratio: point for point in scan.curve(key)}
        size = max((point.size for point in curve.values()), default=0)
        measured = [_cell(curve.get(ratio)) for ratio in scan.ratios]
        rows.append((key, size, _percent(prunable[key]), *measured))
    columns = [f"{_percent(ratio)} off" for ratio in scan.ratios]
    head = (name, "size", "prunable", *columns)
    found = "kept from before" if kept else "measured now"
    text = [
        f"Accuracy in % on {scan.n:,} {scan.split} images with one {name} pruned by "
        f"{scan.criterion}, all others whole ({found}).",
        *_about(scan),
        f"Dense: {100 * scan.dense.accuracy:.2f} % (95 % interval {100 * low:.2f} to {100 * high:.2f} %). "
        f"Prunable: the largest ratio that loses at most {loss:g} points.",
        "",
        table(head, rows),
        "",
    ]
    if not any(prunable.values()):
        text.append("None can be pruned that far at these ratios; try smaller ones or a larger --loss.")
    elif predicted is not None:
        text.append(
            f"All of them together: {100 * predicted:.1f} % predicted, by adding the losses up; not measured."
        )
    return text


def _about(scan: Scan) -> list[str]:
    """How precisely the accuracies are known, and what that took."""
    lines = []
    if scan.slower:
        lines.append(
            f"Run from modules, not from single operations, because {scan.slower}: slower, but equal."
        )
    if scan.precise is not None:
        images, exact = scan.effort
        points, sure = scan.precise.points, scan.precise.confidence
        rest = "" if scan.precise.strict else f", or a tenth of losses above {10 * points:g}"
        lines.append(
            f"Known to ±{points:g} points at {100 * sure:g} %{rest}; ~ inferred, - collapsed. "
            f"{images:,} images evaluated, {exact:,} for an exact scan."
        )
    if broken := sum(point.invalid > 0 for point in scan.points):
        lines.append(f"At {broken:,} points some outputs are not numbers; those images count as wrong.")
    return lines


def _cell(point: ScanPoint | None) -> str:
    """The accuracy; a sign where it is inferred."""
    if point is None or point.how == "beyond":
        return "" if point is None else "-"
    return f"{'~' * (point.how == 'between')}{100 * point.accuracy:.1f}"


def _percent(ratio: float) -> str:
    return f"{100 * ratio:g} %"
