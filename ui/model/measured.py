"""What the Model page measures: in the background as soon as it takes long, one measurement at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pruning
from pruning.evaluate import evaluate_batches
from pruning.latency import LayerTime
from ui import cache
from ui.jobs import Job
from ui.latencies import Setting
from ui.latencies import thread_choices as thread_choices

POLL_S = 0.5
AT_ONCE = 3e9  # multiply-accumulates that a page may wait for: about half a second on two cores
LATENCY_S = 1.0  # budget of a latency
SETTLE_S = 1.5  # before a latency: a browser on the same machine is still drawing the page
OWNER = "everybody"  # these figures are the same for all visitors, and short


def default_threads() -> int:
    """What is chosen unless told otherwise."""
    return Setting().threads


def accuracy(model_id: str) -> pruning.Report | None:
    """Accuracy on validation data, as far as it is measured; None before the first batch.

    Raises:
        MissingData: without data.
        ValueError: if the measurement failed.
    """
    images = len(cache.task(model_id).validation)
    if cache.cost_model(model_id).dense.macs * images <= AT_ONCE:
        return cache.dense_report(model_id)
    job = _settled("dense-accuracy", model_id)
    if job is None:
        return None
    return job.result or (job.parts[-1] if job.parts else None)


def latency(model_id: str, setting: Setting) -> pruning.Timing | None:
    """Latency, None until it is measured; ValueError if the measurement failed."""
    job = _settled("dense-latency", repr((model_id, setting)))
    return None if job is None else job.result


def layer_times(model_id: str, setting: Setting) -> tuple[LayerTime, ...] | None:
    """Time by module, None until it is measured; ValueError if the measurement failed."""
    job = _settled("layer-times", repr((model_id, setting)))
    return None if job is None else job.result


def start(model_id: str, setting: Setting) -> None:
    """Begin what the cards need and is not yet known; the last thing that the page does."""
    loaded = cache.model(model_id)
    try:
        task, known = cache.task(model_id), accuracy(model_id)
    except ValueError:
        known, task = None, None

    def measure_accuracy(job: Job) -> pruning.Report | None:
        assert task is not None
        for report in evaluate_batches(loaded.module, task):
            job.add(report)
            if job.stop.is_set():
                break
        return report

    def measure_latency(job: Job) -> pruning.Timing:
        job.stop.wait(SETTLE_S)
        return pruning.measure_latency(
            loaded.module,
            loaded.example_inputs,
            batch_size=setting.batch_size,
            threads=setting.threads,
            way=setting.way,
            budget_s=LATENCY_S,
        )

    if task is not None and known is None:
        _submit("dense-accuracy", model_id, measure_accuracy)
    _submit("dense-latency", repr((model_id, setting)), measure_latency)


def forget(model_id: str, setting: Setting) -> None:
    """Drop the times, so that they are measured again."""
    for kind in ("dense-latency", "layer-times"):
        cache.jobs().forget(kind, repr((model_id, setting)))


def start_layers(model_id: str, setting: Setting) -> None:
    """Begin to measure the time by module, unless it is known."""
    loaded = cache.model(model_id)

    def measure(_: Job) -> tuple[LayerTime, ...]:
        return pruning.measure_layers(
            loaded.module,
            loaded.example_inputs,
            batch_size=setting.batch_size,
            threads=setting.threads,
            budget_s=LATENCY_S,
        )

    _submit("layer-times", repr((model_id, setting)), measure)


def _submit(kind: str, key: str, work: Callable[[Job], Any]) -> None:
    known = cache.jobs().get(kind, key)
    if known is None or known.state == "cancelled":  # a failed one would fail again
        cache.jobs().submit(OWNER, kind, key, work)


def _settled(kind: str, key: str) -> Job | None:
    job = cache.jobs().get(kind, key)
    if job is not None and job.state == "failed":
        raise ValueError(f"It could not be measured: {job.error}")
    return job
