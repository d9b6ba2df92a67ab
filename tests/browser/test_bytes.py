"""No page sends more than two megabytes to the browser, whatever the network.

Counted are the frames of Streamlit's connection and every file that is fetched from the server, but for the
scripts, styles and fonts that are the same for every page and are kept by the browser.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from harness import App, new_app, serve
from playwright.sync_api import expect

from ui.shell import PAGES

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MOST = 2_000_000
HUGE = Path(__file__).parent / "apps" / "huge_app.py"
STATIC = ("/static/", "/app/static/")


class Counter:
    """What one tab has received, by kind."""

    def __init__(self, app: App) -> None:
        self.frames = 0
        self.files: dict[str, int] = {}
        self._urls: dict[str, str] = {}
        network = app.page.context.new_cdp_session(app.page)
        network.on("Network.requestWillBeSent", self._asked)
        network.on("Network.dataReceived", self._received)
        network.send("Network.enable")
        app.page.on("websocket", lambda socket: socket.on("framereceived", self._framed))

    @property
    def total(self) -> int:
        return self.frames + sum(self.files.values())

    def _framed(self, payload: str | bytes) -> None:
        self.frames += len(payload)

    def _asked(self, event: dict[str, Any]) -> None:
        self._urls[event["requestId"]] = event["request"]["url"]

    def _received(self, event: dict[str, Any]) -> None:
        url = self._urls.get(event["requestId"], "")
        if url.startswith("http") and not any(part in url for part in STATIC):
            self.files[url] = self.files.get(url, 0) + event["dataLength"]


def test_the_files_of_an_export_are_sent_when_they_are_asked_for(app: App) -> None:
    counter = Counter(app)
    page = app.open("export?model=digits-mlp")
    page.get_by_test_id("stAlertContentSuccess").get_by_text("predictions the same").wait_for()
    page.wait_for_timeout(300)
    assert not [url for url in counter.files if url.endswith((".bin", ".zip"))]
    with page.expect_download() as waiting:
        page.get_by_role("button", name="All as .zip").click()
    assert Path(waiting.value.path()).stat().st_size > 200_000


@pytest.mark.parametrize(
    ("model", "pages"),
    [("cifar10-resnet20", ("weights", "compress")), ("digits-vit", tuple(PAGES))],
)
def test_no_page_sends_more_than_two_megabytes(app: App, model: str, pages: tuple[str, ...]) -> None:
    counter = Counter(app)
    sent = {}
    for name in pages:
        before = counter.total
        if sent:
            app.switch(PAGES[name])
        else:
            app.open(f"{name}?model={model}")
        app.page.wait_for_timeout(300)  # what is fetched once the page is there
        sent[name] = counter.total - before
        assert not app.page.get_by_test_id("stAlertContentError").count(), name
        assert not app.exceptions
    assert min(sent.values()) > 5_000, sent  # it does count
    assert max(sent.values()) < MOST, sent


def test_a_huge_network_sends_no_more(browser: Browser, tmp_path: Path) -> None:
    with serve(tmp_path, HUGE) as server:
        _look_at_the_huge_network(new_app(browser, server))


def _look_at_the_huge_network(app: App) -> None:
    counter = Counter(app)
    for layer in ("wide", "large"):
        before = counter.total
        page = app.open(f"weights?model=huge&layer={layer}")
        page.get_by_text("80 of 94 layers are shown").wait_for()
        page.wait_for_timeout(300)
        assert 100_000 < counter.total - before < MOST, layer
        expect(page.get_by_text("1,000 of 30,000 outputs are shown")).to_have_count(int(layer == "wide"))
    assert not app.exceptions
    page.context.close()
