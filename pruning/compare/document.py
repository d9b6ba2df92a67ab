"""A text with headings, tables and pictures, as Markdown or as one HTML file that makes no request.

Blocks hold plain text; what is special in the one language or the other is escaped here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

STYLE = Path(__file__).with_name("report.css")
_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~$!&])")
_LINK = re.compile(r"(?i)(www)\.|(:)//")
_CONTENT = "default-src 'none'; style-src 'unsafe-inline'"  # no script, no request


@dataclass(frozen=True)
class Heading:
    """A heading of level 1 (the title) to 3."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Points:
    """A list."""

    items: Sequence[str]


@dataclass(frozen=True)
class Table:
    """Rows of plain text; the columns in `numbers` stand at the right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Pictures:
    """SVG elements of `pruning.compare.svg`, escaped already; Markdown leaves them out."""

    svgs: Sequence[str]


@dataclass(frozen=True)
class Code:
    """Text to be taken as it is, under a line that opens it."""

    title: str
    text: str


Block = Heading | Text | Points | Table | Pictures | Code


def markdown(blocks: Sequence[Block]) -> str:
    """The document as Markdown with the tables of GitHub."""
    return "\n\n".join(filter(None, map(_markdown, blocks))) + "\n"


def html(blocks: Sequence[Block]) -> str:
    """The document as one HTML file, light or dark as the reader's system is."""
    title = next((escape(block.text) for block in blocks if isinstance(block, Heading)), "")
    body = "\n".join(map(_html, blocks))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_CONTENT}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE.read_text(encoding='utf-8')}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def plain(text: str) -> str:
    """Any text as Markdown that shows exactly it, on one line."""
    line = _SPECIAL.sub(r"\\\1", re.sub(r"[ \t\r\n\f\v]+", " ", text).strip())
    return _LINK.sub(lambda found: f"{found[1]}\\." if found[1] else "\\://", line)


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {plain(text)}"
        case Text(text):
            return _first(plain(text))
        case Points(items):
            return "\n".join(f"- {_first(plain(item))}" for item in items)
        case Table(columns, rows, numbers):
            lines = ["---:" if place in numbers else "---" for place in range(len(columns))]
            whole = [[*map(plain, columns)], lines, *([*map(plain, row)] for row in rows)]
            return "\n".join(f"| {' | '.join(row)} |" for row in whole)
        case Code(title, text):
            fence = "~" * max(4, 1 + max((len(run) for run in re.findall("~+", text)), default=0))
            return f"{plain(title)}\n\n{fence}json\n{text}\n{fence}"
    return ""


def _first(line: str) -> str:
    """A line that does not begin a list or a quotation by mistake."""
    return re.sub(r"^([-+=]|\d+[.)])", lambda found: found[1][:-1] + "\\" + found[1][-1], line)


def _html(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{escape(text)}</h{level}>"
        case Text(text):
            return f"<p>{escape(text)}</p>"
        case Points(items):
            return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"
        case Table(columns, rows, numbers):
            head = "".join(_cell("th", text, place in numbers) for place, text in enumerate(columns))
            body = "".join(
                f"<tr>{''.join(_cell('td', text, place in numbers) for place, text in enumerate(row))}</tr>"
                for row in rows
            )
            return (
                f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
            )
        case Pictures(svgs):
            return f'<div class="pictures">{"".join(f"<figure>{svg}</figure>" for svg in svgs)}</div>'
        case Code(title, text):
            return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"


def _cell(tag: str, text: str, number: bool) -> str:
    return f"<{tag}{' class=n' if number else ''}>{escape(text)}</{tag}>"
