"""How long until the app is usable: from `streamlit run` to the first page, and from page to page.

    python benchmarks/startup.py [--switches 3]

A server is started twice: the first start warms the disk cache and is printed but does not count. Targets:
the first page within 6 s, a page switch within 0.5 s. "Drawn" is when the script is done and nothing on the
page is stale or a placeholder; "all" is when every chart, graph and table is painted, in view or not.
The floor is what no app on these two libraries goes below: a process that only imports them, before and after
the second start; the ratio says how often a time contains it.

Switches are measured twice: after a rest on the page before, as a person takes it, and without one, while
what that page started (such as a latency measurement) may still run. "First" is the first visit of that
round; the others are medians of the visits after it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
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
FLOOR = "import torch, streamlit"
VISITS = ("drawn", "all", "first")


@dataclass(frozen=True)
class Start:
    """Seconds from starting a server to the first heading, to a drawn page and to all of it."""

    heading: float
    drawn: float
    all_of_it: float


@dataclass(frozen=True)
class Visits:
    """Seconds of turning to one page: the first visit, and medians of later ones."""

    first: float
    drawn: float
    all_of_it: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--switches", type=int, default=3, help="visits of each page, after one to warm up")
    switches = parser.parse_args().switches
    if not find_chromium():
        print(NO_CHROMIUM, file=sys.stderr)
        return 2
    with chromium() as browser, tempfile.TemporaryDirectory() as folder:
        cold, _ = _start(browser, Path(folder))
        floors = [_floor()]
        warm, rounds = _start(browser, Path(folder), switches)
        floors += [_floor(), _floor()]
    _print_start(cold, warm, statistics.median(floors))
    _print_switches(rounds)
    print(f"other work on this machine: load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return 0


def _floor() -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", FLOOR], check=True)
    return time.perf_counter() - begin


def _start(browser: Browser, folder: Path, switches: int = 0) -> tuple[Start, list[dict[str, Visits]]]:
    """One start of the server; then switches between its pages, after a rest and without one."""
    begin = time.perf_counter()
    with serve(folder) as server:
        app = new_app(browser, server)
        app.page.goto(server.url)
        app.page.get_by_role("heading", level=1).wait_for()
        heading = time.perf_counter() - begin
        app.ready()
        drawn = time.perf_counter() - begin
        _wait_for_all(app)
        start = Start(heading, drawn, time.perf_counter() - begin)
        rounds = [_switch(app, switches, rest) for rest in (REST, 0.0)] if switches else []
        app.page.context.close()
    return start, rounds


def _switch(app: App, switches: int, rest: float) -> dict[str, Visits]:
    """Turn to each page after a rest on another, once and then so many times."""
    times: dict[str, list[tuple[float, float]]] = {title: [] for title in PAGES.values()}
    for _ in range(switches + 1):
        for title in [*list(times)[1:], next(iter(times))]:
            begin = time.perf_counter()
            app.switch(title)
            drawn = time.perf_counter() - begin
            _wait_for_all(app)
            times[title].append((drawn, time.perf_counter() - begin))
            time.sleep(rest)
    found = {}
    for title, (first, *later) in times.items():
        drawn, all_of_it = (statistics.median(values) for values in zip(*later, strict=True))
        found[title] = Visits(first[0], drawn, all_of_it)
    return found


def _print_start(cold: Start, warm: Start, floor: float) -> None:
    print("| from `streamlit run` to | seconds | target | times the floor |\n|---|---|---|---|")
    for what, seconds, target in (
        (f"floor: `python -c '{FLOOR}'`", floor, ""),
        ("first heading", warm.heading, ""),
        ("first page drawn", warm.drawn, "6.00"),
        ("all of it", warm.all_of_it, ""),
        ("first page drawn, cold caches", cold.drawn, ""),
    ):
        print(f"| {what} | {seconds:.2f} | {target} | {seconds / floor:.1f} |")


def _print_switches(rounds: Sequence[dict[str, Visits]]) -> None:
    if not rounds:
        return
    rested, hurried = rounds
    kinds = [f"{kind}, {rest}" for rest in (f"{REST:g} s rest", "no rest") for kind in VISITS]
    print(f"\n| switch to (target 0.50 s drawn) | {' | '.join(kinds)} |\n{'|---' * (1 + len(kinds))}|")
    for title in rested:
        times = [f"{t:.2f}" for v in (rested[title], hurried[title]) for t in (v.drawn, v.all_of_it, v.first)]
        print(f"| {title} | {' | '.join(times)} |")
    print()


def _wait_for_all(app: App) -> None:
    app.page.wait_for_function(ALL_OF_IT)
    app.page.evaluate(PAINTED)


if __name__ == "__main__":
    sys.exit(main())
