"""Work in the background in a real browser: watched, stopped, taken up again, waited for, never lost.

Scans go as far as `let` says and wait there: on no machine are they over before a test has looked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from harness import App, Server, serve, tab
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

HELD = Path(__file__).parent / "apps" / "held_app.py"
Let = Callable[[int], None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("held")


@pytest.fixture(scope="module")
def holding(folder: Path) -> Iterator[Server]:
    with serve(folder, HELD) as running:
        yield running


@pytest.fixture
def let(folder: Path) -> Let:
    """Let scans come to know so many points; none at first."""

    def write(points: int) -> None:
        (folder / "new").write_text(str(points))
        (folder / "new").replace(folder / "held")  # never read half-written

    write(0)
    return write


@pytest.fixture
def app(window: BrowserContext, holding: Server, let: Let) -> Iterator[App]:
    with tab(window, holding) as opened:
        yield opened


def test_a_scan_grows_stops_goes_on_and_survives_page_switch_and_refresh(app: App, let: Let) -> None:
    page = app.open("sensitivity?model=digits-resnet")
    cancel = page.get_by_role("button", name="Cancel")
    page.get_by_text("0 of 81 points measured").wait_for()
    for points in (10, 40):
        let(points)
        page.get_by_text(f"{points} of 81 points measured").wait_for()
        page.locator(".st-key-chart-curves .scatterlayer > .trace").first.wait_for()
    cancel.click()
    page.get_by_text(re.compile(r"Stopped after 4\d of 81 points")).wait_for()
    page.get_by_role("button", name="Go on").click()
    cancel.wait_for()
    app.switch("Weights")
    app.switch("Sensitivity")
    cancel.wait_for()
    page.reload()
    app.ready()
    cancel.wait_for()  # ours again
    let(81)
    page.get_by_text(re.compile("^Measured: 81 points")).wait_for()
    expect(cancel).to_have_count(0)


def test_a_measurement_waits_stops_and_survives_page_switch_and_refresh(app: App) -> None:
    page = app.open("sensitivity?model=digits-vit")
    cancel = page.get_by_role("button", name="Cancel")
    waiting = page.get_by_text(re.compile("^Waiting for 1 other measurement,"))
    cancel.wait_for()  # the scan keeps the only worker busy
    app.switch("Export")
    waiting.wait_for()
    expect(page.get_by_role("button", name="All as .zip")).to_be_disabled()
    expect(page.get_by_role("button", name=re.compile("^Network"))).to_be_enabled()
    cancel.click()
    page.get_by_text("The measurement was stopped.").wait_for()
    page.get_by_role("button", name="Measure").click()
    waiting.wait_for()
    page.reload()
    app.ready()
    waiting.wait_for()
    cancel.wait_for()  # ours again
    app.switch("Sensitivity")
    cancel.click()
    app.switch("Export")
    page.get_by_test_id("stAlertContentSuccess").get_by_text("predictions the same").wait_for()
