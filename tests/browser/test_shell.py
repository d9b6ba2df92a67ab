"""The frame in a real browser: deep links, refresh, themes, fonts, uploads, no outside request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qs, urlsplit

import pytest
import torch
from harness import App, new_app, serve
from playwright.sync_api import expect
from safetensors.torch import save_file

import pruning
from ui.shell import PAGES

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def query(app: App) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(app.page.url).query).items()}


def test_a_deep_link_right_after_the_start_shows_the_whole_app(browser: Browser, tmp_path: Path) -> None:
    with serve(tmp_path) as fresh:
        app = new_app(browser, fresh)
        app.open("prune?model=digits-mlp")
        assert app.page.get_by_role("heading", level=1).inner_text() == "Prune"
        assert "Digits MLP" in app.model
        assert app.page.get_by_test_id("stTopNavLink").count() == len(PAGES)
        assert not app.exceptions
        app.page.context.close()


@pytest.mark.parametrize("name", PAGES)
def test_every_page_opens_by_its_name(app: App, name: str) -> None:
    app.open(name)
    assert app.page.get_by_role("heading", level=1).inner_text() == PAGES[name]
    assert app.page.title() == f"{PAGES[name]} · Pruning Explorer"


def test_the_model_survives_navigation_and_refresh(app: App) -> None:
    app.open()
    app.choose_model("Digits MLP")
    for title in ("Weights", "Prune"):
        app.switch(title)
        assert "Digits MLP" in app.model
        assert query(app)["model"] == "digits-mlp"
    app.page.reload()
    app.ready()
    assert app.page.get_by_role("heading", level=1).inner_text() == "Prune"
    assert "Digits MLP" in app.model


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes_are_ours(app: App, scheme: Literal["light", "dark"]) -> None:
    app.page.emulate_media(color_scheme=scheme)
    app.open()
    background = app.page.get_by_test_id("stApp").evaluate("it => getComputedStyle(it).backgroundColor")
    assert background == {"light": "rgb(251, 250, 246)", "dark": "rgb(18, 24, 21)"}[scheme]
    assert f"logo-{scheme}" in logo_of(app)


def logo_of(app: App) -> str:
    """Which of the two logos is shown: their ink differs."""
    source = app.page.get_by_test_id("stHeaderLogo").get_attribute("src") or ""
    text = app.page.evaluate("async url => await (await fetch(url)).text()", source)
    return "logo-dark" if "#E8EEE9" in text else "logo-light"


def test_bundled_fonts_are_used(app: App) -> None:
    app.open()
    assert app.page.evaluate("document.fonts.check('16px Inter')")
    loaded = app.page.evaluate(
        "[...document.fonts].filter(font => font.status === 'loaded').map(font => font.family)"
    )
    assert any("Inter" in family for family in loaded)
    used = app.page.get_by_role("heading", level=1).evaluate("it => getComputedStyle(it).fontFamily")
    assert used.startswith(("Inter", '"Inter'))


def test_own_weights_survive_a_refresh(app: App, tmp_path: Path) -> None:
    torch.manual_seed(1)
    file = tmp_path / "own.safetensors"
    save_file(pruning.build_model("digits-mlp").state_dict(), file)
    app.open("weights?model=digits-mlp")
    app.page.get_by_role("button", name="Built-in weights").click()
    app.page.locator(".st-key-weights-file input[type=file]").set_input_files(file)
    app.page.get_by_text("Own weights").first.wait_for()
    app.ready()
    digest = query(app)["w"]
    app.page.reload()
    app.ready()
    assert query(app)["w"] == digest
    expect(app.page.get_by_text(f"Own weights {digest[:6]}")).to_be_visible()


def test_a_bad_file_is_told_in_the_popover(app: App, tmp_path: Path) -> None:
    file = tmp_path / "bad.pt"
    file.write_bytes(b"\x80\x04not a state dict")
    app.open("model?model=digits-mlp")
    app.page.get_by_role("button", name="Built-in weights").click()
    app.page.locator(".st-key-weights-file input[type=file]").set_input_files(file)
    app.page.get_by_test_id("stAlert").wait_for()
    app.switch("Export")
    assert "w" not in query(app)
