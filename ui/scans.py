"""Sensitivity scans that pages share: found again by what was scanned, also after a restart.

A complete scan is kept under its full digest and once more as the latest of its kind, so that a page that
only wants curves need not know which ratios were scanned.
"""

from __future__ import annotations

from pruning import MODELS, Scan, store
from pruning.recipe import Granularity
from ui import cache, uploads

_MOST = 64  # scans in memory
_known: dict[str, Scan] = {}


def latest(model_id: str, granularity: Granularity, criterion: str, seed: int = 0) -> Scan | None:
    """The last complete scan of this network by this criterion on validation data, or None."""
    digest = _latest_digest(model_id, granularity, criterion, seed)
    found = _known.get(digest) or store.find_scan(digest)
    if found is not None:
        _remember(digest, found)
    return found


def keep(model_id: str, scan: Scan) -> None:
    """Keep a scan on disk; a complete one becomes the latest of its kind."""
    full = store.scan_digest(
        cache.weights_digest(model_id),
        task=scan.task,
        split=scan.split,
        granularity=scan.granularity,
        criterion=scan.criterion,
        ratios=scan.ratios,
        seed=scan.seed,
        n=scan.n,
    )
    store.save_scan(full, scan)
    if scan.complete and scan.split == "validation":
        digest = _latest_digest(model_id, scan.granularity, scan.criterion, scan.seed)
        store.save_scan(digest, scan)
        _remember(digest, scan)


def _latest_digest(model_id: str, granularity: Granularity, criterion: str, seed: int) -> str:
    task = MODELS[uploads.split_id(model_id)[0]].task
    return store.scan_digest(
        cache.weights_digest(model_id),
        task=task,
        split="validation",
        granularity=granularity,
        criterion=criterion,
        ratios=(),
        seed=seed if criterion == "random" else 0,
        n=0,
    )


def _remember(digest: str, scan: Scan) -> None:
    while len(_known) >= _MOST and digest not in _known:
        del _known[next(iter(_known))]
    _known[digest] = scan
