"""What page tests share: `open_page` runs app.py without a browser and turns to a page.

AppTest runs Python only: no JavaScript, and a fragment's rerun runs the whole script. What needs either is
tested in tests/browser.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

from pruning.latency import FEWEST, refine_latency
from ui import latencies
from ui.prune import live

ROOT = Path(__file__).parents[2]
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def as_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest takes pages/ for a folder of the legacy kind at each run, where app.py does not run; a server
    does so at most once, and `shell.guard` sees to that (tests/browser/test_shell.py)."""
    begin = PagesManager.__init__

    def begin_anew(self: PagesManager, *args: Any, **options: Any) -> None:
        begin(self, *args, **options)
        PagesManager.uses_pages_directory = False

    monkeypatch.setattr(PagesManager, "__init__", begin_anew)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time is measured in few turns; on a machine however busy these are enough for an interval."""
    monkeypatch.setattr(live, "REST_S", 0.0)
    monkeypatch.setattr(latencies, "BUDGET_S", 60.0)
    monkeypatch.setattr(latencies, "refine_latency", partial(refine_latency, repeats=2 * FEWEST))


@pytest.fixture
def open_page() -> Callable[..., AppTest]:
    """Open a page by its file's name, with query parameters: `open_page("prune", model="digits-mlp")`."""

    def open_it(name: str, *, seconds: float = 60, **query: str) -> AppTest:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=seconds)
        for key, value in query.items():
            app.query_params[key] = value
        app.run()
        if name != "model":
            app.switch_page(f"pages/{name}.py").run()
        assert not app.exception, app.exception[0].stack_trace
        return app

    return open_it
