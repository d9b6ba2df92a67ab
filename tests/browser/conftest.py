"""What browser tests share: one server and one Chromium for all, and a fresh tab for each test.

`app` is the way in: `app.open("prune")`, `app.switch("Export")`, `app.page` for the rest. At a test's end it
must have logged no console error, shown no exception and asked no outside host for anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from harness import NO_CHROMIUM, App, Server, chromium, find_chromium, serve, tab

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and skip them where they cannot run."""
    reason = "" if find_spec("playwright") else "no Playwright: pip install -r requirements-test.txt"
    reason = reason or ("" if find_chromium() else NO_CHROMIUM)
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium("--process-per-site") as running:  # all tabs of a window share one
        yield running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="session")
def window(browser: Browser) -> BrowserContext:
    """One window for all tabs: Streamlit's own scripts are fetched and compiled once."""
    return browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)


@pytest.fixture
def app(window: BrowserContext, server: Server) -> Iterator[App]:
    with tab(window, server) as opened:
        yield opened


@pytest.fixture
def page(app: App) -> Page:
    """The tab of `app`, for tests that need nothing else."""
    return app.page
