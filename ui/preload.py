"""Import what the first page needs while the first visitor's browser is still loading Streamlit's files."""

from __future__ import annotations

import gc
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module

from streamlit.starlette import App

MODULES = ("ui.shell", "ui.model.answers", "ui.model.cards", "ui.model.parts", "ui.model.wiring")


@asynccontextmanager
async def preloading(_: App) -> AsyncIterator[None]:
    """For `App(lifespan=...)`: the server is up at once; a script that comes early waits for its modules."""
    threading.Thread(target=load, name="preload", daemon=True).start()
    yield


def load() -> None:
    """Import torch, pandas, plotly and what uses them."""
    gc.disable()  # collecting garbage while torch is imported takes half a second
    try:
        for module in MODULES:
            import_module(module)
        gc.freeze()  # what they made stays; without this, the first collection takes a third of a second
    finally:
        gc.enable()
