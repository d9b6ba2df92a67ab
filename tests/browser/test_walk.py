"""What a new user does: opens the app, looks around, drags a ratio, takes the network home, loads it."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

from harness import ROOT, App
from playwright.sync_api import expect


def test_from_the_first_page_to_a_network_that_loads_elsewhere(app: App, tmp_path: Path) -> None:
    page = app.open()
    expect(page.get_by_role("heading", level=1)).to_have_text("Model")
    for title in ("Weights", "Sensitivity"):
        app.switch(title)
        assert not app.exceptions

    app.switch("Prune")
    handles = page.get_by_role("slider", name=re.compile("ratio", re.IGNORECASE))
    handles.first.wait_for()
    parameters = page.get_by_test_id("stMain").inner_text()
    box = handles.nth(1).bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.02, box["y"] + box["height"] / 2)
    page.mouse.down()
    for part in (0.2, 0.4, 0.6):
        page.mouse.move(box["x"] + box["width"] * part, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    page.wait_for_function("() => new URLSearchParams(location.search).has('r')")
    app.ready()
    assert page.get_by_test_id("stMain").inner_text() != parameters

    app.switch("Explain")
    assert not app.exceptions

    app.switch("Export")
    page.get_by_test_id("stAlertContentSuccess").get_by_text("predictions the same").wait_for()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="All as .zip").click()
    archive = tmp_path / "export.zip"
    waiting.value.save_as(archive)
    with zipfile.ZipFile(archive) as files:
        names = files.namelist()
        files.extractall(tmp_path / "export")
    (loader,) = (name for name in names if name.endswith("-load.py"))
    done = subprocess.run(
        [sys.executable, str(tmp_path / "export" / loader)],
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (count,) = re.findall(r"parameters: (\d+)", done.stdout)
    assert 0 < int(count) < 392_242  # fewer than the dense network has
