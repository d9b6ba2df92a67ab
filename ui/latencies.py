"""Latency of pruned networks that pages share: measured once on this machine, in turns with the dense one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from pruning import Memory, Recipe, Timing, peak_memory
from pruning.latency import FEWEST, Way, refine_latency
from ui import cache
from ui.jobs import Job

BUDGET_S = 1.5  # of measuring time, in slices
SLICE_S = 0.12  # whoever wants to stop waits at most about this long for a slice to end
BATCHES = (1, 8, 32, 128)
KIND = "latency"  # of the jobs


@dataclass(frozen=True)
class Setting:
    """How a latency is measured.

    Args:
        batch_size: images per forward.
        threads: of torch. One is steadiest: several wait for the slowest of them, which on a busy machine can
            take a thousand times as long as the work.
        way: see `pruning.latency.WAYS`.
        place: the device, for reading; which one it is, the model's id says.
    """

    batch_size: int = 1
    threads: int = 1
    way: Way = "eager"
    place: str = field(default="CPU", compare=False)

    @property
    def words(self) -> str:
        """For reading: "batch 1, 1 thread, eager, CPU", or "batch 1, eager, H200"."""
        threads = f", {self.threads} thread{'s' * (self.threads > 1)}" if self.place == "CPU" else ""
        return f"batch {self.batch_size}{threads}, {self.way}, {self.place}"


USUAL = Setting()


def thread_choices() -> list[int]:
    """Numbers of threads worth trying on this machine."""
    most = os.cpu_count() or 1
    return sorted({1, most} | {2**power for power in range(6) if 2**power <= most})


def known(model_id: str, recipe: Recipe, setting: Setting = USUAL) -> Timing | None:
    """The kept latency of this recipe, if it was measured."""
    return cache.timings(model_id).get(_name(recipe, setting))


def forget(model_id: str, recipe: Recipe, setting: Setting = USUAL) -> None:
    """Drop the kept latency of this recipe, so that it is measured again."""
    cache.timings(model_id).pop(_name(recipe, setting), None)


def measure(model_id: str, recipe: Recipe, *, untouched: bool, setting: Setting = USUAL) -> Iterator[Timing]:
    """Time the pruned network, yielding what is known after each slice; only the whole measurement is kept.

    What the caches hold is looked up now and not while iterating, so a worker may iterate.

    Args:
        untouched: whether the recipe leaves the network as it is, which is then timed alone.
        setting: how; compiling takes long before the first timing, see `start`.
    """
    dense, kept = cache.model(model_id), cache.timings(model_id)
    slices = refine_latency(
        dense.module if untouched else cache.pruned(model_id, recipe),
        dense.example_inputs,
        baseline=None if untouched else dense.module,
        batch_size=setting.batch_size,
        threads=setting.threads,
        way=setting.way,
        budget_s=BUDGET_S,
        slice_s=SLICE_S,
    )
    return _keep(slices, kept, _name(recipe, setting))


def start(owner: str, model_id: str, recipe: Recipe, *, untouched: bool, setting: Setting) -> Job:
    """The same in the background; the job's parts are the timings so far."""
    slices = measure(model_id, recipe, untouched=untouched, setting=setting)

    def work(job: Job) -> None:
        for timing in slices:
            job.add(timing)
            if job.stop.is_set():
                return

    key = repr((model_id, recipe.digest, setting))
    return cache.jobs().submit(owner, KIND, key, work, anew=True)  # the one before had too few turns


def peaks(model_id: str, recipe: Recipe, batch_size: int) -> tuple[Memory, Memory]:
    """Peak memory of an eager forward of the dense and of the pruned network; counted once."""
    return _peak(model_id, "", batch_size, recipe), _peak(model_id, recipe.digest, batch_size, recipe)


@cache.kept(256)
def _peak(model_id: str, digest: str, batch_size: int, _recipe: Recipe) -> Memory:
    loaded = cache.model(model_id)
    network = cache.pruned(model_id, _recipe) if digest else loaded.module
    return peak_memory(network, loaded.example_inputs, batch_size=batch_size)


def _name(recipe: Recipe, setting: Setting) -> str:
    return recipe.digest if setting == USUAL else f"{recipe.digest}, {setting}"


def _keep(slices: Iterator[Timing], kept: dict[str, Timing], digest: str) -> Iterator[Timing]:
    for timing in slices:
        yield timing
    if timing.n >= FEWEST:  # else the machine was too busy: try again next time
        kept[digest] = timing
