"""A chart can be taken home: real PNG, SVG and CSV files come down."""

from __future__ import annotations

import csv
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
from harness import App, Server, serve, tab
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def charts_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    script = Path(__file__).parent / "apps" / "charts_app.py"
    with serve(tmp_path_factory.mktemp("charts"), script) as running:
        yield running


@pytest.fixture(params=["light", "dark"])
def charts(request: pytest.FixtureRequest, window: BrowserContext, charts_server: Server) -> Iterator[App]:
    with tab(window, charts_server) as app:
        app.page.emulate_media(color_scheme=request.param)
        app.open()
        app.page.locator(".st-key-chart-bars .main-svg").first.wait_for()
        yield app


def download(app: App, chart: str, button: str, folder: Path) -> Path:
    with app.page.expect_download() as started:
        app.page.locator(f".st-key-tools-{chart}").get_by_text(button, exact=True).first.click()
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    return path


def test_png_has_twice_the_pixels(charts: App, tmp_path: Path) -> None:
    file = download(charts, "bars", "PNG", tmp_path)
    assert file.name == "digits-cnn-parameters.png"
    data = file.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    shown = charts.page.locator(".st-key-chart-bars .main-svg").first.bounding_box()
    assert shown is not None
    assert abs(width - 2 * shown["width"]) <= 4
    assert abs(height - 2 * shown["height"]) <= 4


def test_svg_holds_the_drawing_in_the_themes_colours(charts: App, tmp_path: Path) -> None:
    file = download(charts, "bars", "SVG", tmp_path)
    assert file.name == "digits-cnn-parameters.svg"
    tree = ElementTree.parse(file)
    assert tree.getroot().tag == f"{SVG}svg"
    texts = ["".join(text.itertext()) for text in tree.iter(f"{SVG}text")]
    assert any("per layer" in text for text in texts)
    assert any("conv,2" in text for text in texts)
    dark = "rgb(18, 24, 21)" in file.read_text(encoding="utf-8")
    assert dark == (charts.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches"))


def test_csv_holds_the_numbers(charts: App, tmp_path: Path) -> None:
    file = download(charts, "bars", "CSV", tmp_path)
    assert file.name == "digits-cnn-parameters.csv"
    with file.open(newline="", encoding="utf-8") as text:
        rows = list(csv.reader(text))
    assert rows == [["layer", "parameters"], ["conv1", "10"], ["conv,2", "2000"], ['fc"3"', "30"]]


def test_each_chart_saves_itself(charts: App, tmp_path: Path) -> None:
    file = download(charts, "heat", "SVG", tmp_path)
    assert file.name == "heat.svg"
    assert "No data here" in file.read_text(encoding="utf-8")
    assert charts.page.locator(".st-key-tools-heat").get_by_text("CSV", exact=True).count() == 0


def test_buttons_have_names(charts: App) -> None:
    tools = charts.page.locator(".st-key-tools-bars")
    expect(tools.get_by_role("button", name="Save Parameters per layer as PNG")).to_be_visible()


COUNT_DRAWINGS = """
window.drawings = {};
Object.defineProperty(HTMLElement.prototype, "emit", { set(emit) {
  // Plotly gives every chart's element such a function right before its first drawing.
  Object.defineProperty(this, "emit", { value: emit, writable: true, configurable: true });
  const name = this.closest("[class*='st-key-chart-']").className.match(/chart-([a-z]+)/)[1];
  this.on("plotly_beforeplot", () => { drawings[name] = (drawings[name] ?? 0) + 1; });
} });
"""


def test_a_chart_is_drawn_once(window: BrowserContext, charts_server: Server) -> None:
    """Streamlit hands each chart to Plotly twice, and Plotly draws again where labels need more room.

    On a busy machine the page's width may still change after the first drawing: one of three tries must do.
    """
    seen = []
    with tab(window, charts_server) as app:
        app.page.add_init_script(COUNT_DRAWINGS)
        while len(seen) < 3 and {"bars": 1, "heat": 1} not in seen:
            app.open()
            app.page.wait_for_function("drawings.bars && drawings.heat")
            app.page.wait_for_timeout(500)
            seen.append(app.page.evaluate("drawings"))
    assert {"bars": 1, "heat": 1} in seen, seen
