"""The managers of long work: threads of this server, and runs in processes of their own, with a history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ui.cache.keeping import resource
from ui.jobs import JobManager

if TYPE_CHECKING:
    from pruning.history import History
    from pruning.runs import Dispatcher


@resource
def jobs() -> JobManager:
    """The manager of long work, one for the whole server."""
    return JobManager()


@resource
def history() -> History:
    """Everything that was run; raises `HistoryError`, a sentence, if its database cannot be used."""
    from pruning.history import History

    return History()


@resource
def dispatcher() -> Dispatcher:
    """Starts runs and knows how they go, one for the whole server; raises as `history`."""
    from pruning.runs import Dispatcher

    found = Dispatcher(history())
    found.start()
    return found
