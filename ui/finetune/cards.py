"""Dense, pruned and recovered, side by side: three cards of a fixed size whose figures change in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from pruning import MODELS
from ui import cache, charts, uploads
from ui.figures.words import percent
from ui.shell import count, size

if TYPE_CHECKING:
    from pruning.history import Measured, Run, Size, Speed
    from pruning.recover.record import Epoch
    from pruning.recover.settings import Recovery

UNKNOWN = "–"
ROWS = {
    "Test accuracy": "Share of test images classified right, which chose nothing: neither the epoch nor a "
    "setting. Measured once, in the end.",
    "Parameters": "That are not zero. Counted exactly.",
    "MACs": "Multiply-accumulates for one image. Counted exactly; zeros in place are still multiplied.",
    "File": "Bytes of the .safetensors file. Exact.",
    "Latency": "Median time of one forward pass, measured in turns with the dense network on this machine.",
}


@dataclass(frozen=True)
class Card:
    """What one card says.

    Args:
        name: of the network.
        note: how the accuracy came about.
        accuracy: on validation images; None if it is not known yet.
        rows: of ROWS -> text.
        cls: its colour.
    """

    name: str
    note: str
    accuracy: Measured | None
    rows: dict[str, str]
    cls: str


def draw(run: Run, settings: Recovery, epochs: Sequence[Epoch]) -> None:
    """The three cards, with what is known so far."""
    colours = charts.colours()
    style = Path(__file__).with_name("cards.css").read_text(encoding="utf-8")
    st.html(
        f"<style>{style} :root {{ --ft-dense: {colours.dense}; --ft-pruned: {colours.pruned}; "
        f"--ft-muted: {colours.muted}; }}</style>{html(of(run, settings, epochs))}"
    )


def conditions(run: Run, settings: Recovery) -> str:
    """How the figures came about, in a line; "" as long as there are none."""
    figures, said = run.figures, []
    if figures.epochs is not None and figures.epochs < settings.epochs:
        said.append(f"Ended after {figures.epochs} of {settings.epochs} epochs.")
    if figures.latency is not None:
        speed = figures.latency
        threads = f", {speed.threads} thread{'s' * (speed.threads != 1)}" if "cuda" not in run.device else ""
        said.append(
            f"Latency: {speed.n:,} forwards in turns with the dense network, batch {speed.batch_size}"
            f"{threads}, {speed.device}. {speed.warning}"
        )
    return " ".join(said).strip()


def best(run: Run, epochs: Sequence[Epoch]) -> int | None:
    """Number of the epoch that is kept, as it stands: the best of those with the full ratios."""
    if run.figures.best is not None:
        return run.figures.best
    full = [epoch for epoch in epochs if epoch.number and epoch.reached >= 1]
    return max(full, key=lambda epoch: epoch.accuracy).number if full else None


def of(run: Run, settings: Recovery, epochs: Sequence[Epoch]) -> list[Card]:
    """What the cards say."""
    figures = run.figures
    dense, before, after = figures.dense, figures.before, figures.validation
    if dense is None and epochs and settings.pruning.start == "trained":
        dense = _measured(epochs[0])
    note, whole = "measured", figures.dense_size or _size(run)
    kept = next((epoch for epoch in epochs if epoch.number == best(run, epochs)), None)
    if after is None and kept is not None:
        after, note = _measured(kept), f"best so far, epoch {kept.number}"
    elif kept is not None and settings.epochs:
        note = f"best epoch, {kept.number}"
    speed = figures.latency
    pruned = _rows(figures.size, figures.dense_size)
    return [
        Card(
            "Dense",
            "measured",
            dense,
            _rows(whole)
            | {
                "Test accuracy": _accuracy(figures.dense_test),
                "Latency": _time(speed.dense if speed else None),
            },
            "ft-dense",
        ),
        Card(
            "Pruned at once, not recovered",
            "measured",
            before,
            pruned | {"Test accuracy": "not measured", "Latency": "as recovered" if speed else UNKNOWN},
            "ft-before",
        ),
        Card(
            "Recovered" if settings.epochs else "Recalibrated",
            note,
            after,
            pruned | {"Test accuracy": _accuracy(figures.test), "Latency": _speed(speed)},
            "ft-pruned",
        ),
    ]


def _size(run: Run) -> Size | None:
    """Of the dense network, as far as its architecture tells."""
    from pruning.history import Size

    if run.model not in MODELS:
        return None
    return Size.of(cache.cost_model(uploads.model_id(run.model, None, "cpu")).dense)


def html(cards: Sequence[Card]) -> str:
    """The cards as text; every word in it is ours."""
    dense = cards[0].accuracy
    return f'<div class="ft-cards">{"".join(_card(card, dense) for card in cards)}</div>'


def _card(card: Card, dense: Measured | None) -> str:
    found = card.accuracy
    value = percent(found.accuracy) if found else UNKNOWN
    under = (
        f"95 %: {100 * found.low:.1f} – {100 * found.high:.1f} % · {found.n:,} validation images"
        if found
        else "not measured yet"
    )
    change = ""
    if found and dense and found is not dense:
        points = 100 * (found.accuracy - dense.accuracy)
        sign = "−" if points < 0 else "+"
        change = f"<small>{sign}{abs(points):.1f} pt</small>"
    rows = "".join(
        f'<tr><th title="{escape(ROWS[name])}">{name}</th><td>{escape(text)}</td></tr>'
        for name, text in card.rows.items()
    )
    return (
        f'<div class="ft-card {card.cls}">'
        f'<div class="ft-name"><b>{card.name}</b><em>{escape(card.note if found else "")}</em></div>'
        f'<div class="ft-value">{value}{change}</div><div class="ft-under">{under}</div>'
        f"<table>{rows}</table></div>"
    )


def _rows(found: Size | None, dense: Size | None = None) -> dict[str, str]:
    if found is None:
        return dict.fromkeys(ROWS, UNKNOWN)

    def against(value: float, whole: float | None) -> str:
        return f" ({100 * (value / whole - 1):+.0f} %)".replace("-", "−") if whole and value != whole else ""

    rows = dict.fromkeys(ROWS, UNKNOWN)
    rows["Parameters"] = count(found.nonzero) + against(found.nonzero, dense.nonzero if dense else None)
    rows["MACs"] = count(found.macs) + against(found.macs, dense.macs if dense else None)
    if found.file_bytes:
        rows["File"] = size(found.file_bytes) + against(found.file_bytes, dense.file_bytes if dense else None)
    return rows


def _accuracy(found: Measured | None) -> str:
    if found is None:
        return UNKNOWN
    return (
        f"{percent(found.accuracy)} (95 %: {100 * found.low:.1f} – {100 * found.high:.1f}), n = {found.n:,}"
    )


def _time(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else f"{1e3 * seconds:.3g} ms"


def _speed(speed: Speed | None) -> str:
    if speed is None:
        return UNKNOWN
    if speed.ratio is None or speed.low is None or speed.high is None:
        return _time(speed.median)
    return f"{_time(speed.median)}, {speed.ratio:.2f}× (95 %: {speed.low:.2f} – {speed.high:.2f})"


def _measured(epoch: Epoch) -> Measured:
    from pruning.history import Measured

    return Measured(accuracy=epoch.accuracy, low=epoch.low, high=epoch.high, n=epoch.n)
