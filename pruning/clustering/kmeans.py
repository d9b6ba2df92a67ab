"""k-means of numbers: in one dimension clusters are runs of neighbours, and a step costs next to nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pruning.clustering.spread import Spread
from pruning.clustering.starts import INITS

Solver = Literal["own", "scikit-learn"]
STEPS = 1000  # at most; a few dozen are usual


@dataclass(frozen=True)
class Clusters:
    """Numbers in clusters.

    Args:
        centroids: (k,) rising, in the dtype of the numbers; fewer than asked for where some stayed empty.
        index: (n,) int64: which centroid stands for each number.
        error: sum of squared distances to them.
    """

    centroids: Tensor
    index: Tensor
    error: float


def fit(values: Tensor, k: int, *, init: str = "linear", seed: int = 0, solver: Solver = "own") -> Clusters:
    """Cluster numbers, each to its nearest centroid.

    Args:
        values: (n,) finite floating-point numbers, at least one.
        k: clusters asked for, at least 1.
        init: name of an entry of `INITS`.
        seed: of those that draw.
        solver: what moves the centroids: "own", which uses the order of numbers, or "scikit-learn", the same
            algorithm for points of any dimension. The latter gives a cluster that was left empty a new place
            far from all centroids; it is much slower.
    Raises:
        ValueError: no numbers, one that is not finite, k below 1, or a solver that is not known or installed.
    Source: Lloyd 1982, IEEE Trans. Information Theory 28(2).
    """
    if k < 1:
        raise ValueError(f"{k} clusters make no sense; ask for 1 or more.")
    numbers = values.detach().cpu().double().flatten().numpy()
    if not len(numbers) or not np.isfinite(numbers).all():
        raise ValueError("Only finite numbers can be clustered, and at least one; check the weights.")
    if solver not in SOLVERS:
        raise ValueError(f"There is no solver {solver!r}; choose from {', '.join(SOLVERS)}.")
    start = INITS[init].start
    spread = Spread.of(numbers)
    if len(spread) <= k:
        found = spread.values
    else:
        found = SOLVERS[solver](spread, start(spread, k, np.random.default_rng(seed)))
    centroids = np.unique(torch.from_numpy(found).to(values.dtype).double().numpy())  # as they can be kept
    index = np.searchsorted((centroids[1:] + centroids[:-1]) / 2, numbers)
    error = float(((numbers - centroids[index]) ** 2).sum())
    kept = torch.from_numpy(centroids).to(values.dtype)
    return Clusters(kept.to(values.device), torch.from_numpy(index).to(values.device), error)


def lloyd(spread: Spread, centroids: np.ndarray) -> np.ndarray:
    """Move centroids to the means of their clusters until none changes; those left without numbers go.

    Args:
        spread: the numbers.
        centroids: (k,) rising, to begin with.
    """
    edges = None
    for _ in range(STEPS):
        inner = np.searchsorted(spread.values, (centroids[1:] + centroids[:-1]) / 2)
        now = np.concatenate([[0], inner, [len(spread)]])
        if edges is not None and np.array_equal(now, edges):
            break
        edges = now
        centres = spread.centres(edges)
        centroids = np.where(np.isnan(centres), centroids, centres)
    filled = np.diff(edges) > 0 if edges is not None else np.ones(len(centroids), dtype=bool)
    return centroids[filled]


def scikit_learn(spread: Spread, centroids: np.ndarray) -> np.ndarray:
    """The same by scikit-learn's KMeans.

    Args:
        spread: the numbers.
        centroids: (k,) to begin with.
    Returns:
        (k,) rising.
    Raises:
        ValueError: it is not installed.
    Source: Pedregosa et al. 2011, JMLR 12.
    """
    try:
        from sklearn.cluster import KMeans
    except ImportError:
        raise ValueError('scikit-learn is not installed; install it, or take the solver "own".') from None
    means = KMeans(len(centroids), init=centroids[:, None], n_init=1, max_iter=STEPS, tol=0)
    means.fit(spread.values[:, None], sample_weight=spread.counts)
    return np.sort(means.cluster_centers_.ravel())


SOLVERS = {"own": lloyd, "scikit-learn": scikit_learn}
