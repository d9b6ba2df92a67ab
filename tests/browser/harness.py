"""Serve the app and look at it in the system's Chromium: for browser tests, screenshots and benchmarks."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

ROOT = Path(__file__).parents[2]
NO_CHROMIUM = "no Chromium: apt-get install chromium, or name an executable in PRUNING_CHROMIUM"
PATIENCE_S = 120.0  # for anything to show; only a page that is wrong takes that long
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PROBE = re.compile(r"/_stcore/(health|host-config)$")  # Streamlit's page asks at several places, by design


def find_chromium() -> str | None:
    """The executable that PRUNING_CHROMIUM names, or one on PATH."""
    named = os.environ.get("PRUNING_CHROMIUM")
    return named or next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """A running Chromium; once in a process, for Playwright's loop cannot be nested."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=1000 * PATIENCE_S)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu", *flags]
        )
        yield browser
        browser.close()


@dataclass(frozen=True)
class Server:
    """A Streamlit server of our own.

    Args:
        url: with a slash at its end.
        script: that it serves.
        log: what it printed.
        process: the server.
    """

    url: str
    script: Path
    log: Path
    process: subprocess.Popen[bytes]


@contextmanager
def serve(folder: Path, script: Path = ROOT / "app.py", **environment: str) -> Iterator[Server]:
    """Start a server on a free port, with its cache and its log in a folder of its own."""
    port = _free_port()
    options = {"address": "127.0.0.1", "port": str(port), "headless": "true", "fileWatcherType": "none"}
    flags = [part for name, value in options.items() for part in (f"--server.{name}", value)]
    known = {"PRUNING_CACHE_DIR": str(folder), "OMP_NUM_THREADS": "2", **os.environ, **environment}
    known["PRUNING_CACHE_DIR"] = environment.get("PRUNING_CACHE_DIR", str(folder))
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", str(script), *flags],
            cwd=ROOT,
            env=known,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        server = Server(f"http://127.0.0.1:{port}/", script, log, process)
        _wait_until_healthy(server)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


_ports = count(16 * os.getpid())  # no other process of a test run tries the same


def _free_port() -> int:
    """A free port below those that the system may give to a connection before the server takes it."""
    while True:
        port = 20_000 + next(_ports) % 12_000
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):  # nobody answers
                return port


def _wait_until_healthy(server: Server, seconds: float = PATIENCE_S) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.process.poll() is None:
        try:
            with urllib.request.urlopen(f"{server.url}_stcore/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"The server did not start:\n{server.log.read_text(errors='replace')}")


@dataclass
class App:
    """The app in one browser tab, and everything that it should not have done.

    Args:
        page: Playwright's tab.
        server: whose app it is.
        complaints: console errors and requests to outside hosts, as they happened.
    """

    page: Page
    server: Server
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(1000 * PATIENCE_S)
        self.page.on("console", self._heard)
        self.page.on("request", self._asked)
        self.page.on("pageerror", lambda error: self.complaints.append(f"page error: {error}"))

    def open(self, path: str = "") -> Page:
        """Go to a path such as "prune?model=digits-mlp" and wait until it is drawn."""
        self.page.goto(self.server.url + path)
        return self.ready()

    def switch(self, title: str) -> Page:
        """Turn to a page by its name in the navigation."""
        self.page.get_by_test_id("stTopNavLink").filter(has_text=title).click()
        self.page.get_by_role("heading", level=1, name=title, exact=True).wait_for()
        return self.ready()

    def choose_model(self, label: str) -> Page:
        """Choose a built-in network by the beginning of its label, such as "Digits MLP"."""
        self.page.locator(".st-key-model-choice input").click()
        self.page.get_by_role("option", name=re.compile(f"^{re.escape(label)}")).click()
        self.page.wait_for_function(
            "label => document.querySelector('.st-key-model-choice input').value.startsWith(label)", arg=label
        )
        return self.ready()

    @property
    def model(self) -> str:
        """The label of the chosen model, with its parameter count."""
        return self.page.locator(".st-key-model-choice input").input_value()

    def ready(self, seconds: float = PATIENCE_S) -> Page:
        """Wait until the script has run and the page shows its result."""
        self.page.get_by_role("heading", level=1).wait_for(timeout=seconds * 1000)
        self.page.wait_for_function(_SETTLED, timeout=seconds * 1000)
        return self.page

    @property
    def exceptions(self) -> list[str]:
        """Errors that Streamlit shows in the page."""
        return self.page.get_by_test_id("stException").all_inner_texts()

    def _heard(self, message: ConsoleMessage) -> None:
        url = message.location.get("url", "")
        if message.type == "error" and not _PROBE.search(url) and not self._fonts_are_elsewhere(url):
            self.complaints.append(f"console: {message.text} ({url})")

    def _fonts_are_elsewhere(self, url: str) -> bool:
        """Streamlit serves static files beside its script, and ours lie beside app.py."""
        return "/static/fonts/" in url and self.server.script.parent != ROOT

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.server.url, "data:", "blob:", "ws://127.0.0.1:")):
            self.complaints.append(f"outside request: {request.url}")


_SETTLED = """() => {
  const app = document.querySelector("[data-testid='stApp']");
  return app?.dataset.testScriptState === "notRunning"
    && app?.dataset.testConnectionState !== "CONNECTING"
    && !document.querySelector("[data-stale='true'], [data-testid='stSkeleton']");
}"""


@contextmanager
def tab(window: BrowserContext, server: Server) -> Iterator[App]:
    """A tab of a window, in which nothing may go wrong."""
    if not window.pages:  # it stays open, and with it the process that has compiled Streamlit's scripts
        window.new_page().goto(f"{server.url}_stcore/health")
    app = App(window.new_page(), server)
    yield app
    exceptions = app.exceptions
    app.page.close()
    wrong = [*exceptions, *app.complaints]
    assert not wrong, "\n".join(wrong)


def new_app(browser: Browser, server: Server, **options: Any) -> App:
    """A fresh tab of 1280 x 800; close its `page.context` in the end."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, **options)
    return App(context.new_page(), server)
