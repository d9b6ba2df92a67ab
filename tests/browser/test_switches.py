"""Switches on the Prune page in a real browser: one head off, one layer off, and back."""

from __future__ import annotations

from harness import App
from playwright.sync_api import Page, expect

ACCURACY = ".px-accuracy:not(.px-refining):not(.px-stale)"


def measured(page: Page, other_than: str = "") -> tuple[str, str]:
    """The recipe whose accuracy is measured on all images, once it is another one; and that accuracy."""
    page.wait_for_function(
        "([card, old]) => (document.querySelector(card)?.dataset.for ?? old) !== old",
        arg=[ACCURACY, other_than],
    )
    card = page.locator(ACCURACY)
    return card.get_attribute("data-for") or "", card.locator(".px-value").inner_text()


def test_a_head_is_switched_off_and_on(app: App) -> None:
    page = app.open("prune?model=digits-vit")
    whole, dense = measured(page)
    heads = page.locator(".rows .row").first.get_by_role("switch")
    expect(heads).to_have_count(4)
    heads.nth(2).click()
    one, _ = measured(page, whole)
    expect(heads.nth(2)).to_have_attribute("aria-checked", "false")
    expect(page.locator(".rows .row").first).to_contain_text("chosen by hand")
    heads.nth(0).click()
    two, _ = measured(page, one)
    heads.nth(1).click()
    three, accuracy = measured(page, two)
    assert accuracy != dense
    expect(heads.nth(3)).to_be_disabled()  # one must stay
    page.get_by_role("button", name="Undo", exact=True).click()
    assert measured(page, three)[0] == two
    expect(heads.nth(1)).to_have_attribute("aria-checked", "true")
    page.get_by_role("button", name="Redo", exact=True).click()
    assert measured(page, two) == (three, accuracy)
    page.reload()
    app.ready()
    assert measured(page) == (three, accuracy)
    expect(heads.nth(3)).to_be_disabled()


def test_a_layer_is_dropped_and_kept_again(app: App) -> None:
    page = app.open("prune?model=digits-resnet&g=layer")
    whole, dense = measured(page)
    first = page.get_by_role("switch", name="Keep stages.stage1.0")
    first.click()
    dropped, accuracy = measured(page, whole)
    expect(first).to_have_attribute("aria-checked", "false")
    assert accuracy != dense
    page.get_by_role("button", name="Measure curves").click()
    expect(page.locator(".rows .row").first.locator(".ratio .under")).to_have_text(accuracy)  # alone, as now
    page.get_by_role("button", name="Undo", exact=True).click()
    assert measured(page, dropped) == (whole, dense)
    expect(first).to_have_attribute("aria-checked", "true")
