"""What came of a selection of runs, as a document: figures, pictures, differences, how to do it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pruning.compare import svg, words
from pruning.compare.difference import (
    in_words,
    recipe_of,
    recovery_of,
    setting_pairs,
    sources,
    tuned_in_words,
)
from pruning.compare.document import Block, Code, Heading, Pictures, Points, Table, Text, html, markdown
from pruning.compare.points import (
    COSTS,
    DENSE,
    SPLITS,
    Cost,
    Point,
    Split,
    accuracy_of,
    points,
    tasks_of,
    ways_timed,
)
from pruning.compare.seeds import spread, together
from pruning.compare.words import NOTHING

if TYPE_CHECKING:
    from pruning.history import Run
    from pruning.recover.record import Epoch

MOST_SIDE_BY_SIDE = 6  # runs that are drawn in one picture of bars
MOST_CURVES = 8
MOST_KEYS = 80  # rows of such a picture
MOST = 200  # runs in one report


@dataclass(frozen=True)
class Entry:
    """One run with all that a report says of it.

    Args:
        run: its row.
        settings: its decisions, JSON.
        epochs: that it did.
    """

    run: Run
    settings: str = ""
    epochs: Sequence[Epoch] = ()


def as_html(entries: Sequence[Entry], made: datetime | None = None) -> str:
    """The report as one HTML file with its pictures inside; raises as `report`."""
    return html(report(entries, made))


def as_markdown(entries: Sequence[Entry], made: datetime | None = None) -> str:
    """The report as Markdown, where tables say what pictures show; raises as `report`."""
    return markdown(report(entries, made))


def report(entries: Sequence[Entry], made: datetime | None = None) -> list[Block]:
    """The report's blocks.

    Args:
        entries: the runs, in the order in which they are to be shown.
        made: when; now if not given.
    Raises:
        ValueError: if there are none, or too many.
    """
    if not entries:
        raise ValueError("Nothing is selected; select the runs that the report is to be about.")
    if len(entries) > MOST:
        raise ValueError(f"{len(entries):,} runs are selected; a report is about at most {MOST}.")
    runs = [entry.run for entry in entries]
    known = {entry.run.id: entry.settings for entry in entries}
    return [
        Heading("Pruning report", 1),
        Text(_lead(runs, made or datetime.now(UTC))),
        *_runs(runs),
        *_trades(runs, known),
        *_methods(runs, known),
        *_removed(runs),
        *_curves(entries),
        *_differences(entries),
        *_reading(runs),
        *_details(entries),
    ]


def _lead(runs: Sequence[Run], made: datetime) -> str:
    networks = ", ".join(dict.fromkeys(run.model for run in runs if run.model)) or "no network"
    data = ", ".join(dict.fromkeys(run.task for run in runs if run.task)) or "no data"
    many = f"{len(runs):,} runs" if len(runs) != 1 else "One run"
    return f"{many} of {networks} on {data}. Written on {made:%Y-%m-%d at %H:%M} UTC by Pruning Explorer."


def _runs(runs: Sequence[Run]) -> list[Block]:
    columns = ["run", "network", "method", "seed", "validation accuracy", "test accuracy"]
    columns += ["parameters ≠ 0", "MACs", "file, kB", "latency"]
    rows = [_dense_row(run) for run in {(run.model, run.weights): run for run in reversed(runs)}.values()]
    rows = [row for row in rows if any(cell != NOTHING for cell in row[4:])]
    rows += [_row(run) for run in runs]
    return [Heading("Runs"), Table(columns, rows, frozenset({3, 6, 7, 8}))]


def _row(run: Run) -> list[str]:
    size, figures = run.figures.size, run.figures
    return [
        name_of(run),
        run.model,
        words.method(run) or run.kind,
        str(run.seed) if run.seed is not None else "",
        words.with_interval(figures.validation),
        words.with_interval(figures.test),
        words.count(size.nonzero if size else None),
        words.count(size.macs if size else None),
        f"{size.file_bytes / 1e3:,.1f}" if size and size.file_bytes else NOTHING,
        words.milliseconds(figures.latency),
    ]


def _dense_row(run: Run) -> list[str]:
    size, figures = run.figures.dense_size, run.figures
    time = figures.latency.dense if figures.latency else None
    return [
        "dense network",
        run.model,
        "nothing removed",
        "",
        words.with_interval(figures.dense),
        words.with_interval(figures.dense_test),
        words.count(size.nonzero if size else None),
        words.count(size.macs if size else None),
        f"{size.file_bytes / 1e3:,.1f}" if size and size.file_bytes else NOTHING,
        NOTHING if time is None else f"{1e3 * time:.3f}{words.SPACE}ms",
    ]


def name_of(run: Run) -> str:
    """A run's name for reading, with its first digits where another might be called the same."""
    return f"{run.called} [{run.id[:4]}]"


