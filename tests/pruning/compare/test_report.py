"""The report: whole in one file, true to the figures, and hostile names are mere text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from compare_runs import HOSTILE, START, figures, measured, recipe, run, speed

from pruning.compare import Entry, as_html, as_markdown
from pruning.compare.document import plain
from pruning.compare.svg import ticks
from pruning.recover.record import Epoch
from pruning.recover.settings import Recovery

VOID = {"meta", "circle", "line", "polyline", "rect"}


class Tags(HTMLParser):
    """Collects elements, and sees that each is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def epoch(number: int, accuracy: float) -> Epoch:
    return Epoch(
        number=number,
        phase="recover",
        accuracy=accuracy,
        low=0,
        high=1,
        n=360,
        reached=1,
        sparsity=0.5,
        seconds=2,
    )


def entries() -> list[Entry]:
    found = []
    for seed in range(3):
        made = Recovery(recipe=recipe(seed, fc1=0.5))
        shown = figures(
            300 + 10 * seed, test=measured(400 + seed, 450), latency=speed(1.0), removed={"hidden.fc1": 0.5}
        )
        curve = [epoch(0, 0.5), epoch(1, 0.8)]
        found.append(Entry(run(seed, kind="fine-tuning", seed=seed, figures=shown), made.to_json(), curve))
    shown = figures(200, 100, removed={HOSTILE: 0.9})
    other = run(7, name=HOSTILE, note=HOSTILE, criterion=HOSTILE, ratio=0.9, figures=shown)
    return [*found, Entry(other, recipe(fc1=0.9).to_json().replace("hidden.fc1", "a"))]


def test_html_is_one_file_that_asks_nobody_and_runs_nothing() -> None:
    text = as_html(entries(), START)
    page = Tags(text)
    tags = {tag for tag, _ in page.seen}
    assert not tags & {"script", "img", "link", "iframe", "object", "a", "use", "image"}
    assert not [
        name for _, attributes in page.seen for name in attributes if name in ("src", "href", "style")
    ]
    assert not [name for _, attributes in page.seen for name in attributes if name.startswith("on")]
    assert "url(" not in text
    assert "default-src 'none'" in text
    assert page.text.count(HOSTILE) >= 3
    assert sum(tag == "svg" for tag, _ in page.seen) >= 6
    assert "2025-01-02 at 03:04" in page.text


def test_both_forms_hold_the_figures() -> None:
    made = entries()
    for text in (Tags(as_html(made, START)).text, as_markdown(made, START).replace("\\", "")):
        assert "83.33\u00a0% (79.14 to 86.83, n\u00a0=\u00a0360)" in text
        assert "86.11 ± 2.78\u00a0%" in text, "310 of 360, and 10 of 360 up and down"
        assert "arXiv:1608.08710" in text
        assert "97.22\u00a0%" in text, "the dense network"
        assert "Only the second prunes “a”" in text
        assert "hidden.fc1" in text


def test_markdown_shows_hostile_names_as_they_are() -> None:
    text = as_markdown(entries(), START)
    outside = re.sub(r"~~~~json\n.*?\n~~~~", "", text, flags=re.S)
    assert not re.search(r"(?<!\\)<img", outside)
    assert not re.search(r"(?<!\\)\[a", outside)
    assert not re.search(r"(?<!\\)`", outside)
    for line in outside.splitlines():
        if line.startswith("|"):
            cells = len(re.findall(r"(?<!\\)\|", line))
            assert cells in (11, 8, 6, 7, 4), line
    assert plain("a\n# b  www.c.d https://e") == "a \\# b www\\.c.d https\\://e"


def test_code_cannot_end_its_own_fence() -> None:
    made = Entry(run(0), '{"a": "\n~~~~~~\n# out"}')
    text = as_markdown([made], START)
    fence = max(re.findall(r"^~+", text, flags=re.M), key=len)
    assert len(fence) == 7


def test_nothing_and_too_much_are_said() -> None:
    with pytest.raises(ValueError, match="Nothing is selected"):
        as_html([])
    with pytest.raises(ValueError, match="at most 200"):
        as_markdown([Entry(run(number)) for number in range(201)])


def test_a_run_without_figures_has_a_report_too() -> None:
    text = as_markdown([Entry(run(0, figures={}, state="failed", error="It broke."))], START)
    assert "It broke." in text


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (93.1, 97.4), (5.0, 5.0), (0.0, 0.0), (-3.0, 1e9)])
def test_ticks_are_round_and_hold_everything(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 2 <= len(found) <= 8
    assert found[0] <= low + 1e-9
    assert found[-1] >= high - 1e-9
