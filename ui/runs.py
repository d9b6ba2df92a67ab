"""Runs as pages see them: the app's one history and its one dispatcher, and what is read of them often."""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from ui import cache

if TYPE_CHECKING:
    from pruning.history import History, Run
    from pruning.recover.record import Epoch
    from pruning.recover.settings import Recovery
    from pruning.runs import Dispatcher
    from ui.state import Session

POLL_S = 0.5  # how often a page looks at a run under way
_MOST = 8  # runs whose epochs are remembered
_epochs: OrderedDict[tuple[str, datetime | None], list[Epoch]] = OrderedDict()
_lock = threading.Lock()


def history() -> History:
    """Everything that was run; raises `HistoryError`, a ValueError, if its database cannot be used."""
    return cache.history()


def dispatcher() -> Dispatcher:
    """What starts runs and knows how they go; raises as `history`."""
    return cache.dispatcher()


def find(run_id: str) -> Run | None:
    """A run by its id; None if there is none, or it was deleted."""
    dispatcher()  # marks what an earlier server has left behind
    return history().get(run_id)


def epochs(run: Run) -> list[Epoch]:
    """The epochs that a run has done; only new ones are read."""
    key = (run.id, run.started)  # a run that is resumed may do its last epoch once more
    with _lock:
        known = list(_epochs.get(key, ()))
    known += history().epochs(run.id, after=known[-1].number if known else -1)
    with _lock:
        _epochs[key] = known
        _epochs.move_to_end(key)
        while len(_epochs) > _MOST:
            _epochs.popitem(last=False)
    return known


@lru_cache(maxsize=64)
def _settings(run_id: str) -> Recovery:
    from pruning.recover.settings import Recovery

    return Recovery.from_json(history().settings(run_id))


def settings(run: Run) -> Recovery:
    """The decisions of a fine-tuning; raises ValueError if they are of another version."""
    return _settings(run.id)


def is_mine(session: Session, run: Run) -> bool:
    """Whether this visitor asked for it, and may stop it."""
    return run.owner in ("", session.owner)


def start(session: Session, recovery: Recovery) -> str:
    """Put a run into the queue, and turn to it.

    Raises:
        ValueError: in one sentence, if it cannot be.
    """
    run_id = dispatcher().submit(
        cache.model(session.model_id), recovery, owner=session.claim(), device=session.device
    )
    session.look_at(run_id)
    return run_id
