"""Where clusters begin: the first centroids, which k-means then moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pruning.clustering.optimum import optimum
from pruning.clustering.spread import Spread
from pruning.registry import Registry


@dataclass(frozen=True)
class Init:
    """A way to choose the first centroids.

    Args:
        name: the key in `INITS`.
        label: its name on a screen.
        description: for the screen.
        source: paper and arXiv number.
        start: numbers, k >= 1 of them or fewer than there are different ones, generator -> (k,) centroids.
        random: whether the generator decides anything.
    """

    name: str
    label: str
    description: str
    source: str
    start: Callable[[Spread, int, np.random.Generator], np.ndarray]
    random: bool = False


INITS: Registry[Init] = Registry("initialisation")


def _add(
    name: str,
    label: str,
    description: str,
    source: str,
    start: Callable[[Spread, int, np.random.Generator], np.ndarray],
    *,
    random: bool = False,
) -> None:
    INITS.add(name, Init(name, label, description, source, start, random))


def _linear(spread: Spread, k: int, generator: np.random.Generator) -> np.ndarray:
    return np.linspace(spread.values[0], spread.values[-1], k)


def _density(spread: Spread, k: int, generator: np.random.Generator) -> np.ndarray:
    shares = (np.arange(k) + 0.5) / k * spread.weight[-1]
    return spread.values[np.searchsorted(spread.weight[1:], shares)]


def _random(spread: Spread, k: int, generator: np.random.Generator) -> np.ndarray:
    share = spread.counts / spread.counts.sum()
    return np.sort(generator.choice(spread.values, size=k, replace=False, p=share))


def _plus_plus(spread: Spread, k: int, generator: np.random.Generator) -> np.ndarray:
    """Each next one is drawn with a chance that grows with the squared distance to the nearest so far."""
    chosen, chance = [], spread.counts.copy()
    nearest = np.full(len(spread), np.inf)
    for _ in range(k):
        place = generator.choice(len(spread), p=chance / chance.sum())
        chosen.append(spread.values[place])
        nearest = np.minimum(nearest, (spread.values - chosen[-1]) ** 2)
        chance = spread.counts * nearest
    return np.sort(chosen)


def _exact(spread: Spread, k: int, generator: np.random.Generator) -> np.ndarray:
    return optimum(spread, k)


_add(
    "linear",
    "Linear",
    "Evenly from the smallest to the largest weight: large weights, which are few and matter most, get "
    "centroids of their own. The best of three in the paper.",
    "Han et al. 2015, arXiv:1510.00149, section 3.2",
    _linear,
)
_add(
    "density",
    "Density",
    "As many weights between any two neighbours: many centroids where weights are many, which is near zero.",
    "Han et al. 2015, arXiv:1510.00149, section 3.2",
    _density,
)
_add(
    "random",
    "Random",
    "Weights drawn at random (Forgy's way).",
    "Forgy 1965, Biometrics 21; Han et al. 2015, arXiv:1510.00149, section 3.2",
    _random,
    random=True,
)
_add(
    "kmeans++",
    "k-means++",
    "Weights drawn at random, the more likely the farther they are from those drawn before.",
    "Arthur and Vassilvitskii 2007, SODA",
    _plus_plus,
    random=True,
)
_add(
    "exact",
    "Optimal",
    "The least squared error that there is, by dynamic programming; k-means has nothing left to move. Where "
    "there are very many different weights, neighbours are first taken together, and k-means refines.",
    "Grønlund et al. 2017, arXiv:1701.07204; Wang and Song 2011, The R Journal 3(2)",
    _exact,
)
