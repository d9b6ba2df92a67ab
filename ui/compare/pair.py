"""Two runs side by side: figures, what is removed, curves, confusion, how recipes and settings differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from pruning.compare import (
    in_words,
    name_of,
    paired,
    recipe_of,
    recovery_of,
    rule_pairs,
    setting_pairs,
    tuned_in_words,
    words,
)
from ui import cache, charts, runs, shell
from ui.compare.trade import settings
from ui.figures import compare as figures
from ui.state import Session

if TYPE_CHECKING:
    from pruning.compare import Pair
    from pruning.evaluate import Difference
    from pruning.history import Measured, Run
    from pruning.recipe import Recipe
    from pruning.recover.settings import Recovery

WITHOUT = ("scan", "study")  # kinds that no network came out of
PAIRED = (
    "Where the answers of both runs on every image are kept, the difference is that on the same images, "
    "with Newcombe's 95 % interval for paired proportions (1998, Statistics in Medicine 17), far narrower "
    "than two separate intervals suggest. Intervals of single accuracies are Wilson's."
)


def draw(session: Session, shown: Sequence[Run], chosen: Sequence[Run]) -> None:
    """Two choices, and everything in which the two runs differ."""
    offered = {run.id: run for run in [*chosen, *shown] if run.kind not in WITHOUT}
    if len(offered) < 2:
        st.info(
            "Two runs are needed: a recipe measured on the Prune page is one, an export or a fine-tuning.",
            icon=":material/info:",
        )
        return
    ids = list(offered)
    mark = "-".join(ids[:2])
    with st.container(horizontal=True, key="compare-two"):
        sides = [
            st.selectbox(
                label,
                ids,
                index=place,
                format_func=lambda run_id: f"{name_of(offered[run_id])}, {offered[run_id].model}",
                key=f"compare-{label.lower()}-{mark}",
            )
            for place, label in enumerate(("First", "Second"))
        ]
    # A name that was changed meanwhile comes back as it was.
    first, second = (offered.get(side, offered[ids[place]]) for place, side in enumerate(sides))
    if first.id == second.id:
        st.info("This is one run twice; choose another one on one side.", icon=":material/info:")
        return
    _figures(first, second)
    left, right = st.columns(2, gap="large")
    with left:
        _removed(first, second)
    with right:
        _curves(first, second)
    _recipes(first, second)
    _confusion(first, second)


def _figures(first: Run, second: Run) -> None:
    """What was measured and counted of both, and the difference."""
    shell.section("Figures", help=PAIRED)
    st.dataframe(
        pd.DataFrame(figure_rows(first, second), columns=["", "First", "Second", "Second − first"]),
        hide_index=True,
        key="compare-figures",
        column_config={
            "": st.column_config.TextColumn(width=190, pinned=True),
            "First": st.column_config.TextColumn(width=225),
            "Second": st.column_config.TextColumn(width=225),
            "Second − first": st.column_config.TextColumn(width=430),
        },
    )
    if first.task != second.task:
        st.caption("The two were measured on different data: their accuracies cannot be compared.")


def figure_rows(first: Run, second: Run) -> list[tuple[str, str, str, str]]:
    """Figure, first, second, difference, as text."""
    one, two = first.figures, second.figures
    alike = first.task == second.task
    rows = [
        _accuracies(
            "Validation accuracy", one.validation, two.validation, _paired(first, second, "validation"), alike
        ),
        _accuracies("Test accuracy", one.test, two.test, _paired(first, second, "test"), alike),
        _accuracies("Before recovering, validation", one.before, two.before, None, alike),
    ]
    for name, field in (("Parameters, not zero", "nonzero"), ("MACs", "macs"), ("File, bytes", "file_bytes")):
        sides = [getattr(each.size, field) if each.size else None for each in (one, two)]
        rows.append((name, words.count(sides[0]), words.count(sides[1]), _relative(*sides)))
    speeds = one.latency, two.latency
    medians = [speed.median if speed else None for speed in speeds]
    comparable = bool(
        speeds[0]
        and speeds[1]
        and (speeds[0].batch_size, speeds[0].threads, speeds[0].device)
        == (speeds[1].batch_size, speeds[1].threads, speeds[1].device)
    )
    change = _relative(*medians) if comparable else "measured differently" if all(medians) else words.NOTHING
    times = [words.milliseconds(speed) for speed in speeds]
    rows.append(("Latency, median (quartiles)", times[0], times[1], change))
    seconds = [f"{each.seconds:,.1f} s" if each.seconds is not None else words.NOTHING for each in (one, two)]
    rows.append(("Training", seconds[0], seconds[1], ""))
    return [row for row in rows if row[1] != words.NOTHING or row[2] != words.NOTHING]


def _accuracies(
    name: str, one: Measured | None, two: Measured | None, found: Difference | None, alike: bool
) -> tuple[str, str, str, str]:
    change = words.NOTHING
    if found is not None:
        low, high = (100 * bound for bound in found.interval)
        change = f"{100 * found.value:+.2f} pt, paired 95 %: {low:+.2f} to {high:+.2f} "
        change += f"({found.gained:,} gained, {found.lost:,} lost)"
    elif one and two and alike:
        change = f"{100 * (two.accuracy - one.accuracy):+.2f} pt, not paired"
    return name, words.with_interval(one), words.with_interval(two), change.replace("-", "−")


def _paired(first: Run, second: Run, split: str) -> Difference | None:
    return paired(runs.history(), first, second, split) if first.task == second.task else None


def _relative(one: float | None, two: float | None) -> str:
    if one is None or two is None or not one:
        return words.NOTHING
    return "the same" if one == two else f"{100 * (two / one - 1):+.1f} %".replace("-", "−")


def _removed(first: Run, second: Run) -> None:
    if not first.figures.removed and not second.figures.removed:
        st.caption("What is removed of each part is not known of these runs.")
        return
    figure, data = figures.removed(first, second, charts.colours())
    charts.show(figure, data, key="compare-removed", name=f"{first.id} {second.id} removed")


def _curves(first: Run, second: Run) -> None:
    found = {side: runs.epochs(run) for side, run in (("first", first), ("second", second))}
    found = {side: epochs for side, epochs in found.items() if len(epochs) > 1}
    if not found:
        st.caption("Neither was trained, so there are no curves over epochs.")
        return
    figure, data = figures.curves(found, charts.colours())
    charts.show(figure, data, key="compare-curves", name=f"{first.id} {second.id} curves")


def _recipes(first: Run, second: Run) -> None:
    """Recipes in words and as a table; settings of recovery as a table."""
    shell.section("How the recipes differ")
    texts = settings(first.id), settings(second.id)
    left, right = st.columns(2, gap="large")
    with left:
        one, two = recipe_of(texts[0]), recipe_of(texts[1])
        if one is None or two is None:
            st.caption("One of the two has no recipe.")
        elif first.model != second.model:
            st.caption("The recipes are of different networks.")
        else:
            _rules(one, two)
    with right:
        _settings(recovery_of(texts[0]), recovery_of(texts[1]))


def _rules(one: Recipe, two: Recipe) -> None:
    st.markdown("\n".join(f"- {shell.literal(said)}" for said in in_words(one, two)))
    pairs = rule_pairs(one, two)
    if pairs:
        only = st.toggle("Only what differs", value=True, key="compare-only-different")
        _table([pair for pair in pairs if not (only and pair.same)], "part", "compare-rules")


def _settings(one: Recovery | None, two: Recovery | None) -> None:
    """How they were fine-tuned, as far as that differs."""
    if said := tuned_in_words(one, two):
        st.markdown(said)
    if one is not None and two is not None:
        st.markdown("**Settings of fine-tuning that differ**")
        _table(setting_pairs(one, two), "setting", "compare-settings")


def _table(pairs: Sequence[Pair], what: str, key: str) -> None:
    if not pairs:
        st.caption("Nothing.")
        return
    found = [(pair.name, pair.first or words.NOTHING, pair.second or words.NOTHING) for pair in pairs]
    st.dataframe(
        pd.DataFrame(found, columns=[what.capitalize(), "First", "Second"]),
        hide_index=True,
        height=min(320, 38 + 35 * len(found)),
        key=key,
    )


def _confusion(first: Run, second: Run) -> None:
    """Both matrices and their difference, on images that both were measured on."""
    found = [split for split in ("test", "validation") if _matrices(first, second, split) is not None]
    both = _matrices(first, second, found[0]) if found else None
    if both is None:
        st.caption("Confusion: not kept on the same images of both runs.")
        return
    one, two = both
    shell.section(f"Confusion on {int(one.sum()):,} {found[0]} images")
    try:
        classes = [str(name) for name in cache.task_named(first.task).classes]
    except (ValueError, KeyError):
        classes = [str(number) for number in range(len(one))]
    drawn = ((one, "First"), (two, "Second"), (two - one, "Second − first, green is better"))
    for place, (column, (counts, title)) in enumerate(zip(st.columns(3), drawn, strict=True)):
        with column:
            figure, data = figures.confusion(counts, classes, title, charts.colours(), change=place == 2)
            name = f"{first.id} {second.id} confusion {place}"
            charts.show(figure, data, key=f"compare-confusion-{place}", name=name)


def _matrices(first: Run, second: Run, split: str) -> tuple[np.ndarray, np.ndarray] | None:
    """The confusion matrices of both on this split; None if they are not kept, or not comparable."""
    field = "test_confusion" if split == "test" else "confusion"
    one, two = (np.array(getattr(run.figures, field), dtype=int) for run in (first, second))
    comparable = first.task == second.task and one.ndim == 2 and one.shape == two.shape
    return (one, two) if comparable and one.sum() == two.sum() else None
