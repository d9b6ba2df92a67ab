"""Runs side by side: which are worth having, how they differ, and a report of them.

Not imported by `pruning` itself, which stays light: `from pruning.compare import points`.
"""

from pruning.compare.answers import paired
from pruning.compare.difference import (
    Pair,
    in_words,
    recipe_of,
    recovery_of,
    rule_pairs,
    setting_pairs,
    sources,
    tuned_in_words,
)
from pruning.compare.pareto import front
from pruning.compare.points import (
    COSTS,
    SPLITS,
    Cost,
    Point,
    Split,
    accuracy_of,
    points,
    tasks_of,
    ways_timed,
)
from pruning.compare.report import Entry, as_html, as_markdown, label_of, name_of
from pruning.compare.seeds import Spread, spread, together

__all__ = [
    "COSTS",
    "SPLITS",
    "Cost",
    "Entry",
    "Pair",
    "Point",
    "Split",
    "Spread",
    "accuracy_of",
    "as_html",
    "as_markdown",
    "front",
    "in_words",
    "label_of",
    "name_of",
    "paired",
    "points",
    "recipe_of",
    "recovery_of",
    "rule_pairs",
    "setting_pairs",
    "sources",
    "spread",
    "tasks_of",
    "together",
    "tuned_in_words",
    "ways_timed",
]
