"""Latency of pruned networks that pages share: measured once on this machine, in turns with the dense one."""

from __future__ import annotations

from collections.abc import Iterator

from pruning import Recipe, Timing
from pruning.latency import FEWEST, refine_latency
from ui import cache

BUDGET_S = 1.5  # of measuring time, in slices
SLICE_S = 0.12  # whoever wants to stop waits at most about this long for a slice to end


def known(model_id: str, recipe: Recipe) -> Timing | None:
    """The kept latency of this recipe, if it was measured."""
    return cache.timings(model_id).get(recipe.digest)


def forget(model_id: str, recipe: Recipe) -> None:
    """Drop the kept latency of this recipe, so that it is measured again."""
    cache.timings(model_id).pop(recipe.digest, None)


def measure(model_id: str, recipe: Recipe, *, untouched: bool) -> Iterator[Timing]:
    """Time the pruned network, yielding what is known after each slice; only the whole measurement is kept.

    What the caches hold is looked up now and not while iterating, so a worker may iterate.

    Args:
        untouched: whether the recipe leaves the network as it is, which is then timed alone.
    """
    dense, kept = cache.model(model_id), cache.timings(model_id)
    slices = refine_latency(
        dense.module if untouched else cache.pruned(model_id, recipe),
        dense.example_inputs,
        baseline=None if untouched else dense.module,
        budget_s=BUDGET_S,
        slice_s=SLICE_S,
    )
    return _keep(slices, kept, recipe.digest)


def _keep(slices: Iterator[Timing], kept: dict[str, Timing], digest: str) -> Iterator[Timing]:
    for timing in slices:
        yield timing
    if timing.n >= FEWEST:  # else the machine was too busy: try again next time
        kept[digest] = timing
