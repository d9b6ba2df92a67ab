"""What the server does by itself: imports, while the first browser still loads, and runs that waited."""

from __future__ import annotations

import gc
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib import import_module

from streamlit.starlette import App

REST_S = 10.0  # after the imports, for the first visitor's page
MODULES = ("ui.shell", "ui.model.answers", "ui.model.cards", "ui.model.parts", "ui.model.wiring")


@asynccontextmanager
async def preloading(_: App) -> AsyncIterator[None]:
    """For `App(lifespan=...)`: the server is up at once; a script that comes early waits for its modules."""
    threading.Thread(target=load, name="preload", daemon=True).start()
    queue = threading.Timer(REST_S, go_on)
    queue.daemon = True
    queue.start()
    yield
    queue.cancel()


def load() -> None:
    """Import torch, pandas, plotly and what uses them."""
    gc.disable()  # collecting garbage while torch is imported takes half a second
    try:
        for module in MODULES:
            import_module(module)
        gc.freeze()  # what they made stays; without this, the first collection takes a third of a second
    finally:
        gc.enable()


def go_on() -> None:
    """Start runs that were queued when the last server ended, before anybody opens a page that shows them."""
    from pruning.store import cache_dir
    from ui import cache

    if any((cache_dir() / "runs").glob("*")):  # a queued run has a folder; without one the database can wait
        with suppress(ValueError):  # a history that cannot be used: the pages that need it say so
            cache.dispatcher()
