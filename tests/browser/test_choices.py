"""The residual stream in a real browser: chosen, dragged, there after a refresh, exported as a program."""

from __future__ import annotations

from pathlib import Path

import torch
from harness import App
from playwright.sync_api import Page, expect

SAID = "exact, with means and variances over the channels that stay"


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_test_id("stSelectbox").filter(has_text=label).get_by_role("combobox").click()
    page.get_by_role("option", name=option).click()


def test_the_stream_is_pruned_kept_and_taken_home(app: App, tmp_path: Path) -> None:
    page = app.open("prune?model=digits-vit")
    rows = page.locator(".rows .row")
    expect(rows).to_have_count(8)
    choose(page, "Residual stream", "May be pruned")
    expect(rows).to_have_count(9)
    lane = rows.nth(0).locator(".lane").bounding_box()
    assert lane
    page.mouse.move(lane["x"] + 1, lane["y"] + 0.7 * lane["height"])
    page.mouse.down()
    page.mouse.move(lane["x"] + 0.25 * lane["width"], lane["y"] + 0.7 * lane["height"], steps=4)
    page.mouse.up()
    page.get_by_text(SAID).wait_for()
    kept = rows.nth(0).inner_text()
    page.reload()
    app.ready()
    page.get_by_text(SAID).wait_for()
    expect(rows).to_have_count(9)
    expect(rows.nth(0)).to_have_text(kept, use_inner_text=True)

    app.switch("Export")
    page.get_by_text(SAID).wait_for()
    button = page.get_by_role("button", name="Program .pt2")
    expect(button).to_be_enabled()
    with page.expect_download() as waiting:
        button.click()
    file = tmp_path / "network.pt2"
    waiting.value.save_as(file)
    with torch.no_grad():
        answers = torch.export.load(file).module()(torch.zeros(3, 1, 8, 8))
    assert answers.shape == (3, 10)
    assert not app.complaints
