"""The manager of long work."""

from __future__ import annotations

from ui.cache.keeping import resource
from ui.jobs import JobManager


@resource
def jobs() -> JobManager:
    """The manager of long work, one for the whole server."""
    return JobManager()
