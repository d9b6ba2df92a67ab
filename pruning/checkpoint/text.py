"""Words for the one-sentence errors about files: names that came from a file are never shown raw."""

from __future__ import annotations

from collections.abc import Iterable

GRADES = {  # `Plan.grade`
    "exact": "exact",
    "statistics": "exact, with means and variances over the channels that stay",
}
RESULTS = {  # `is_graph`
    False: "your own class",
    True: "a graph of recorded operations, because its code has sizes written into it",
}
SHOWN_CHARS = 60  # a qualified parameter name is shorter; a hostile one may be megabytes


def quoted(name: object) -> str:
    """A name from a file, safe to show: in quotes, on one line, shortened, control characters escaped."""
    text = str(name) if len(str(name)) <= SHOWN_CHARS else f"{str(name)[:SHOWN_CHARS]}…"
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return f"'{escaped}'"


def shape_text(shape: Iterable[int]) -> str:
    """A tensor's shape as 64x3x3x3, shortened past eight dimensions; a scalar is "scalar"."""
    sizes = list(shape)
    text = "x".join(str(size) for size in sizes[:8]) or "scalar"
    return f"{text[:SHOWN_CHARS]}…" if len(sizes) > 8 or len(text) > SHOWN_CHARS else text


def size_text(count: int) -> str:
    """Bytes in a readable unit, with the thousand of files (1 MB = 1,000,000 bytes)."""
    if count < 1000:
        return f"{count} bytes"
    for unit, size in (("kB", 10**3), ("MB", 10**6)):
        if count < 1000 * size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 10**9:.2f} GB"


def and_more(count: int) -> str:
    """What follows the first of `count` findings: "" or " (and 3 more)"."""
    return f" (and {count - 1:,} more)" if count > 1 else ""
