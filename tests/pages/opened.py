"""What page tests ask of an opened page, `app`: its session, what it says, the end of its background work."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ui import cache
from ui.state import Session

Open = Callable[..., Any]  # the fixture `open_page`


def session_of(app: Any) -> Session:
    """The visitor's decisions."""
    found: Session = app.session_state["pruning-session"]
    return found


def html(app: Any) -> str:
    """Everything that is drawn as HTML."""
    return " ".join(element.proto.body for element in app.get("html"))


def wait(app: Any, seconds: float = 60) -> Any:
    """Until no work of this server is busy, then look again."""
    end = time.monotonic() + seconds
    while any(job.busy for job in cache.jobs()._jobs.values()):
        assert time.monotonic() < end
        time.sleep(0.02)
    app.run()
    assert not app.exception
    return app
