"""The Groups page in a real browser: another group by its row, a ratio that moves, rows that turn dark."""

from __future__ import annotations

import re

from harness import App
from playwright.sync_api import Locator, expect

COUPLED = ".st-key-chart-coupled"
# Whether so many rows or columns are dark in each matrix: three that make, biases and norms, four that read.
DARK = """count => [...document.querySelectorAll('.st-key-chart-coupled .barlayer .trace')].map(bars =>
  [...bars.querySelectorAll('.point path')].filter(it => +getComputedStyle(it).fillOpacity > 0.5).length
).join() === Array(8).fill(count).join()"""


def line(app: App) -> Locator:
    return app.page.get_by_text(re.compile(r"^Removing .* exact\.$"))


def test_a_ratio_darkens_the_same_units_in_every_matrix(app: App) -> None:
    page = app.open("groups")
    expect(page.locator(".st-key-group input")).to_have_value("stages.stage3.0.conv2")
    page.locator(".st-key-chart-stream .main-svg").first.wait_for()
    rows = page.locator(".st-key-group-list .dvn-scroller")
    rows.click(position={"x": 16, "y": 38 + 35 * 5 + 15})  # the sixth row
    expect(page.locator(".st-key-group input")).to_have_value("conv")
    expect(line(app)).to_contain_text("6 of 24 filters")
    assert "group=conv" in page.url
    page.locator(f"{COUPLED} .barlayer .point").first.wait_for()
    app.ready()
    page.wait_for_function(DARK, arg=6)

    ratio = page.get_by_role("slider", name="Pruning ratio to look at")
    ratio.focus()
    ratio.press("End")
    expect(line(app)).to_contain_text("23 of 24 filters")
    page.wait_for_function(DARK, arg=23)

    bar = page.locator(f"{COUPLED} .barlayer .point path").nth(10)
    bar.evaluate("it => it.scrollIntoView({ block: 'center' })")
    box = bar.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=4)
    page.wait_for_function(f"() => document.querySelectorAll('{COUPLED} .point.lit').length === 8")

    page.reload()
    app.ready()
    expect(page.locator(".st-key-group input")).to_have_value("conv")
    page.locator(".st-key-group-graph svg .node").filter(has_text="stages.stage1.1.conv2").first.wait_for()
