"""The first page in a real browser: figures fill themselves in, the graph is drawn, the area can be time."""

from __future__ import annotations

from harness import App


def test_a_new_user_sees_what_the_network_is(app: App) -> None:
    page = app.open()
    page.get_by_test_id("stMetricValue").filter(has_text=" ms").wait_for()  # measured in the background
    figures = page.get_by_test_id("stMetricValue").all_inner_texts()
    assert any(text.endswith("%") for text in figures)
    graph = page.locator(".st-key-model-graph svg:has(g.graph)")
    graph.wait_for()
    names = graph.locator(".node text").all_text_contents()
    assert {"input", "conv", "stages.stage1.0.conv2", "head", "output"} <= set(names)
    colours = {
        name: graph.locator(".node", has_text=name).first.locator("path").first.get_attribute("stroke")
        for name in ("stages.stage1.0.conv2", "stages.stage1.1.conv2", "stages.stage1.0.conv1")
    }
    assert colours["stages.stage1.0.conv2"] == colours["stages.stage1.1.conv2"]
    assert colours["stages.stage1.0.conv2"] != colours["stages.stage1.0.conv1"]
    page.locator(".st-key-torchinfo summary").click()
    page.get_by_text("Total params").first.wait_for()


def test_the_area_can_be_time_and_survives_a_refresh(app: App) -> None:
    page = app.open("model?model=digits-mlp")
    page.get_by_role("radio", name="Time").click()
    page.get_by_text("Time by module").first.wait_for()
    page.reload()
    app.ready()
    page.get_by_text("Time by module").first.wait_for()
    page.locator(".st-key-model-next").get_by_text("prune it").click()
    page.get_by_role("heading", level=1, name="Prune", exact=True).wait_for()
    assert "Digits MLP" in app.model
