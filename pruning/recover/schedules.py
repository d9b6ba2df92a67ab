"""When a run prunes, and what share of each ratio it has asked for by then."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pruning.recipe import Recipe, Rule
from pruning.recover.optimise import rate
from pruning.recover.settings import Pruning, Recovery
from pruning.registry import Registry

POINTS = 200  # of a learning rate that is drawn
ONE_CYCLE = 14.0, 5.0  # alpha and beta of Hubens et al. 2021


@dataclass(frozen=True)
class Schedule:
    """How ratios rise to those of the recipe.

    Args:
        name: the key in `SCHEDULES`.
        label: its name on a screen.
        description: what it does and when that is a good idea; shown on the screen.
        source: paper and arXiv number.
        asked: (ratio, progress in (0, 1], place in 0..1) -> ratio asked; `place` is where the key stands
            among those of the recipe, the last one at 1. At progress 1 it is the ratio itself.
        updates: (settings, number of keys) -> how many times ratios are raised.
    """

    name: str
    label: str
    description: str
    source: str
    asked: Callable[[float, float, float], float]
    updates: Callable[[Pruning, int], int]


@dataclass(frozen=True)
class Update:
    """One raise of the ratios.

    Args:
        at: epochs after the end of `stabilise`, in [0, prune]; it comes before the first step from there on.
        progress: how far ratios are raised then, in (0, 1].
    """

    at: float
    progress: float


SCHEDULES: Registry[Schedule] = Registry("schedule")


def updates_of(pruning: Pruning, keys: int) -> tuple[Update, ...]:
    """When the ratios rise, in order; the last update asks for all of them.

    The n updates are spread evenly over the `prune` epochs, each followed by an n-th of them. Without such
    epochs everything is pruned at once.

    Args:
        pruning: the settings.
        keys: how many the recipe has.
    """
    n = SCHEDULES[pruning.schedule].updates(pruning, keys) if pruning.prune else 1
    return tuple(Update(pruning.prune * number / n, (number + 1) / n) for number in range(n))


def asked_by(recipe: Recipe, pruning: Pruning, progress: float) -> Recipe:
    """The recipe as far as it is asked for by then; at progress 1 the recipe itself.

    Whole layers and units named by hand are switches, and go at the end.

    Args:
        recipe: of the run; its keys in the order in which they run.
        pruning: the settings.
        progress: of an update, in [0, 1].
    """
    if progress >= 1:
        return recipe
    asked = SCHEDULES[pruning.schedule].asked
    rules = {}
    for place, (key, rule) in enumerate(recipe.rules.items(), 1):
        ratio = asked(rule.ratio, progress, place / len(recipe.rules)) if progress > 0 else 0.0
        if ratio > 0 and not _is_switch(rule):  # what is not asked yet must not be ranked with the others
            rules[key] = rule.model_copy(update={"ratio": ratio})
    return recipe.model_copy(update={"rules": rules})


def reached(recipe: Recipe, pruning: Pruning, progress: float) -> float:
    """Share of the recipe's ratios that is asked by then, the mean over its keys, in 0..1; without keys 1."""
    asked = asked_by(recipe, pruning, progress).rules
    rules = {key: rule for key, rule in recipe.rules.items() if rule.ratio}
    shares = [asked[key].ratio / rule.ratio if key in asked else 0.0 for key, rule in rules.items()]
    return min(1.0, sum(shares) / len(shares)) if shares and progress < 1 else 1.0


def cycle(begins: Sequence[float], end: float, at: float) -> tuple[float, float]:
    """The part of a run that a moment lies in, where the learning rate's schedule begins anew in between.

    Args:
        begins: of the parts.
        end: of the run, in the same unit.
        at: in [0, end).
    Returns:
        Its beginning and end.
    """
    edges = sorted({0.0, end, *begins})
    return max(edge for edge in edges if edge <= at), min(edge for edge in edges if edge > at)


def preview(
    settings: Recovery, keys: Sequence[str]
) -> tuple[dict[str, list[tuple[float, float]]], list[tuple[float, float]]]:
    """What a run would do, to draw before it begins.

    Args:
        settings: of the run.
        keys: of the recipe, in order of depth.
    Returns:
        key -> (epoch, share of its ratio asked from then on), ascending, ending with the run; one entry for
        all keys, "" by name, where they rise alike; and (epoch, learning rate).
    """
    pruning = settings.pruning
    rules = [(key, settings.recipe.rules[key]) for key in keys if key in settings.recipe.rules]
    curves = {key: _curve(pruning, rule, place, len(rules)) for place, (key, rule) in enumerate(rules, 1)}
    if len({tuple(curve) for curve in curves.values()}) == 1:
        curves = {"": next(iter(curves.values()))}
    for curve in curves.values():
        curve.append((float(settings.epochs), curve[-1][1]))
    rewinds = [pruning.stabilise + update.at for update in updates_of(pruning, len(rules))] if rules else []
    return curves, _rates(settings, rewinds if pruning.rewind is not None else [])


