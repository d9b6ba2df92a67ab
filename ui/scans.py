"""Sensitivity scans that pages share: measured in the background, found again by what was scanned.

A complete scan is kept under its full digest and once more as the latest of its kind, so that a page that
only wants curves need not know which ratios were scanned.
"""

from __future__ import annotations

from collections.abc import Sequence

import pruning
from pruning import MODELS, Scan, store
from pruning.groups.choices import DEFAULT, Choices
from pruning.recipe import Granularity
from pruning.sensitivity import usual_precision
from ui import cache, record, uploads
from ui.bounded import remember
from ui.jobs import Job

KIND = "scan"  # of the jobs
QUICK = (0.1, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_MOST = 64  # scans in memory
_known: dict[str, Scan] = {}


def latest(
    model_id: str, granularity: Granularity, criterion: str, seed: int = 0, choices: Choices = DEFAULT
) -> Scan | None:
    """The last complete scan of this network by this criterion on validation data, or None."""
    digest = _latest_digest(model_id, cache.weights_digest(model_id), granularity, criterion, seed, choices)
    found = _known.get(digest) or store.find_scan(digest)
    if found is not None:
        remember(_known, digest, found, _MOST)
    return found


def keep(model_id: str, weights: str, scan: Scan) -> None:
    """Keep a scan on disk; a complete one becomes the latest of its kind. May be called by a worker.

    Args:
        model_id: that was scanned.
        weights: its `cache.weights_digest`.
        scan: complete or not.
    """
    store.keep_scan(weights, scan)
    if scan.complete:
        record.scan(model_id, weights, scan)
    if scan.complete and scan.split == "validation":
        how = scan.granularity, scan.criterion, scan.seed, scan.choices
        remember(_known, _latest_digest(model_id, weights, *how), scan, _MOST)


def start(
    owner: str,
    model_id: str,
    granularity: Granularity,
    criterion: str,
    seed: int = 0,
    choices: Choices = DEFAULT,
    ratios: Sequence[float] = QUICK,
) -> Job:
    """Scan in the background; the job's parts are its points, its result is the scan, which is kept.

    Raises:
        MissingData: if there is no data to measure on.
        ValueError: if the criterion cannot score this network.
    """
    loaded, task, structure = cache.model(model_id), cache.task(model_id), cache.structure(model_id, choices)
    scores = cache.scores(model_id, granularity, criterion, seed, choices)
    weights = cache.weights_digest(model_id)

    def work(job: Job) -> Scan:
        walk = pruning.iter_scan(
            loaded.module,
            task,
            fitting(granularity, ratios),
            granularity,
            criterion,
            example_inputs=loaded.example_inputs,
            structure=structure,
            scores=scores,
            seed=seed,
            precise=usual_precision(len(task.validation), granularity),
            stop=job.stop,
        )
        for point in walk:
            job.add(point)
            job.advance(walk.settled, walk.total)
        found = walk.scan()
        keep(model_id, weights, found)
        return found

    key = job_key(model_id, granularity, criterion, seed, choices, ratios)
    label = f"{MODELS[uploads.split_id(model_id)[0]].label}, {pruning.CRITERIA[criterion].label}"
    return cache.jobs().submit(owner, KIND, key, work, label=label)


def fitting(granularity: Granularity, ratios: Sequence[float]) -> tuple[float, ...]:
    """The ratios of a scan: a whole layer is dropped or not."""
    return (1.0,) if granularity == "layer" else tuple(ratios)


def job_key(
    model_id: str,
    granularity: Granularity,
    criterion: str,
    seed: int = 0,
    choices: Choices = DEFAULT,
    ratios: Sequence[float] = QUICK,
) -> str:
    """What finds the job of `start` with the same arguments."""
    return repr((model_id, granularity, criterion, seed, choices, fitting(granularity, ratios)))


def _latest_digest(
    model_id: str, weights: str, granularity: Granularity, criterion: str, seed: int, choices: Choices
) -> str:
    return store.latest_digest(
        weights,
        task=MODELS[uploads.split_id(model_id)[0]].task,
        granularity=granularity,
        criterion=criterion,
        seed=seed,
        choices=choices,
    )
