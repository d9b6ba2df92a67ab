"""Runs as a table: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from pruning.history import Figures, Run

STAR, NO_STAR = "★", "☆"


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a run; accuracies in percent, file in kB, latency in ms; what was not measured is empty."""
    return pd.DataFrame([_row(run) for run in runs])


def _row(run: Run) -> dict[str, object]:
    figures = run.figures
    size = figures.size
    return {
        "star": STAR if run.starred else NO_STAR,
        "run": run.called,
        "network": run.model,
        "kind": kind(run),
        "validation": 100 * figures.validation.accuracy if figures.validation else None,
        "test": 100 * figures.test.accuracy if figures.test else None,
        "parameters": size.nonzero if size else None,
        "macs": size.macs if size else None,
        "file": size.file_bytes / 1e3 if size and size.file_bytes else None,
        "latency": 1e3 * figures.latency.median if figures.latency else None,
        "when": run.created,
        "note": run.note or said(run),
    }


def kind(run: Run) -> str:
    """What a run is, and how it stands unless it is done."""
    cell = f"cell, {'tuned' if run.kind == 'fine-tuning' else 'only pruned'}" if run.study else run.kind
    return cell if run.state == "done" else f"{cell}, {run.state}"


def said(run: Run) -> str:
    """What is worth saying of a run that nobody wrote a note to."""
    if run.error:
        return run.error
    figures = run.figures
    if figures.points is not None and figures.total is not None:
        return _points(run, figures)
    return ""


def _points(run: Run, figures: Figures) -> str:
    what = "runs" if run.kind == "study" else "points"
    return (
        f"{figures.points:,} {what}"
        if figures.points == figures.total
        else f"{figures.points:,} of {figures.total:,} {what}"
    )


def signature(runs: Sequence[Run]) -> int:
    """Changes when something in the table does."""
    return hash(tuple((run.id, run.state, run.error, run.figures.model_dump_json()) for run in runs))
