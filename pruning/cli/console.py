"""What a command says, and where: results on stdout, all else on stderr, machines get JSON alone."""

from __future__ import annotations

import json
import math
import sys
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from pruning.evaluate import Report
from pruning.groups.choices import DEFAULT, Choices

BAR_WIDTH = 30
REDRAW_S = 0.1


class Console:
    """Where a command writes.

    Args:
        json: print one JSON document instead of text, and no progress.
    """

    def __init__(self, *, json: bool = False) -> None:
        self.json = json

    def text(self, *lines: str) -> None:
        """Lines for a person; nothing when a machine reads."""
        if not self.json:
            print(*lines, sep="\n", flush=True)

    def data(self, document: Mapping[str, Any] | Sequence[Any]) -> None:
        """The result for a machine; nothing when a person reads."""
        if self.json:
            print(json.dumps(_finite(document), indent=2))

    def warn(self, message: str) -> None:
        print(f"warning: {message}", file=sys.stderr)

    def error(self, message: str) -> None:
        print(f"error: {message}", file=sys.stderr)

    def progress(self, label: str) -> Progress:
        """A bar on stderr; it draws nothing unless a person watches a terminal."""
        return Progress(label, shown=not self.json and sys.stderr.isatty())


class Progress:
    """A line that says what is being done, how far it is and how long it will take; gone when it is done."""

    def __init__(self, label: str, *, shown: bool) -> None:
        self.label = label
        self.shown = shown
        self.start = time.monotonic()
        self.drawn = -math.inf

    def __enter__(self) -> Progress:
        self._draw(f"{self.label} ...")
        return self

    def __exit__(self, *_: object) -> None:
        self._draw("")

    def clear(self) -> None:
        """Take the bar away, so that a line can be written in its place; the next update draws it again."""
        self._draw("")
        self.drawn = -math.inf

    def update(self, done: int, total: int, note: str = "") -> None:
        """Say that `done` of `total` steps are done."""
        now = time.monotonic()
        if now - self.drawn < REDRAW_S and done < total:
            return
        self.drawn = now
        share = done / total if total else 1.0
        filled = round(BAR_WIDTH * share)
        left = (now - self.start) * (1 - share) / share if share else math.nan
        time_left = f"{left:.0f} s left" if math.isfinite(left) else ""
        bar = "#" * filled + "." * (BAR_WIDTH - filled)
        self._draw(f"{self.label} [{bar}] {done:,}/{total:,} {time_left} {note}")

    def _draw(self, line: str) -> None:
        if self.shown:
            print(f"\r\x1b[2K{line}", end="", file=sys.stderr, flush=True)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as they need to be; numbers to the right, words to the left."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(head), *cells]) for i in range(len(head))]
    right = [all(isinstance(row[i], int | float) for row in rows) and bool(rows) for i in range(len(head))]

    def line(values: Sequence[str]) -> str:
        padded = (v.rjust(w) if r else v.ljust(w) for v, w, r in zip(values, widths, right, strict=True))
        return "  ".join(padded).rstrip()

    return "\n".join([line(head), line(["-" * width for width in widths]), *map(line, cells)])


def accuracy_text(report: Report) -> str:
    """Accuracy in percent with its interval and what it was measured on."""
    low, high = report.interval
    return (
        f"{100 * report.accuracy:.2f} % (95 % interval {100 * low:.2f} to {100 * high:.2f} %) "
        f"on {report.n:,} {report.split} images{_invalid(report)}"
    )


def _invalid(report: Report) -> str:
    return (
        f", {report.invalid:,} of them wrong because their outputs are not numbers" if report.invalid else ""
    )


def report_data(report: Report | None) -> dict[str, Any] | None:
    """A report for a machine: the figures without the single predictions."""
    if report is None:
        return None
    return {
        "accuracy": report.accuracy,
        "interval": list(report.interval),
        "loss": report.loss,
        "n": report.n,
        "invalid": report.invalid,
        "total": report.total,
        "split": report.split,
    }


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _finite(value: Any) -> Any:
    """The same document with NaN and infinity, which JSON does not have, as null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def choices_of(arguments: Namespace) -> Choices:
    """How groups are found, by --heads and --norms; only channels depend on them."""
    if getattr(arguments, "granularity", "channel") != "channel":
        return DEFAULT
    return Choices(arguments.heads or DEFAULT.heads, arguments.norms or DEFAULT.norms)


def criterion_of(arguments: Namespace) -> str:
    """The criterion asked for, or the usual one of the granularity."""
    return arguments.criterion or ("influence" if arguments.granularity == "layer" else "l2")
