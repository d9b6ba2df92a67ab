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
from harness import NO_CHROMIUM, App, Server, chromium, find_chromium, new_app, serve

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

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
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def app(browser: Browser, server: Server) -> Iterator[App]:
    opened = new_app(browser, server, accept_downloads=True)
    yield opened
    exceptions = opened.exceptions
    opened.page.context.close()
    assert not exceptions
    assert not opened.complaints


@pytest.fixture
def page(app: App) -> Page:
    """The tab of `app`, for tests that need nothing else."""
    return app.page
