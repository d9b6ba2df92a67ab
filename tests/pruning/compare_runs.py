"""Rows of a history, made up, for tests of comparing and of the page that shows it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pruning import Recipe
from pruning.evaluate import wilson
from pruning.history import Figures, Measured, Run, Size, Speed
from pruning.recipe import Rule

START = datetime(2025, 1, 2, 3, 4, tzinfo=UTC)
HOSTILE = "<img src=x onerror=alert(1)> [a](http://b) `|`"


def measured(right: int, n: int = 360) -> Measured:
    """An accuracy on n images."""
    low, high = wilson(right, n)
    return Measured(accuracy=right / n, low=low, high=high, n=n)


def figures(right: int = 340, nonzero: int = 500, **others: Any) -> Figures:
    """Of a network with 1,000 parameters, `right` of 360 validation images right."""
    given: dict[str, Any] = {
        "validation": measured(right),
        "dense": measured(350),
        "size": Size(parameters=nonzero, nonzero=nonzero, macs=10 * nonzero, file_bytes=4 * nonzero),
        "dense_size": Size(parameters=1000, nonzero=1000, macs=10_000, file_bytes=4000),
        **others,
    }
    return Figures(**given)


def speed(milliseconds: float, threads: int = 1) -> Speed:
    """A measured time, the dense network's being twice as long."""
    half = milliseconds / 1e3
    return Speed(
        median=half,
        q1=0.9 * half,
        q3=1.1 * half,
        n=50,
        batch_size=1,
        threads=threads,
        device="CPU",
        dense=2 * half,
    )


def run(number: int = 0, **given: Any) -> Run:
    """A row; `number` makes its id and its time."""
    about: dict[str, Any] = {
        "kind": "evaluation",
        "state": "done",
        "title": f"run {number}",
        "model": "digits-mlp",
        "weights": "w" * 32,
        "device": "cpu",
        "task": "digits",
        "split": "validation",
        "criterion": "l1",
        "granularity": "channel",
        "ratio": 0.5,
        "seed": 0,
        "figures": figures(),
        **given,
    }
    moment = START + timedelta(minutes=number)
    return Run(id=f"{number:012x}", created=moment, queued=moment, **about)


def recipe(seed: int = 0, criterion: str = "l1", **ratios: float) -> Recipe:
    """Ratios of layers `fc1`, `fc2`, ... of the MLP."""
    rules = {f"hidden.{name}": Rule(ratio=ratio, criterion=criterion) for name, ratio in ratios.items()}
    return Recipe(rules=rules, seed=seed, model="digits-mlp")