def _rates(settings: Recovery, begins: Sequence[float]) -> list[tuple[float, float]]:
    """(epoch, learning rate), the schedule beginning anew at some epochs."""
    end, rates = float(settings.epochs), []
    for at in (end * point / POINTS for point in range(POINTS + 1 if end else 0)):
        first, last = cycle(begins, end, min(at, end * (1 - 1e-9)))
        rates.append((at, settings.fit.lr * rate((at - first) / (last - first), settings.fit)))
    return rates


def _curve(pruning: Pruning, rule: Rule, place: int, keys: int) -> list[tuple[float, float]]:
    curve = [(0.0, 0.0)]
    for update in updates_of(pruning, keys):
        if update.progress >= 1 or not rule.ratio:
            share = 1.0
        elif _is_switch(rule):
            share = 0.0
        else:
            asked = SCHEDULES[pruning.schedule].asked(rule.ratio, update.progress, place / keys)
            share = round(asked / rule.ratio, 9)
        curve.append((pruning.stabilise + update.at, share))
    return curve


def _is_switch(rule: Rule) -> bool:
    """Whether it is all or nothing: a whole layer, or units named by hand."""
    return rule.granularity == "layer" or bool(rule.removed)


def _geometric(ratio: float, progress: float, _: float) -> float:
    """The same share of what is left at each update."""
    return 1 - (1 - ratio) ** progress


def _one_cycle(ratio: float, progress: float, _: float) -> float:
    alpha, beta = ONE_CYCLE
    return ratio * (1 + math.exp(beta - alpha)) / (1 + math.exp(beta - alpha * progress))


def _in_turn(ratio: float, progress: float, place: float) -> float:
    return ratio if progress >= place - 1e-9 else 0.0


def _often(pruning: Pruning, _: int) -> int:
    return pruning.prune * pruning.updates


def _add(
    name: str,
    label: str,
    description: str,
    source: str,
    asked: Callable[[float, float, float], float],
    updates: Callable[[Pruning, int], int] = _often,
) -> None:
    SCHEDULES.add(name, Schedule(name, label, description, source, asked, updates))


_add(
    "one-shot",
    "One-shot",
    "Everything is pruned at once, then the network recovers. Simple and quick, and enough at low ratios.",
    "Li et al. 2017, arXiv:1608.08710",
    lambda ratio, progress, place: ratio,
    lambda pruning, keys: 1,
)
_add(
    "iterative",
    "Iterative",
    "Prune, train, repeat: each round removes the same share of what is left and trains before the next. "
    "Slow, and good at high ratios; with weights that go back to their start it finds lottery tickets.",
    "Han et al. 2015, arXiv:1506.02626; Frankle and Carbin 2019, arXiv:1803.03635",
    _geometric,
    lambda pruning, keys: pruning.rounds,
)
_add(
    "cubic",
    "Gradual, cubic",
    "Much is removed at first, while there is much to spare, and little at the end: 1 - (1 - t)^3 of the "
    "ratio.",
    "Zhu and Gupta 2017, arXiv:1710.01878",
    lambda ratio, progress, place: ratio * (1 - (1 - progress) ** 3),
)
_add(
    "linear",
    "Gradual, linear",
    "The same number of weights goes at each update.",
    "the plain choice that Zhu and Gupta 2017, arXiv:1710.01878, compare with",
    lambda ratio, progress, place: ratio * progress,
)
_add(
    "exponential",
    "Gradual, exponential",
    "The same share of what is left goes at each update, so that steps in weights get smaller.",
    "Han et al. 2015, arXiv:1506.02626, with many small rounds",
    _geometric,
)
_add(
    "one-cycle",
    "One cycle",
    "Slow at first, quick in the middle, slow at the end: a logistic curve within a single training.",
    "Hubens et al. 2021, arXiv:2107.02086",
    _one_cycle,
)
_add(
    "layer-by-layer",
    "Layer by layer",
    "Each row of the recipe is pruned whole, one after the other from the input on, with training between.",
    "He et al. 2017, arXiv:1707.06168, prune and train in this order",
    _in_turn,
    lambda pruning, keys: max(1, keys),
)


def depth_first(rules: Mapping[str, Rule], order: Sequence[str]) -> dict[str, Rule]:
    """Rules in the order of these keys; those that are not among them come last.

    Args:
        rules: of a recipe.
        order: keys in the order in which they run.
    """
    place = {key: number for number, key in enumerate(order)}
    return dict(sorted(rules.items(), key=lambda item: place.get(item[0], len(place))))
