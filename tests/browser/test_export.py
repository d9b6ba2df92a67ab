"""The Export page in a real browser: files at once, another page and back, download."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from harness import App
from playwright.sync_api import expect

CHECKED = "predictions the same"


def test_files_come_at_once_and_the_rest_when_it_is_measured(app: App, tmp_path: Path) -> None:
    page = app.open("export?model=digits-resnet")
    network = page.get_by_role("button", name=re.compile(r"^Network"))
    expect(network).to_be_enabled()
    with page.expect_download() as waiting:
        network.click()
    assert re.fullmatch(r"digits-resnet-dense-[0-9a-f]{8}\.safetensors", waiting.value.suggested_filename)
    page.get_by_test_id("stAlertContentSuccess").get_by_text(CHECKED).wait_for()
    app.switch("Weights")
    app.switch("Export")
    assert page.get_by_text(CHECKED).count(), "kept: there as soon as the page is"
    with page.expect_download() as waiting:
        page.get_by_role("button", name="All as .zip").click()
    archive = tmp_path / "export.zip"
    waiting.value.save_as(archive)
    with zipfile.ZipFile(archive) as files:
        (card,) = (name for name in files.namelist() if name.endswith("-card.md"))
        assert b"not measured" not in files.read(card)
