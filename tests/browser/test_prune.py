"""The Prune page in a real browser: the figures follow the hand, and nothing is lost or jumps."""

from __future__ import annotations

import re

from harness import App
from playwright.sync_api import Locator, Page, expect


def open_page(app: App, more: str = "") -> Page:
    page = app.open(f"prune?model=digits-mlp{more}")
    measured(page)
    return page


def measured(page: Page) -> str:
    """The recipe whose accuracy is measured on all images, once it is."""
    page.locator(".px-accuracy:not(.px-refining):not(.px-stale)").wait_for()
    return page.locator(".px-accuracy").get_attribute("data-for") or ""


def card(page: Page, name: str) -> Locator:
    return page.locator(".px-card", has=page.get_by_text(name, exact=True))


def drag(page: Page, row: int, ratio: float, release: bool = True) -> None:
    lane = page.locator(".rows .row").nth(row).locator(".lane")
    box = lane.bounding_box()
    assert box
    height = box["y"] + 0.7 * box["height"]
    page.mouse.move(box["x"] + 1, height)
    page.mouse.down()
    for step in range(1, 5):
        page.mouse.move(box["x"] + box["width"] * ratio * step / 4, height)
        page.wait_for_timeout(40)
    if release:
        page.mouse.up()


def test_latency_is_measured_as_chosen_at_the_foot_of_its_card(app: App) -> None:
    page = open_page(app)
    latency = card(page, "Latency")
    expect(latency.locator("em")).to_have_text(re.compile(r"\d turn"))
    page.get_by_role("button", name="batch 1, 1 thread, eager").click()
    page.locator(".st-key-latency-way input").click()
    page.get_by_role("option", name="frozen", exact=True).click()
    expect(page.get_by_role("button", name="batch 1, 1 thread, frozen")).to_be_visible()
    expect(latency.locator(".px-tip").first).to_have_attribute("data-tip", re.compile("turns, frozen"))


def test_figures_follow_a_drag_before_it_ends(app: App) -> None:
    page = open_page(app)
    whole = measured(page)
    expect(card(page, "Parameters").locator(".px-value")).to_have_text("50,610")
    expect(card(page, "Latency").locator("em")).to_have_text(re.compile(r"^(measured|noisy), \d+ turn"))
    height = page.locator(".px-accuracy").bounding_box()
    drag(page, 0, 0.5, release=False)
    page.wait_for_function("whole => document.querySelector('.px-accuracy').dataset.for !== whole", arg=whole)
    measured(page)
    expect(card(page, "Parameters").locator(".px-value")).to_have_text("25,860")
    expect(card(page, "Accuracy").locator("em")).to_contain_text(re.compile("on 360 images · .* kept"))
    fading = page.locator(".st-key-prune-latency")
    page.wait_for_function("e => getComputedStyle(e).opacity < 0.5", arg=fading.element_handle())
    page.mouse.up()
    expect(card(page, "Latency").locator(".px-value")).to_contain_text("×")
    page.wait_for_function("e => getComputedStyle(e).opacity == 1", arg=fading.element_handle())
    after = page.locator(".px-accuracy").bounding_box()
    assert after == height  # nothing jumped

    page.get_by_role("button", name="Undo", exact=True).click()
    expect(card(page, "Parameters").locator(".px-value")).to_have_text("50,610")
    page.get_by_role("button", name="Redo", exact=True).click()
    expect(card(page, "Parameters").locator(".px-value")).to_have_text("25,860")
    page.reload()
    app.ready()
    expect(card(page, "Parameters").locator(".px-value")).to_have_text("25,860")


def test_a_quick_scan_brings_curves_and_a_prediction(app: App) -> None:
    page = open_page(app, "&c=l1")  # by which nobody else scans
    expect(page.locator(".px-second")).to_have_count(0)
    page.get_by_role("button", name="Measure curves").click()
    expect(page.locator(".px-second")).to_have_text(re.compile(r"\d %"))
    expect(page.locator(".board.curves")).to_have_count(1)
    expect(page.get_by_role("button", name="Measure curves")).to_have_count(0)


def test_what_changed_is_shown_and_a_preset_is_applied(app: App) -> None:
    page = open_page(app)
    page.get_by_role("button", name="Presets").click()
    page.get_by_label("Remove, in %").fill("97")
    page.get_by_label("Remove, in %").press("Enter")
    page.get_by_role("button", name="Apply to 2 rows").first.click()
    expect(card(page, "Parameters").locator(".px-note")).to_contain_text("−97")
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Changed answers").click()
    expect(page.locator(".px-flips figure").first).to_be_visible()
    expect(page.locator(".st-key-chart-prune-confusion .js-plotly-plot")).to_be_visible()
    page.get_by_role("tab", name="Asked and got").click()
    expect(page.get_by_test_id("stTabs").get_by_text("400 units in 2 rows")).to_be_visible()


def test_the_figures_stay_in_sight(app: App) -> None:
    page = app.open("prune?model=digits-mobilenet")
    measured(page)
    page.get_by_test_id("stMain").evaluate("e => e.scrollTo(0, 700)")
    page.wait_for_timeout(200)
    box = page.locator(".px-accuracy").bounding_box()
    assert box
    assert 0 <= box["y"] < 200


def test_a_handle_of_n_of_m_stops_at_what_is_possible_and_says_it(app: App) -> None:
    page = app.open("prune?model=digits-mlp&g=n:4")
    measured(page)
    row, badge = page.locator(".rows .row").first, page.locator(".rows .row .badge").first
    kept, track = row.locator(".count .value"), row.locator(".track")
    expect(badge).to_have_text("4:4")
    drag(page, 0, 0.44)
    expect(badge).to_have_text("2:4")
    expect(kept).to_have_text("9,600")  # half of 64 x 300, at once
    expect(track).to_have_attribute("aria-valuenow", "50")
    expect(card(page, "Sparsity").locator(".px-value")).to_have_text("19.0 %")
    track.focus()
    page.keyboard.press("ArrowRight")  # one percent is not possible: the next one is
    expect(badge).to_have_text("1:4")
    page.keyboard.press("k")
    page.keyboard.type("18000")
    page.keyboard.press("Enter")
    expect(badge).to_have_text("4:4")
    expect(kept).to_have_text("19,200")
