"""The ratio board in a real browser: what a hand does is what Python gets, and nothing jumps."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from harness import Server, serve, tab

pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install -r requirements-test.txt")
from playwright.sync_api import Locator, Page, expect

from pruning.plan import kept_count
from pruning.sparsity import Stops

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def board_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    script = ROOT / "tests" / "browser" / "apps" / "ratio_board_app.py"
    with serve(tmp_path_factory.mktemp("board"), script) as running:
        yield running


@pytest.fixture
def open_board(browser: Any, window: Any, board_server: Server) -> Iterator[Callable[..., Board]]:
    with ExitStack() as tabs:

        def open_it(query: str = "", touch: bool = False) -> Board:
            own = tabs.enter_context(browser.new_context(has_touch=True)) if touch else window
            page = tabs.enter_context(tab(own, board_server)).page
            page.set_viewport_size({"width": 1280, "height": 900})
            page.on("dialog", lambda dialog: pytest.fail(f"a dialog opened: {dialog.message}"))
            page.goto(f"{board_server.url}?{query}")
            board = Board(page)
            board.row(0).wait_for()
            return board

        yield open_it


def until(holds: Callable[[], bool], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.05)


class Board:
    """The board on a page, and Python's truth as the demo app prints it under the board."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.mouse = page.mouse

    def row(self, i: int) -> Locator:
        return self.page.locator(".rows .row:visible").nth(i)

    def track(self, i: int) -> Locator:
        return self.row(i).get_by_role("slider")

    def ratio(self, i: int) -> float:
        return float(self.track(i).get_attribute("aria-valuenow") or "nan") / 100

    def point(self, i: int, ratio: float) -> tuple[float, float]:
        self.row(i).scroll_into_view_if_needed()
        # A row that was out of sight takes the pointer from its first frame on.
        self.page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
        box = self.row(i).locator(".lane").bounding_box()
        assert box
        return box["x"] + ratio * box["width"], box["y"] + box["height"] * 0.7

    def drag(self, i: int, ratio: float, steps: int = 12, pause_ms: int = 0, release: bool = True) -> None:
        self.mouse.move(*self.point(i, self.ratio(i)))
        self.mouse.down()
        self.drag_on(i, ratio, steps, pause_ms)
        if release:
            self.mouse.up()

    def drag_on(self, i: int, ratio: float, steps: int = 12, pause_ms: int = 0) -> None:
        x, y = self.point(i, self.ratio(i))
        end, _ = self.point(i, ratio)
        for step in range(1, steps + 1):
            self.mouse.move(x + (end - x) * step / steps, y)
            if pause_ms:
                self.page.wait_for_timeout(pause_ms)

    def tool(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def truth(self) -> dict[str, Any]:
        return dict(json.loads(self.page.locator(".st-key-truth").inner_text()))

    def log(self, action: str = "edit") -> list[dict[str, Any]]:
        return [entry for entry in self.truth()["log"] if entry["action"] == action]

    def python(self, i: int) -> float:
        """The ratio that Python holds for the i-th row of the network."""
        return float(list(self.truth()["ratios"].values())[i])

    def settles(self, i: int, ratio: float) -> None:
        """Both sides come to hold this ratio."""
        until(lambda: abs(self.python(i) - ratio) < 1e-9, f"Python to hold {ratio} in row {i}")
        until(lambda: abs(self.ratio(i) - ratio) < 1e-3, f"the board to show {ratio} in row {i}")


def test_a_drag_reaches_python_live_and_at_the_end(open_board):
    board = open_board()
    board.drag(1, 0.5, steps=3, release=False)
    until(lambda: board.python(1) == 0.5, "Python to hear of a drag that goes on")
    began = time.monotonic()
    board.drag_on(1, 0.71, steps=40, pause_ms=10)
    until(lambda: board.python(1) == 0.71, "Python to hear of its end")
    took = time.monotonic() - began
    board.mouse.up()
    until(lambda: board.log()[-1]["final"], "the release")
    log = board.log()
    live = [entry for entry in log if not entry["final"]]
    assert 2 <= len(live) <= 4 + took / 0.08, "at most about 12 events a second"
    assert [entry["final"] for entry in log] == [False] * len(live) + [True]
    assert all(set(entry["ratios"]) <= {"stage0.1.conv2#1"} for entry in log), "only what moved is sent"
    values = [entry["ratios"]["stage0.1.conv2#1"] for entry in live]
    assert values == sorted(values)
    assert board.row(1).locator(".ratio .value").inner_text() == "71 %"


def test_a_grabbed_handle_does_not_jump_and_a_click_on_the_track_does(open_board):
    board = open_board()
    x, y = board.point(1, 0.29)
    board.mouse.move(x + 8, y)
    board.mouse.down()
    assert board.ratio(1) == 0.29
    board.mouse.up()
    board.mouse.click(*board.point(1, 0.6))
    board.settles(1, 0.6)
    assert board.log()[0]["ratios"] == {"stage0.1.conv2#1": 0.6}


def in_browser(browser: Any, expression: str, cases: list[Any]) -> Any:
    """What an expression of `cases` and rule.js comes to; handed over as one text, which is quick."""
    page = browser.new_page()
    rule = (ROOT / "ui" / "ratio_board" / "rule.js").read_text(encoding="utf-8")
    got = page.evaluate(
        f"text => {{ const cases = JSON.parse(text); {rule}; return JSON.stringify({expression}); }}",
        json.dumps(cases),
    )
    page.close()
    return json.loads(got)


def test_kept_counts_are_those_of_python(browser):
    """rule.js repeats pruning.plan.kept_count: sizes, percents, typed counts, multiples."""
    sizes = [*range(1, 70), 300, 431, 1000, 4096, 73_728, 2_359_296, 100_000_000]
    ratios = [step / 100 for step in range(101)] + [step / 1000 for step in range(5, 1000, 55)]
    cases = [(n, r, m, k) for n in sizes for r in ratios for m in (1, 8, 12) for k in (0, 9)]
    cases += [(n, (n - k) / n, 1, 1) for n in sizes for k in range(1, min(n, 60))]
    assert in_browser(browser, "cases.map(c => keptCount(...c))", cases) == [
        kept_count(*case) for case in cases
    ]


def test_stops_are_those_of_python(browser):
    """rule.js repeats Stops.nearest, also half-way between two stops."""
    lists = [[k / length for k in range(length + 1)] for length in (2, 3, 4, 7, 8, 16, 64)]
    lists += [[0.0, *(1 - 4 * k / (9 * n) for k in range(n, -1, -1))] for n in (1, 5, 40)]
    ratios = [step / 1000 for step in range(1001)] + [k / 128 for k in range(129)]
    stops = [[[at, 0, ""] for at in ats] for ats in lists]
    got = in_browser(browser, "cases[0].flatMap(s => cases[1].map(r => nearestStop(s, r)))", [stops, ratios])
    known = [Stops(torch.tensor(ats, dtype=torch.float64), torch.tensor([])) for ats in lists]
    assert got == [stops.nearest(ratio) for stops in known for ratio in ratios]


def test_kept_counts_follow_at_once(open_board):
    board = open_board()
    board.drag(2, 0.25, release=False)
    expect(board.row(2).locator(".count .value")).to_have_text("48")
    expect(board.row(2).locator(".count .under")).to_have_text("of 64")
    board.mouse.up()


def test_good_counts_are_marked_where_the_handle_stands_for_them(open_board):
    board = open_board()
    marks = board.row(2).locator(".goods i")
    expect(marks).to_have_count(2)
    expect(board.row(1).locator(".goods i")).to_have_count(0)
    expect(board.page.get_by_text("one channel more costs a step in time")).to_be_visible()
    board.drag(2, 0.25)
    track = board.row(2).locator(".track")
    expect(track).to_have_attribute(
        "aria-valuetext", re.compile("48 of 64 .* kept, the last count before a step")
    )
    grip, mark = board.row(2).locator(".grip").bounding_box(), marks.nth(1).bounding_box()
    assert abs(grip["x"] + grip["width"] / 2 - mark["x"] - mark["width"] / 2) < 1.5
    board.drag(2, 0.4)
    expect(track).not_to_have_attribute("aria-valuetext", re.compile("before a step"))


def test_escape_takes_a_drag_back(open_board):
    board = open_board()
    board.drag(1, 0.8, pause_ms=20, release=False)
    assert board.ratio(1) == 0.8
    board.page.keyboard.press("Escape")
    board.mouse.up()
    until(lambda: any(entry["final"] for entry in board.log()), "the end of the drag")
    board.settles(1, 0.29)


def test_keys_move_a_handle(open_board):
    board = open_board()
    press = board.page.keyboard.press
    board.track(1).focus()
    for key, ratio in [
        ("ArrowRight", 0.30),
        ("ArrowUp", 0.31),
        ("ArrowLeft", 0.30),
        ("PageUp", 0.40),
        ("PageDown", 0.30),
        ("Shift+ArrowRight", 0.301),
        ("End", 1.0),
        ("Home", 0.0),
    ]:
        press(key)
        assert board.ratio(1) == pytest.approx(ratio), key
    board.settles(1, 0.0)
    assert board.track(1).get_attribute("aria-valuetext") == "0 % pruned, 32 of 32 filters kept"
    press("Alt+ArrowDown")
    expect(board.track(2)).to_be_focused()


def test_a_held_key_is_one_gesture(open_board):
    board = open_board()
    board.track(1).focus()
    for _ in range(20):
        board.page.keyboard.down("ArrowRight")
        board.page.wait_for_timeout(20)
    board.page.keyboard.up("ArrowRight")
    board.settles(1, 0.49)
    until(lambda: board.log()[-1]["final"], "the key's release")
    assert sum(entry["final"] for entry in board.log()) == 1


def test_numbers_can_be_typed(open_board):
    board = open_board()
    keyboard = board.page.keyboard
    board.track(2).focus()
    keyboard.press("Enter")
    keyboard.type("62.5 %")
    keyboard.press("Enter")
    board.settles(2, 0.625)
    expect(board.track(2)).to_be_focused()
    keyboard.type("3")
    keyboard.type("0")
    keyboard.press("Enter")
    board.settles(2, 0.30)
    board.row(2).locator(".count .value").click()
    keyboard.type("12")
    keyboard.press("Enter")
    board.settles(2, 1 - 12 / 64)
    expect(board.row(2).locator(".count .value")).to_have_text("12")
    for refused in ("", "abc", "-3", "1e9", "<b>"):
        board.row(2).locator(".ratio .value").click()
        keyboard.press("Control+A")
        keyboard.press("Delete")
        keyboard.type(refused)
        keyboard.press("Enter")
        assert board.ratio(2) == pytest.approx(1 - 12 / 64, abs=1e-3), refused
    board.row(2).locator(".ratio .value").click()
    keyboard.type("99")
    keyboard.press("Escape")
    board.settles(2, 1 - 12 / 64)


def test_a_locked_row_does_not_move(open_board):
    board = open_board()
    board.drag(3, 0.8)
    board.track(3).focus()
    board.page.keyboard.press("PageUp")
    assert board.ratio(3) == 0.17
    assert board.track(3).get_attribute("aria-disabled") == "true"
    board.page.get_by_role("button", name="Unlock stage0.3.conv2").click()
    until(lambda: board.truth()["locked"] == [], "Python to unlock")
    board.drag(3, 0.8)
    board.settles(3, 0.8)
    board.track(3).focus()
    board.page.keyboard.press("l")
    until(lambda: board.truth()["locked"] == ["stage0.3.conv2#3"], "Python to lock")
    board.drag(3, 0.1)
    board.settles(3, 0.8)


def test_selected_rows_move_by_the_same_step(open_board):
    board = open_board()
    board.row(1).locator(".pick").click()
    board.row(4).locator(".pick").click(modifiers=["Shift"])
    expect(board.page.get_by_text("4 selected")).to_be_visible()
    board.drag(2, 0.78)  # from 0.58: a step of 0.2
    board.settles(2, 0.78)
    board.settles(1, 0.49)
    board.settles(3, 0.17)  # locked
    board.settles(4, 0.66)
    until(lambda: board.log()[-1]["final"], "the release")
    assert sum(entry["final"] for entry in board.log()) == 1


def test_selected_rows_move_to_the_same_ratio(open_board):
    board = open_board()
    board.row(1).locator(".pick").click()
    board.row(6).locator(".pick").click()
    board.tool("Selected rows move to the same ratio").click()
    board.drag(6, 0.5)
    board.settles(6, 0.5)
    board.settles(1, 0.5)
    board.track(1).focus()
    board.page.keyboard.type("40\n")
    board.settles(6, 0.4)
    board.settles(1, 0.4)
    board.settles(2, 0.58)


def test_a_step_past_the_end_comes_back_with_the_differences(open_board):
    board = open_board()
    board.row(1).locator(".pick").click()
    board.row(2).locator(".pick").click()
    board.drag(2, 0.0, release=False)
    assert (board.ratio(1), board.ratio(2)) == (0.0, 0.0)
    x, y = board.point(2, 0.58)
    board.mouse.move(x, y)
    assert (board.ratio(1), board.ratio(2)) == (0.29, 0.58)
    board.mouse.up()


def test_search_then_select_what_is_shown(open_board):
    board = open_board()
    board.page.get_by_label("Find a layer by name").fill("stage1.")
    expect(board.page.locator(".rows .row:visible")).to_have_count(4)
    board.tool("Select all rows shown").click()
    board.page.get_by_label("Find a layer by name").fill("")
    expect(board.page.get_by_text("12 rows · 4 selected")).to_be_visible()
    board.track(0).focus()
    board.tool("Select rows like this one").click()
    expect(board.page.get_by_text("12 rows · 8 selected")).to_be_visible()
    board.page.get_by_label("Find a layer by name").fill("nothing has this name")
    expect(board.page.get_by_text("No layer's name contains")).to_be_visible()
    board.page.get_by_label("Find a layer by name").fill("")
    board.tool("Select no rows").click()
    expect(board.page.get_by_text("selected")).to_have_count(0)


def test_rows_can_be_sorted_and_edits_still_reach_their_own_row(open_board):
    board = open_board()
    board.page.get_by_label("Order of the rows").select_option("parameters")
    expect(board.row(0).locator(".name")).to_have_text("<b onclick=alert(1)>hostile</b>")
    expect(board.row(1).locator(".name")).to_have_text("stage2.2.conv1")
    board.drag(1, 0.44)
    until(lambda: abs(board.python(10) - 0.44) < 1e-9, "Python to hold the sorted row's ratio")


def test_undo_redo_and_reset_are_events(open_board):
    board = open_board()
    assert board.tool("Undo").is_disabled()
    board.drag(1, 0.7)
    board.settles(1, 0.7)
    expect(board.tool("Undo")).to_be_enabled()
    board.page.keyboard.press("Control+z")
    board.settles(1, 0.29)
    expect(board.tool("Redo")).to_be_enabled()
    board.page.keyboard.press("Control+Shift+Z")
    board.settles(1, 0.7)
    expect(board.tool("Undo")).to_be_enabled()
    board.tool("Undo").click()
    board.settles(1, 0.29)
    board.tool("Reset all ratios").click()
    until(lambda: len(board.log("reset")) == 1, "the reset event")


def test_a_preset_by_python_is_taken_over_and_can_be_dragged_from(open_board):
    board = open_board()
    board.drag(1, 0.7)
    board.settles(1, 0.7)
    board.page.get_by_role("button", name="Preset").click()
    board.settles(1, 0.5)
    board.settles(7, 0.5)
    board.drag(7, 0.2)
    board.settles(7, 0.2)
    board.settles(1, 0.5)


def test_a_rerun_during_a_drag_disturbs_nothing(open_board):
    board = open_board("n=40&ticking=1&height=400")
    page = board.page
    page.get_by_label("Find a layer by name").fill("conv")
    board.row(20).scroll_into_view_if_needed()
    board.row(20).locator(".pick").click()
    scrolled = page.locator(".scroll").evaluate("e => e.scrollTop")
    page.locator(".rows").evaluate("e => { e.dataset.same = 'yes' }")
    board.drag(20, 0.9, release=False)
    runs, held = board.truth()["runs"], board.ratio(20)
    until(lambda: board.truth()["runs"] > runs + 4, "five reruns")
    assert board.ratio(20) == held == 0.9
    assert page.locator(".rows").get_attribute("data-same") == "yes"
    x, y = board.point(20, 0.33)
    board.mouse.move(x, y)
    assert board.ratio(20) == 0.33, "the same drag goes on"
    board.mouse.up()
    until(lambda: board.log()[-1]["final"], "the release")
    assert list(board.log()[-1]["ratios"].values()) in ([], [0.33])
    runs = board.truth()["runs"]
    until(lambda: board.truth()["runs"] > runs + 2, "more reruns")
    assert board.ratio(20) == 0.33
    assert page.locator(".scroll").evaluate("e => e.scrollTop") == scrolled
    assert page.get_by_label("Find a layer by name").input_value() == "conv"
    assert board.row(20).get_by_role("checkbox").is_checked()


def test_no_quick_edit_is_lost(open_board):
    board = open_board()
    for _ in range(8):
        for i in (0, 1, 2, 4):
            board.track(i).focus()
            board.page.keyboard.press("ArrowRight")
    for i, before in ((0, 0.0), (1, 0.29), (2, 0.58), (4, 0.46)):
        board.settles(i, round(before + 0.08, 2))


def test_120_rows_scroll_select_and_move_together(open_board):
    board = open_board("n=120")
    expect(board.page.locator(".rows .row")).to_have_count(120)
    board.drag(119, 0.5)
    until(lambda: abs(board.python(119) - 0.5) < 1e-9, "the last row")
    board.tool("Select all rows shown").click()
    board.tool("Selected rows move to the same ratio").click()
    board.drag(60, 0.35, pause_ms=20)
    unlocked = [0.35] * 119
    until(lambda: sorted(board.truth()["ratios"].values()) == [0.17, *unlocked], "119 rows to move")
    expect(board.page.get_by_text("120 rows · 120 selected · 1 locked")).to_be_visible()


def test_a_finger_taps_and_does_not_scroll_values_away(open_board):
    board = open_board(touch=True)
    board.page.touchscreen.tap(*board.point(1, 0.8))
    board.settles(1, 0.8)
    assert board.track(1).evaluate("e => getComputedStyle(e).touchAction") == "pan-y"


def test_names_are_text_and_every_control_has_a_name(open_board):
    board = open_board("n=6")
    expect(board.row(0).locator(".name")).to_have_text("<b onclick=alert(1)>hostile</b>")
    assert board.page.locator(".rows .name > *").count() == 0
    unnamed = board.page.locator(".board").evaluate(
        "b => [...b.querySelectorAll('button, input, select, [role=slider]')].filter("
        "e => !e.getAttribute('aria-label') && !e.textContent.trim()).length"
    )
    assert unnamed == 0
    assert board.page.get_by_role("slider", name="Pruning ratio of stage0.1.conv2").count() == 1