def _trades(runs: Sequence[Run], known: dict[str, str]) -> list[Block]:
    """Accuracy against each cost, a picture a data set, split and cost."""
    pictures: list[str] = []
    for split in SPLITS:
        for task in tasks_of(runs, split):
            for cost in COSTS.values():
                found = points(runs, split, cost, task, settings=lambda run: known.get(run, ""))
                if len({point.cost.mean for point in found}) > 1:
                    way = f", {ways_timed(runs)[0]}" if cost.name == "latency" else ""
                    pictures.append(_trade(found, split, cost, f"{task}{way}"))
    return [Heading("Accuracy against cost"), Pictures(pictures)] if pictures else []


def _trade(found: Sequence[Point], split: Split, cost: Cost, where: str) -> str:
    kinds = list(dict.fromkeys(DENSE if not p.runs else p.runs[0].criterion or p.kind for p in found))
    marks = []
    for point in found:
        kind = DENSE if not point.runs else point.runs[0].criterion or point.kind
        about = f"{label_of(point)}: {words.with_sd(point.accuracy, 100, 2, '%')}, "
        about += f"{words.with_sd(point.cost, 1, 3 if cost.unit else 0, cost.unit)}"
        marks.append(
            svg.Mark(
                point.cost.mean,
                100 * point.accuracy.mean,
                about,
                point.cost.sd or 0.0,
                100 * (point.accuracy.sd or 0.0),
                kinds.index(kind),
                hollow=not point.on_front,
            )
        )
    best = sorted((p.cost.mean, 100 * p.accuracy.mean) for p in found if p.on_front)
    lines = [svg.Line(best, steps=True)] if len(best) > 1 else []
    accuracy = f"{split} accuracy, %"
    title = f"{split.capitalize()} accuracy against {cost.label.split(',')[0]}, {where}"
    legend = [(words.criterion_label(kind), number) for number, kind in enumerate(kinds)]
    return svg.draw(svg.Axes(title, cost.label, accuracy, marks, lines, legend))


def label_of(point: Point) -> str:
    """What a point is, in a few words."""
    if not point.runs:
        return f"{point.model}, dense"
    if len(point.runs) == 1:
        return name_of(point.runs[0])
    return f"{words.method(point.runs[0])}, {len(point.runs)} seeds"


def _methods(runs: Sequence[Run], known: dict[str, str]) -> list[Block]:
    """Mean and standard deviation over seeds."""
    rows = []
    for group in together(runs, lambda run: known.get(run, "")):
        if len(group) < 2:
            continue
        spreads = [spread(m.accuracy for run in group if (m := accuracy_of(run, split))) for split in SPLITS]
        macs = spread(run.figures.size.macs for run in group if run.figures.size)
        kept = spread(run.figures.size.nonzero for run in group if run.figures.size)
        rows.append(
            [
                group[0].model,
                words.method(group[0]),
                str(len(group)),
                *(words.with_sd(one, 100, 2, "%") for one in spreads),
                words.with_sd(kept, 1, 0),
                words.with_sd(macs, 1, 0),
            ]
        )
    if not rows:
        return []
    columns = ["network", "method", "seeds", "validation accuracy", "test accuracy", "parameters ≠ 0", "MACs"]
    return [
        Heading("Over seeds"),
        Text("Mean ± standard deviation of runs that differ in nothing but their seed."),
        Table(columns, rows, frozenset({2, 3, 4, 5, 6})),
    ]


def _removed(runs: Sequence[Run]) -> list[Block]:
    """How much of each part is gone, for a few runs of one network."""
    shown = [run for run in runs if run.figures.removed and run.model == runs[0].model][:MOST_SIDE_BY_SIDE]
    if not shown:
        return []
    keys = list(dict.fromkeys(key for run in shown for key in run.figures.removed))[:MOST_KEYS]
    series = [(name_of(run), [run.figures.removed.get(key) for key in keys]) for run in shown]
    rows = [[key, *(words.percent(shares[i], 1) for _, shares in series)] for i, key in enumerate(keys)]
    return [
        Heading("What is removed of each part"),
        Pictures([svg.bars("Share removed of each group, layer or block, %", keys, series)]),
        Table(["part", *(name for name, _ in series)], rows, frozenset(range(1, len(series) + 1))),
    ]


