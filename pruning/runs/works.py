"""What each kind of run does."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pruning.runs.compress import compress_run
from pruning.runs.finetune import fine_tune
from pruning.runs.study_work import run_study
from pruning.runs.work import Work

WORKS: Mapping[str, Work] = MappingProxyType(
    {"fine-tuning": fine_tune, "study": run_study, "compression": compress_run}
)
