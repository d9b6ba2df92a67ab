"""How long until the app is usable: from `streamlit run` to the first page, and from page to page.

    python benchmarks/startup.py [--switches 3]

A server is started twice: the first start warms the disk cache and is printed but does not count. Targets:
the first page within 6 s, a page switch within 0.5 s. "Drawn" is when the script is done and nothing on the
page is stale or a placeholder; "all of it" is when every chart, graph and table is painted, in view or not.
Switches are measured twice: after a rest on the page before, as a person takes it, and without one, while
what that page started (such as a latency measurement) may still run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "browser")]

from harness import NO_CHROMIUM, App, chromium, find_chromium, new_app, serve  # noqa: E402

from ui.shell import PAGES  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Browser


ALL_OF_IT = """() => {
  const all = (id, inside) =>
    [...document.querySelectorAll(`[data-testid='${id}']`)]
      .every((part) => part.querySelector(inside) || !part.checkVisibility());  // as in a closed expander
  return all("stPlotlyChart", ".main-svg .infolayer") && all("stGraphVizChart", "svg g.graph")
    && all("stDataFrame", "canvas");
}"""
PAINTED = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"

REST = 1.5  # seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--switches", type=int, default=3, help="visits of each page, after one to warm up")
    switches = parser.parse_args().switches
    if not find_chromium():
        print(NO_CHROMIUM, file=sys.stderr)
        return 2
    with chromium() as browser, tempfile.TemporaryDirectory() as folder:
        print(f"first start (cold caches)   {_start(browser, Path(folder))[1]:6.2f} s")
        heading, drawn, all_of_it = _start(browser, Path(folder), switches)
        print(f"start to first heading      {heading:6.2f} s")
        print(f"start to first page drawn   {drawn:6.2f} s   target 6.00 s; all of it {all_of_it:.2f} s")
    print(f"other work on this machine: load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return 0


def _start(browser: Browser, folder: Path, switches: int = 0) -> tuple[float, float, float]:
    """Seconds from starting a server to the first heading, to a drawn page and to all of it; then measures
    switches."""
    begin = time.perf_counter()
    with serve(folder) as server:
        app = new_app(browser, server)
        app.page.goto(server.url)
        app.page.get_by_role("heading", level=1).wait_for()
        heading = time.perf_counter() - begin
        app.ready()
        drawn = time.perf_counter() - begin
        _wait_for_all(app)
        all_of_it = time.perf_counter() - begin
        if switches:
            for rest in (REST, 0.0):
                _switch(app, switches, rest)
        app.page.context.close()
    return heading, drawn, all_of_it


def _switch(app: App, switches: int, rest: float) -> None:
    """Print the median times of turning to each page after a rest on another, the first visit apart."""
    times: dict[str, list[tuple[float, float]]] = {title: [] for title in PAGES.values()}
    for _ in range(switches + 1):
        for title in [*list(times)[1:], next(iter(times))]:
            begin = time.perf_counter()
            app.switch(title)
            drawn = time.perf_counter() - begin
            _wait_for_all(app)
            times[title].append((drawn, time.perf_counter() - begin))
            time.sleep(rest)
    print(f"after a rest of {rest:g} s on the page before:")
    for title, (first, *later) in times.items():
        drawn, all_of_it = (statistics.median(values) for values in zip(*later, strict=True))
        print(
            f"switch to {title:17} {drawn:6.2f} s   target 0.50 s; all of it {all_of_it:.2f} s; "
            f"first visit {first[0]:.2f} s"
        )


def _wait_for_all(app: App) -> None:
    app.page.wait_for_function(ALL_OF_IT)
    app.page.evaluate(PAINTED)


if __name__ == "__main__":
    sys.exit(main())