def _curves(entries: Sequence[Entry]) -> list[Block]:
    """Accuracy on validation images against epochs."""
    trained = [entry for entry in entries if len(entry.epochs) > 1][:MOST_CURVES]
    if not trained:
        return []
    lines = [
        svg.Line([(epoch.number, 100 * epoch.accuracy) for epoch in entry.epochs], name_of(entry.run), number)
        for number, entry in enumerate(trained)
    ]
    legend = [(line.name, line.colour) for line in lines]
    chart = svg.Axes(
        "Validation accuracy against epochs", "epochs", "validation accuracy, %", (), lines, legend
    )
    columns = ["run", "epochs", "seconds of training", "before the first", "best, fully pruned", "last"]
    rows = [
        [
            name_of(entry.run),
            str(entry.epochs[-1].number),
            f"{sum(epoch.seconds for epoch in entry.epochs):.1f}",
            *(
                words.percent(share)
                for share in (
                    entry.epochs[0].accuracy,
                    _best(entry),
                    entry.epochs[-1].accuracy,
                )
            ),
        ]
        for entry in trained
    ]
    return [Heading("Curves"), Pictures([svg.draw(chart)]), Table(columns, rows, frozenset(range(1, 6)))]


def _best(entry: Entry) -> float | None:
    """Accuracy of the epoch that was kept: the best with the full ratios; None if none has them."""
    full = [epoch.accuracy for epoch in entry.epochs if epoch.number and epoch.reached >= 1]
    return max(full, default=None)


def _differences(entries: Sequence[Entry]) -> list[Block]:
    """Each run against the first, if they are few."""
    if not 2 <= len(entries) <= MOST_SIDE_BY_SIDE:
        return []
    first, *others = entries
    blocks: list[Block] = []
    for other in others:
        recipes = recipe_of(first.settings), recipe_of(other.settings)
        said = in_words(recipes[0], recipes[1]) if recipes[0] and recipes[1] else []
        one, two = recovery_of(first.settings), recovery_of(other.settings)
        said += filter(None, [tuned_in_words(one, two)])
        pairs = setting_pairs(one, two) if one and two else []
        if not said and not pairs:
            continue
        blocks.append(Heading(f"{name_of(first.run)} (first) and {name_of(other.run)} (second)", 3))
        blocks.append(Points(said))
        if pairs:
            blocks.append(Table(["setting", "first", "second"], [[p.name, p.first, p.second] for p in pairs]))
    return [Heading("How the recipes differ"), *blocks] if blocks else []


def _reading(runs: Sequence[Run]) -> list[Block]:
    timed = {run.figures.latency.warning for run in runs if run.figures.latency} - {""}
    items = [
        "Accuracies are measured, with 95 % Wilson score intervals (Wilson 1927) and the number of images n. "
        "Validation images may have chosen ratios or epochs; test images have chosen nothing.",
        "± is the standard deviation over seeds (n − 1 in the denominator). Filled points are on the Pareto "
        "front, the dashed line: no other run is both cheaper and better.",
        "Parameters and MACs are counted exactly; one MAC is one multiplication and one addition. Latency is "
        "the median of measured forwards with its quartiles.",
        *(f"Of latency: {warning}" for warning in sorted(timed)),
        *sources(runs),
    ]
    return [Heading("How to read this"), Points(items)]


def _details(entries: Sequence[Entry]) -> list[Block]:
    blocks: list[Block] = [Heading("The runs in full")]
    for entry in entries:
        run = entry.run
        about = [f"{run.kind}, {run.state}", f"id {run.id}", f"begun {run.created:%Y-%m-%d %H:%M} UTC"]
        about += [f"device {run.device}"] if run.device else []
        about += [f"dense weights {run.weights[:12]}"] if run.weights else []
        blocks += [Heading(name_of(run), 3), Text("; ".join(about) + ".")]
        blocks += [Text(text) for text in (run.error, run.note) if text]
        blocks += [Code("Settings", entry.settings)] if entry.settings else []
    return blocks
