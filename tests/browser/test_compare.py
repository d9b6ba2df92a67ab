"""The Compare page as a person uses it: runs come by themselves, are selected, compared, deleted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from harness import App, Server, serve
from playwright.sync_api import Locator, Page, expect

from ui import address
from ui.draft import Draft

KEYS = ("hidden.fc1", "hidden.fc2")  # groups of the MLP


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One of our own: what other tests have measured would stand in its history, too."""
    with serve(tmp_path_factory.mktemp("compare")) as running:
        yield running


def prune(app: App, **ratios: float) -> None:
    """Measure a recipe of the MLP on the Prune page."""
    found = {f"hidden.{name}": ratio for name, ratio in ratios.items()}
    page = app.open("prune?" + urlencode(address.write("digits-mlp", None, Draft(ratios=found), KEYS)))
    page.locator(".px-accuracy:not(.px-refining):not(.px-stale)").wait_for()


def table(page: Page) -> Locator:
    return page.get_by_test_id("stDataFrame").first


def click_cell(page: Page, row: int, x: float) -> None:
    """Click into a row of the table of runs, so many pixels from its left edge; it is drawn on a canvas."""
    box = table(page).bounding_box()
    assert box
    page.mouse.click(box["x"] + x, box["y"] + 35 + 35 * row + 17)


def click_point(page: Page, series: str) -> None:
    """Click the first point of a series of the Pareto chart."""
    chart = page.locator("[class*='st-key-chart-compare-pareto']")
    names = chart.locator(".legend .traces .legendtext").all_text_contents()
    point = chart.locator(".scatterlayer .trace").nth(names.index(series)).locator(".point").first
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def test_what_was_measured_is_selected_compared_used_again_and_deleted(app: App) -> None:
    prune(app, fc1=0.31)
    prune(app, fc1=0.62, fc2=0.2)
    page = app.switch("Compare")
    page.get_by_placeholder("Search names, notes, criteria").fill("L2 norm, channel")
    page.keyboard.press("Enter")
    app.ready()
    click_cell(page, 0, 17)
    page.get_by_role("button", name="Use this recipe").wait_for()
    click_cell(page, 1, 17)
    selected = page.get_by_text("2 runs selected")
    expect(selected).to_be_visible()
    click_cell(page, 0, 52)
    page.get_by_text("★ only").click()
    expect(page.get_by_text("1 selected, 1 more selected that the filters hide")).to_be_visible()
    page.reload()
    app.ready()
    expect(selected).to_be_visible()

    click_point(page, "L2 norm, evaluation")
    expect(selected).to_have_count(0)
    click_point(page, "L2 norm, evaluation")
    expect(selected).to_be_visible()

    page.get_by_role("tab", name="Two runs").click()
    expect(page.get_by_role("heading", name="How the recipes differ")).to_be_visible()
    expect(page.get_by_text("The largest difference")).to_have_text(
        re.compile("31 % against 62 %|62 % against 31 %")
    )
    expect(page.locator("[class*='st-key-chart-compare-confusion']")).to_have_count(3)

    page.get_by_role("button", name="Clear the selection").click()
    expect(selected).to_have_count(0)
    click_cell(page, 0, 17)
    page.get_by_role("button", name="Use this recipe").click()
    page.get_by_role("heading", level=1, name="Prune", exact=True).wait_for()
    expect(page.locator(".rows .row").first).to_contain_text("62")
    app.switch("Compare")
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete 1 run").click()
    expect(page.get_by_role("button", name="Use this recipe")).to_have_count(0)


def test_the_report_opens_by_itself_and_asks_nobody(app: App, tmp_path: Path) -> None:
    prune(app, fc1=0.4)
    page = app.switch("Compare")
    page.get_by_role("tab", name="Report").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Report .html").click()
    file = tmp_path / "report.html"
    waiting.value.save_as(file)
    reader = page.context.new_page()
    asked: list[str] = []
    reader.on("request", lambda request: asked.append(request.url))
    reader.goto(file.as_uri())
    expect(reader.get_by_role("heading", level=1)).to_have_text("Pruning report")
    expect(reader.locator("svg").first).to_be_visible()
    assert asked == [file.as_uri()]
    reader.close()


def test_a_study_is_started_left_and_found_again_by_its_link(app: App) -> None:
    page = app.open("compare?model=digits-mlp")
    if page.get_by_role("tab", name="Compare methods").count():
        page.get_by_role("tab", name="Compare methods").click()
    for chip in ("Taylor, first order", "30", "70", "90"):
        page.get_by_role("button", name=f"Remove {chip}").click()
    page.get_by_label("Seeds", exact=True).fill("2")
    page.keyboard.press("Enter")
    expect(page.get_by_text("3 runs")).to_be_visible()
    page.get_by_role("button", name="Start the study").click()
    page.wait_for_url(re.compile(r"[?&]p=[0-9a-f]{12}"))
    link = page.url
    app.switch("Model")
    page.goto(link)
    app.ready()
    result = page.locator(".st-key-chart-study-methods")
    result.wait_for()
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)
    expect(result.locator(".legend .traces")).to_have_count(2)
