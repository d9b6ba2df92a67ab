"""What commands measure goes into the history that the Compare page shows, unless --no-history is given."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pruning.cli.console import Console
from pruning.models import LoadedModel
from pruning.store import weights_digest

if TYPE_CHECKING:
    from pruning.checkpoint import SelfCheck
    from pruning.cli.prune import Result
    from pruning.compress import Compressed, Compression
    from pruning.evaluate import Report
    from pruning.history import History
    from pruning.recover import Epoch, Recovered, Recovery
    from pruning.runs.about import Subject
    from pruning.runs.measure import Outcome
    from pruning.sensitivity import Scan


def record_scan(scan: Scan, loaded: LoadedModel, arguments: Namespace, console: Console) -> None:
    """Keep a scan."""
    from pruning.runs import about

    _keep(arguments, console, lambda history: about.keep_scan(history, _subject(loaded), scan))


def record_prune(result: Result, arguments: Namespace, console: Console) -> None:
    """Keep a network that was pruned at once, with what was measured on test images."""
    from pruning.history import Figures, Measured, Size, Speed
    from pruning.runs.about import about_recipe, removed_of

    loaded, recipe = result.loaded, result.recipe
    pruned, dense = result.pruned, result.dense
    if not recipe.rules:
        return
    figures = Figures(
        test=Measured.of(pruned.report) if pruned.report else None,
        dense_test=Measured.of(dense.report) if dense.report else None,
        size=Size.of(pruned.cost, pruned.file_bytes),
        dense_size=Size.of(dense.cost, dense.file_bytes),
        latency=Speed.of(result.timing),
        sparsity=1 - pruned.cost.nonzero / dense.cost.parameters,
        removed=removed_of(result.plan),
    )

    def write(history: History) -> None:
        about = about_recipe("export", _subject(loaded), recipe, "test")
        same = f"prune {about.weights} {recipe.digest} {arguments.form}"
        run_id = history.add(about, settings=recipe.to_json(), figures=figures, same=same)
        _say_where(history, run_id, arguments.out)

    _keep(arguments, console, write)


def record_finetune(
    loaded: LoadedModel,
    settings: Recovery,
    recovered: Recovered,
    found: tuple[Outcome, SelfCheck],
    classes: int,
    arguments: Namespace,
    console: Console,
) -> None:
    """Keep a fine-tuning with its epochs."""
    from pruning.runs.about import about_run
    from pruning.runs.finetune import with_training

    outcome, check = found
    figures = with_training(outcome.figures(classes), recovered)

    def write(history: History) -> None:
        device = _subject(loaded).device
        run_id = history.add(
            about_run(loaded, settings, device=device),
            settings=settings.to_json(),
            figures=figures.model_copy(update={"check": str(check)}),
        )
        for epoch in recovered.epochs:
            history.add_epoch(run_id, epoch)
        _say_where(history, run_id, arguments.out)

    _keep(arguments, console, write)


def record_compress(
    loaded: LoadedModel,
    settings: Compression,
    found: Compressed,
    measured: tuple[tuple[Report, Report], SelfCheck, list[Epoch]],
    classes: int,
    arguments: Namespace,
    console: Console,
) -> None:
    """Keep a compression with the epochs of its trainings.

    Args:
        measured: on test images, dense and compressed; the file checked; epochs, numbered through.
    """
    from pruning.runs.about import about_run
    from pruning.runs.compress import figures_of

    reports, check, epochs = measured
    figures = figures_of(loaded, found, reports, classes, epochs[-1].number if epochs else 0)

    def write(history: History) -> None:
        run_id = history.add(
            about_run(loaded, settings, device=_subject(loaded).device),
            settings=settings.to_json(),
            figures=figures.model_copy(update={"check": str(check)}),
        )
        for epoch in epochs:
            history.add_epoch(run_id, epoch)
        _say_where(history, run_id, arguments.out)

    _keep(arguments, console, write)


def _keep(arguments: Namespace, console: Console, write: Callable[[History], object]) -> None:
    """Write to the history; what a command found is not lost for a history that cannot be used."""
    if arguments.no_history:
        return
    from pruning.history import History

    try:
        write(History())
    except (ValueError, OSError) as error:
        console.warn(f"not kept in the history: {error}")


def _subject(loaded: LoadedModel) -> Subject:
    from pruning.device import device_of
    from pruning.runs.about import Subject

    return Subject(loaded.name, weights_digest(loaded.module), str(device_of(loaded.module)))


def _say_where(history: History, run_id: str, folder: Path) -> None:
    """Note where the files are, unless somebody has written a note."""
    run = history.get(run_id)
    if run is not None and not run.note:
        history.annotate(run_id, f"Written to {folder.resolve()}")
