"""What a network answered on each image, kept with its run: two runs can be compared image by image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from pruning.checkpoint.write import write_atomically
from pruning.evaluate import Difference, Report, paired_difference, wilson

if TYPE_CHECKING:
    from pruning.history import History, Run

FILE = "answers.safetensors"


def keep(folder: Path, *reports: Report) -> None:
    """Write the answers of complete reports, one a split, into a run's folder, which is made if need be.

    Raises:
        ValueError: in one sentence, if they cannot be written (OSError if the folder cannot be made).
    """
    tensors = {}
    for report in reports:
        if report.complete:
            tensors[f"{report.split}.predictions"] = report.predictions.to(torch.int32).contiguous()
            tensors[f"{report.split}.targets"] = report.targets.to(torch.int32).contiguous()
    if tensors:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / FILE, save(tensors))


def read(folder: Path, split: str) -> Report | None:
    """The answers on a split as a report, without its loss (NaN); None if they are not there, or damaged."""
    try:
        found = load_file(folder / FILE)
        predictions, targets = (found[f"{split}.{name}"].long() for name in ("predictions", "targets"))
    except (OSError, KeyError, SafetensorError):
        return None
    if predictions.shape != targets.shape or predictions.dim() != 1 or not len(targets):
        return None
    n, correct = len(targets), int((predictions == targets).sum())
    return Report(correct / n, wilson(correct, n), float("nan"), n, n, split, predictions, targets)


def paired(history: History, first: Run, second: Run, split: str) -> Difference | None:
    """How much better the second run's network is than the first's on the same images.

    Returns:
        None if the answers of one of them are not kept, or they are of other images.
    """
    reports = [read(history.folder(run.id), split) for run in (first, second)]
    if reports[0] is None or reports[1] is None:
        return None
    try:
        return paired_difference(reports[0], reports[1])
    except ValueError:
        return None
