"""The Compress page in a real browser: bits are dragged and typed, figures follow, a refresh keeps them."""

from __future__ import annotations

from harness import App
from playwright.sync_api import expect


def test_bits_are_dragged_typed_taken_back_and_kept(app: App) -> None:
    page = app.open("compress?model=digits-mlp")
    track = page.get_by_role("slider", name="Bits of the weights of hidden.fc1", exact=True)
    track.wait_for()
    app.ready()
    expect(track).to_have_attribute(
        "aria-valuetext", "4 bits, at most 16 different values besides zero for 19,200 weights"
    )
    metric = page.locator("[data-testid='stMetric']", has_text="Bits a weight")
    expect(metric).to_contain_text("4.00")
    box = track.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.99 * box["width"], box["y"] + box["height"] / 2, steps=6)
    page.mouse.up()
    expect(track).to_have_attribute(
        "aria-valuetext", "1 bit, at most 2 different values besides zero for 19,200 weights"
    )
    app.ready()
    expect(metric).not_to_contain_text("4.00")
    expect(page.locator(".st-key-chart-clusters")).to_contain_text("Weights of hidden.fc1: 2 values at 1 bit")
    track.press("ArrowLeft")
    expect(track).to_have_attribute("aria-valuenow", "87.5")
    track.press("Enter")
    page.get_by_label("Bits of hidden.fc1, 1 to 8, or 32 to leave it").fill("32")
    page.keyboard.press("Enter")
    expect(track).to_have_attribute("aria-valuenow", "0")
    app.ready()
    expect(metric).to_contain_text("2 of 3 layers")
    page.wait_for_function("new URL(location).searchParams.has('k')")
    page.reload()
    app.ready()
    expect(page.get_by_role("slider", name="Bits of the weights of hidden.fc1")).to_have_attribute(
        "aria-valuenow", "0"
    )
    page.get_by_role("combobox", name="Layer", exact=True).wait_for()
    page.locator(".st-key-chart-bytes .barlayer").first.wait_for()


def test_a_pipeline_is_started_and_its_centroids_are_played(app: App) -> None:
    page = app.open("compress?model=digits-mlp")
    page.get_by_text("Fine-tune shared values").wait_for()
    page.get_by_label("Epochs", exact=True).last.fill("2")
    page.keyboard.press("Enter")
    page.get_by_text("train them 2 epochs").wait_for()
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("heading", name="Centroids in training").wait_for(timeout=120_000)
    chart = page.locator(".st-key-chart-movement")
    chart.locator(".updatemenu-button", has_text="Play").wait_for()
    app.ready()
    places = """() => [...document.querySelectorAll('.st-key-chart-movement .points path')]
        .map(mark => mark.getAttribute('transform').match(/[0-9.]+/g).map(Math.round)).join()"""
    last = page.evaluate(places)
    chart.locator(".updatemenu-button", has_text="Play").click()
    page.wait_for_function(f"last => ({places})() !== last", arg=last)
    page.wait_for_function(f"last => ({places})() === last", arg=last)
    expect(chart.get_by_text("epoch 2")).to_be_visible()
    expect(page.get_by_role("button", name="All as .zip")).to_be_visible()
