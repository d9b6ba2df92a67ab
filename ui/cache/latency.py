"""Measured times, as far as they are known."""

from __future__ import annotations

import pruning
from ui.cache.keeping import resource


@resource(max_entries=16)
def timings(model_id: str) -> dict[str, pruning.Timing]:
    """Recipe digest -> latency in turns with the dense network, as far as `ui.latencies` has measured it."""
    return {}
