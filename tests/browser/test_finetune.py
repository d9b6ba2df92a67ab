"""The Fine-tune page in a real browser: a run outlives its page, tab and process, and is cancelled."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest
from harness import App, Server, tab
from playwright.sync_api import BrowserContext, Page, expect

from pruning.recover import Fit, Pruning, Recovery
from ui import address

LONG = Recovery(pruning=Pruning(prune=2, recover=3000), fit=Fit(batch_size=32))
DONE = re.compile(r"^Training, ([0-9,]+) of 3002 epochs done")


def workers(server: Server) -> list[int]:
    """Processes of runs that this server has started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            words = (process / "cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):  # it has just ended
            continue
        if parent == server.process.pid and b"pruning.runs.worker" in words:
            found.append(int(process.name))
    return found


def ended(server: Server) -> None:
    """Wait until no process of a run is left."""
    end = time.monotonic() + 30
    while workers(server):
        assert time.monotonic() < end
        time.sleep(0.1)


def epochs(page: Page) -> int:
    """How many are done; waits until that is told."""
    text = page.get_by_text(DONE).first.inner_text()
    match = DONE.match(text)
    assert match
    return int(match[1].replace(",", ""))


def grows(page: Page, more_than: int) -> int:
    """Wait until more epochs are done than that."""
    end = time.monotonic() + 60
    while (done := epochs(page)) <= more_than:
        assert time.monotonic() < end
        page.wait_for_timeout(200)
    return done


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for the worker in /proc")
def test_a_run_outlives_page_tab_and_process(app: App, window: BrowserContext, server: Server) -> None:
    page = app.open(f"finetune?model=digits-mlp&f={address.pack_recovery(LONG)}")
    assert not workers(server), "nothing trains by itself"
    page.get_by_role("button", name="Start", exact=True).click()
    done = grows(page, 0)
    page.locator(".st-key-live-course .js-plotly-plot").first.wait_for()
    app.switch("Prune")
    app.switch("Fine-tune")
    done = grows(page, done)
    page.reload()
    done = grows(page, done)
    link = page.url.removeprefix(server.url)
    assert "run=" in link
    page.goto("about:blank")
    with tab(window, server) as other:
        page = other.open(link)
        done = grows(page, done)
        (worker,) = workers(server)
        os.kill(worker, signal.SIGKILL)
        page.get_by_text("The worker's process ended unexpectedly").wait_for()
        assert not workers(server)
        page.get_by_role("button", name="Resume").click()
        grows(page, done - 1)  # goes on where it was
        assert workers(server) != [worker]
        page.get_by_role("button", name="Pause").click()
        page.get_by_text(re.compile("^Paused, ")).wait_for()
        other.ready()  # else the popover could open where it is about to be drawn anew
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Yes, cancel it").click()
        page.get_by_text("This run was cancelled").wait_for()
        expect(page.get_by_role("button", name="New run")).to_be_enabled()
    ended(server)
