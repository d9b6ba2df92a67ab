"""How long from a drag on the Prune page to a changed accuracy figure, in a real Chromium.

    python benchmarks/drag.py [--moves 60]

Timed inside the page: from the pointer's move to the accuracy card showing a figure of the new ratio,
predicted from a scan and then measured. One move at a time (the hand pauses), then a quick drag without
pauses. Target on an idle machine of two cores: p50 150 ms, p95 400 ms.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "browser")]

from harness import NO_CHROMIUM, chromium, find_chromium, new_app, serve  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Page

# Every move and every change of the accuracy card, with the time inside the page.
WATCH = """() => {
  const card = () => document.querySelector('.px-accuracy');
  window.log = [];
  const note = (kind, more) => window.log.push({kind, at: performance.now(), ...more});
  document.addEventListener('pointermove', (event) => event.buttons && note('move', {}), true);
  let last = '';
  new MutationObserver(() => {
    const c = card();
    const now = c ? c.dataset.for + ':' + c.dataset.n : '';
    if (c && now !== last) { last = now; note('figure', {recipe: c.dataset.for, n: Number(c.dataset.n),
      complete: !/px-refining|px-stale/.test(c.className)}); }
  }).observe(document.body, {subtree: true, childList: true, attributes: true});
}"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--moves", type=int, default=60)
    moves = parser.parse_args().moves
    if not find_chromium():
        print(NO_CHROMIUM, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as server, chromium() as browser:
        app = new_app(browser, server)
        page = app.open("prune?model=digits-resnet")
        page.get_by_role("button", name="Measure curves").click()
        page.locator(".px-accuracy .px-second").wait_for(timeout=300_000)
        app.ready()
        page.evaluate(WATCH)
        print("digits-resnet, 360 validation images, times in ms")
        print("one move at a time")
        for name, times in _single_moves(page, moves).items():
            print(_line(name, times))
        print("a quick drag")
        print(_line("between changed figures", _quick_drag(page, moves)))
    return 0


def _single_moves(page: Page, moves: int) -> dict[str, list[float]]:
    """Move a handle step by step; each time wait until the new ratio is measured on all images."""
    draw = random.Random(0)
    left, width, height = _grab(page, 6)
    first, measured, complete = [], [], []
    at = 10
    for _ in range(moves):
        at = draw.choice([step for step in range(5, 70) if step != at])
        page.evaluate("() => { window.log.length = 0 }")
        page.mouse.move(left + width * at / 100, height)
        page.wait_for_function("() => log.some(e => e.kind === 'figure' && e.complete)")
        log = page.evaluate("() => window.log")
        begin = next(entry["at"] for entry in log if entry["kind"] == "move")
        figures = [entry for entry in log if entry["kind"] == "figure"]
        first.append(figures[0]["at"] - begin)
        measured.append(next(entry["at"] for entry in figures if entry["n"]) - begin)
        complete.append(next(entry["at"] for entry in figures if entry["complete"]) - begin)
        page.wait_for_timeout(120)
    page.mouse.up()
    return {
        "to the predicted accuracy": first,
        "to the first measured accuracy": measured,
        "to the accuracy on all images": complete,
    }


def _quick_drag(page: Page, moves: int) -> list[float]:
    """Drag without a pause; the times from one changed figure to the next, as long as the hand moves."""
    left, width, height = _grab(page, 8)
    page.evaluate("() => { window.log.length = 0 }")
    for step in range(moves):
        page.mouse.move(left + width * (5 + 60 * step / moves) / 100, height)
        page.wait_for_timeout(30)
    page.mouse.up()
    page.wait_for_timeout(1000)
    recipes: dict[str, float] = {}
    for entry in page.evaluate("() => window.log"):
        if entry["kind"] == "figure":
            recipes.setdefault(entry["recipe"], entry["at"])
    at = sorted(recipes.values())
    return [after - before for before, after in pairwise(at)]


def _grab(page: Page, row: int) -> tuple[float, float, float]:
    """Press the mouse on a row's handle; where its track begins, its width, the height to move at."""
    lane = page.locator(".rows .row").nth(row).locator(".lane")
    lane.scroll_into_view_if_needed()
    box = lane.bounding_box()
    assert box
    height = box["y"] + 0.7 * box["height"]
    page.mouse.move(box["x"] + 1, height)
    page.mouse.down()
    return box["x"], box["width"], height


def _line(name: str, times: list[float]) -> str:
    p95 = quantiles(times, n=20)[-1]
    return f"  {name:30} p50 {median(times):6.0f}   p95 {p95:6.0f}   n {len(times)}"


if __name__ == "__main__":
    sys.exit(main())
