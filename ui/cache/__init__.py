"""What is worth computing once for all visitors: models, structures, scores, measurements.

Keys are a model id (see `ui.uploads.model_id`), names and digests, never a tensor. What these functions
return is shared by every session: read it, never change it; the engine's own functions return modified
copies.
"""

from ui.cache.data import task, task_named, use_data_dir
from ui.cache.evaluation import dense_report, dense_reports, live, pruned_report
from ui.cache.keeping import freeze_imports, kept
from ui.cache.latency import timings
from ui.cache.networks import (
    blocks,
    cost_model,
    graph,
    keys,
    layer_graph,
    layers,
    model,
    parameter_counts,
    size_model,
    structure,
    summary,
    weights_digest,
)
from ui.cache.recipes import explained, exported, plan, pruned
from ui.cache.scoring import (
    criterion_fits,
    criterion_for,
    score_histograms,
    scores,
    sorted_scores,
    statistics,
    stops,
    unscorable,
)
from ui.cache.work import dispatcher, history, jobs

__all__ = [
    "blocks",
    "cost_model",
    "criterion_fits",
    "criterion_for",
    "dense_report",
    "dense_reports",
    "dispatcher",
    "explained",
    "exported",
    "freeze_imports",
    "graph",
    "history",
    "jobs",
    "kept",
    "keys",
    "layer_graph",
    "layers",
    "live",
    "model",
    "parameter_counts",
    "plan",
    "pruned",
    "pruned_report",
    "score_histograms",
    "scores",
    "size_model",
    "sorted_scores",
    "statistics",
    "stops",
    "structure",
    "summary",
    "task",
    "task_named",
    "timings",
    "unscorable",
    "use_data_dir",
    "weights_digest",
]
