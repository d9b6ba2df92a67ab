"""`evaluate`: the accuracy of a file, or of a built-in network."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from torch import nn

from pruning.checkpoint import load_checkpoint
from pruning.cli.console import Console, accuracy_text, report_data
from pruning.device import choose, moved
from pruning.evaluate import Report, evaluate_batches
from pruning.models import MODELS, load_model
from pruning.tasks import Task, load_task


def run_evaluate(arguments: Namespace, console: Console) -> None:
    """Print accuracy, interval and loss."""
    module, architecture = _network(arguments.path, arguments.model)
    module = moved(module, choose(arguments.device))
    task = load_task(MODELS[architecture].task, arguments.data_dir)
    report = measured(module, task, arguments.split, console, limit=arguments.limit)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    console.data(
        {"path": arguments.path, "architecture": architecture, "parameters": parameters}
        | (report_data(report) or {})
    )
    console.text(
        f"{architecture}, {parameters:,} parameters: {accuracy_text(report)}; loss {report.loss:.4f}"
    )


def measured(
    module: nn.Module, task: Task, split: str, console: Console, *, limit: int | None = None, label: str = ""
) -> Report:
    """A whole measurement, with a progress bar."""
    report: Report | None = None
    with console.progress(label or f"measuring on {split} images") as bar:
        for report in evaluate_batches(module, task, split, limit=limit):
            bar.update(report.n, report.total)
    assert report is not None  # an empty split raises
    return report


def _network(path: str, model: str | None) -> tuple[nn.Module, str]:
    """The network that PATH means, and its architecture."""
    if model is not None:
        return load_model(model, Path(path)).module, model
    if path in MODELS and not Path(path).exists():
        return load_model(path).module, path
    checkpoint = load_checkpoint(Path(path))
    return checkpoint.module, checkpoint.architecture
