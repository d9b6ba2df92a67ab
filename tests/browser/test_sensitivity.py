"""The Sensitivity page in a real browser: one curve stands out, the table becomes the recipe."""

from __future__ import annotations

import re

from harness import App

OPACITY = "lines => [...document.querySelectorAll(lines)].map(it => +it.style.opacity).join()"
LINES = ".st-key-chart-curves .scatterlayer > .trace"


def measured(app: App) -> None:
    """Wait until the scan is done."""
    app.page.get_by_text(re.compile(r"^Measured: \d+ points")).wait_for(timeout=60_000)
    app.ready()
    app.page.locator(LINES).first.wait_for()


def test_hover_highlights_one_curve_and_the_table_becomes_the_recipe(app: App) -> None:
    page = app.open("sensitivity?model=digits-mlp")
    measured(app)
    page.locator(".st-key-chart-curves .legend .traces").first.hover()
    page.wait_for_function(
        f"{OPACITY} === '1,0.12,0.12'",
        arg=LINES,
    )
    page.get_by_role("heading", level=1).hover()
    page.wait_for_function(
        f"{OPACITY} === '1,1,1'",
        arg=LINES,
    )
    slider = page.get_by_role("slider")
    slider.focus()
    slider.press("End")
    page.get_by_text("10 points lost").wait_for()
    page.reload()
    app.ready()
    page.get_by_text("10 points lost").wait_for()
    page.get_by_role("button", name="Make this table the recipe").click()
    page.get_by_role("heading", level=1, name="Prune", exact=True).wait_for()
    app.ready()
    page.wait_for_function("new URL(location).searchParams.has('r')")


def test_single_weights_are_looked_at_again_after_a_refresh(app: App) -> None:
    page = app.open("sensitivity?model=digits-mlp")
    measured(app)
    page.get_by_role("combobox", name="What is pruned").click()
    page.get_by_role("option", name="Single weights").click()
    page.get_by_text("Zeros in place save no time").wait_for()
    page.reload()
    app.ready()
    page.get_by_text("Zeros in place save no time").wait_for()
