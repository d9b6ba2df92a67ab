"""The figures at the top of the Prune page, as HTML: cards of fixed size whose numbers change in place.

Pure: numbers in, text out. Every text that is not our own is escaped; layer names never come here.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from pruning import Memory, Report, Timing
from pruning.evaluate import Interval, paired_difference
from pruning.latency import FEWEST
from ui.figures.words import percent
from ui.prune.facts import Facts
from ui.shell import size

_KEEPS = (
    "An edit is measured from the first operation on that it changes; what comes before is kept in memory "
    "for that, at most {} (PRUNING_ACTIVATIONS_MB)."
)
TERMS = {
    "Parameters": "Trainable values of the network. Exact, from the counts on the board.",
    "MACs": "Multiply-accumulates for one image: one MAC is one multiplication and one addition. Exact. "
    "Fewer MACs are a theoretical speedup; the latency card shows the measured one.",
    "Sparsity": "Share of the remaining parameters that are zero. Exact.",
    "File size": "Bytes of the .safetensors file that Export writes, header included. Exact.",
    "Accuracy": "Share of validation images that are classified right. Orange: the pruned network with its "
    "95 % Wilson interval (Wilson 1927); green line: the dense one. Below: their difference on the same "
    "images, with its 95 % interval for pairs (Newcombe 1998). Test images are kept for Export.",
    "Predicted": "Dense accuracy minus the losses that the sensitivity scan measured for each row alone. It "
    "assumes that these losses add up, which holds while they are small; no image is evaluated.",
    "Latency": "Measured time of one forward pass, the pruned and the dense network in turns, so that a busy "
    "machine slows down both. The ratio is the median over the turns, with its 95 % interval (sign test).",
    "Peak memory": "What an eager forward needs at its most hungry moment: parameters, input and all results "
    "alive at once, counted exactly; what an operation takes for itself and gives back is not seen.",
}
SCALES = (0.9, 0.8, 0.6, 0.4, 0.0)  # where the accuracy strip may begin


def exact(facts: Facts) -> str:
    """The four cards that arithmetic fills: parameters, MACs, sparsity, file size."""
    dense, pruned = facts.dense, facts.pruned
    form = "In the compact form, which stores only weights that are not zero." if facts.masked else ""
    after = facts.dense_bytes if facts.untouched else facts.bytes
    zeros = dense.parameters - pruned.nonzero if facts.masked else 0
    zeros_out = "Zeros are not counted." if facts.masked else ""
    return _grid(
        _reduction("Parameters", pruned.nonzero, dense.parameters, _count, zeros_out),
        _reduction("MACs", pruned.macs, dense.macs, _count),
        _card(
            "Sparsity",
            "exact",
            _percent(pruned.sparsity),
            "of what is left",
            _bar(1 - pruned.sparsity),
            f"{zeros:,} zeros" if zeros else "no zeros",
        ),
        _reduction("File size", after, facts.dense_bytes, size, form),
    )


def accuracy(
    facts: Facts,
    report: Report | None,
    dense: Report | None,
    waiting: str = "",
    kept: tuple[int, int] | None = None,
) -> str:
    """The accuracy card: measured as far as it has come, beside what the scan predicts.

    Args:
        report: of the pruned network so far; with `waiting` the last one, of another recipe.
        dense: of the dense network.
        waiting: what is going on until there is a report of this recipe.
        kept: bytes of activations kept for the next edit, and how many there may be.
    """
    bounds = _strip_bounds(report, dense, facts.predicted)
    n = report.n if report and not waiting else 0
    phase = "px-stale" if waiting else "" if report and report.complete else "px-refining"
    return _grid(
        _card(
            "Accuracy",
            escape(waiting) if waiting else _measured_on(report, kept),
            _percent(report.accuracy) if report else "–",
            _interval(report.interval) if report else "",
            _strip(report, dense, facts.predicted, bounds),
            _against_dense(report, dense),
            aside=_prediction(facts),
            cls=f"px-accuracy {phase}",
            tip=_KEEPS.format(size(kept[1])) if kept else "",
            data=f'data-for="{facts.recipe.digest}" data-n="{n}"',
        )
    )


def no_accuracy(facts: Facts, why: str) -> str:
    """The accuracy card where nothing can be measured; the prediction of a stored scan is still there."""
    card = _card(
        "Accuracy",
        "not measured",
        "–",
        "",
        "",
        escape(why),
        aside=_prediction(facts),
        cls="px-accuracy px-words",
    )
    return _grid(card)


def latency(
    timing: Timing | None,
    waiting: str = "",
    images: str = "",
    peaks: tuple[Memory, Memory] | None = None,
) -> str:
    """The latency card.

    Args:
        timing: of the pruned network in turns with the dense one, or of the dense one alone.
        waiting: shown while there is no timing, or why there will be none.
        images: the shape of one input, in words.
        peaks: peak memory of the dense and of the pruned network.
    """
    if timing is None:
        return _grid(_card("Latency", "", "–", "", "", escape(waiting), cls="px-latency px-words"))
    dense, interval = timing.baseline, timing.ratio_interval
    unclear = interval is not None and interval[0] <= 1 <= interval[1]
    word = "cannot tell" if unclear else "noisy" if "noisy" in timing.warning else "measured"
    turns = f"{timing.n:,} turn{'s' * (timing.n != 1)}"
    badge = f'<span class="px-{"doubt" if word != "measured" else "sure"}">{word}</span>, {turns}'
    tip = f"{_conditions(timing, images)} {timing.warning}"
    if dense is None or interval is None:
        return _grid(
            _card(
                "Latency",
                badge,
                _milliseconds(timing.median),
                f"quartiles {_quartiles(timing)}",
                _spans(timing),
                "nothing is pruned yet: the dense network alone",
                cls="px-latency",
                tip=tip,
                aside=_peak(peaks),
            )
        )
    enough = timing.n >= FEWEST
    note = (
        f"{_quartiles(timing, median=True)} · dense {_quartiles(dense, median=True, wide=True)} ms"
        if max(timing.median, dense.median) < 0.1
        else f"{_milliseconds(timing.median)} · dense {_milliseconds(dense.median)}"
    )
    tip += f" Quartiles in ms: pruned {_quartiles(timing)}, dense {_quartiles(dense)}."
    return _grid(
        _card(
            "Latency",
            badge,
            _speedup(timing),
            f"95 %: {interval[0]:.2f} – {interval[1]:.2f}×" if enough else "too few for an interval",
            _spans(timing, dense),
            note,
            cls="px-latency",
            tip=tip,
            aside=_peak(peaks),
        )
    )


def _conditions(timing: Timing, images: str) -> str:
    """How it was measured, in sentences."""
    said = f"{timing.n} turns, {timing.way}; one image is {images}."
    if timing.left_out:
        said += f" {timing.left_out} more were left out: another process took the processor meanwhile."
    if timing.way != "eager":
        said += f" Preparing both networks took {timing.preparation:.1f} s, which is no part of the times."
    return said


def _speedup(timing: Timing) -> str:
    """The ratio and what may be said of it; no number where too few turns fitted into the time."""
    low, high = timing.ratio_interval or (0.0, 0.0)
    if timing.n < FEWEST:
        return "– <small>too few turns</small>"
    said = "faster" if low > 1 else "slower" if high < 1 else "unclear"
    return f"{timing.ratio:.2f}× <small>{said}</small>"


def _quartiles(timing: Timing, *, median: bool = False, wide: bool = False) -> str:
    """Quartiles in milliseconds, after the median if wanted; `wide` hides them where there is little room."""
    digits = 2 if timing.median > 1e-3 else 3 if timing.median > 1e-4 else 4
    middle, low, high = (f"{1e3 * value:.{digits}f}" for value in (timing.median, timing.q1, timing.q3))
    if not median:
        return f"{low} – {high} ms"
    spread = f" ({low}–{high})"
    return f"{middle}<span class=px-wide>{spread}</span>" if wide else middle + spread


def _spans(timing: Timing, dense: Timing | None = None) -> str:
    """The middle half of the times of both networks on one scale from 0, with their medians."""
    both = [("px-pruned", timing), ("px-whole", dense)] if dense else [("px-whole", timing)]
    end = 1.05 * max(each.q3 for _, each in both if each)
    rows = "".join(
        f'<div class="{cls}"><i style="width:{100 * each.median / end:.2f}%"></i>'
        f'<b style="left:{100 * each.q1 / end:.2f}%;right:{100 - 100 * each.q3 / end:.2f}%"></b></div>'
        for cls, each in both
        if each
    )
    return f'<div class="px-times">{rows}</div>'


def _peak(peaks: tuple[Memory, Memory] | None) -> str:
    if peaks is None:
        return ""
    dense, pruned = peaks
    term = (
        f"{TERMS['Peak memory']} Pruned: {pruned.peak:,} bytes, of which {pruned.activations:,} activations; "
        f"dense: {dense.peak:,} and {dense.activations:,}. Batch {pruned.batch_size}."
    )
    return (
        f'<div class="px-aside"><div class="px-peak">{size(pruned.peak)}</div><div class="px-under">'
        f'<span class="px-tip" tabindex="0" data-tip="{escape(term)}">peak</span>'
        + (f", of {size(dense.peak)}" if dense.peak != pruned.peak else "")
        + "</div></div>"
    )


def _reduction(name: str, after: int, before: int, show: Callable[[float], str], tip: str = "") -> str:
    share = after / before if before else 1.0
    change = f"<b>{_signed(100 * (share - 1))} %</b>" if after != before else "unchanged"
    factor = f" · {before / after:.2f}×" if 0 < after < before else ""
    tip = f"Now {after:,} of {before:,}. {tip}"
    return _card(name, "exact", show(after), f"of {show(before)}", _bar(share), change + factor, tip=tip)


def _card(
    name: str,
    badge: str,
    value: str,
    under: str,
    picture: str,
    note: str,
    *,
    aside: str = "",
    cls: str = "",
    tip: str = "",
    data: str = "",
) -> str:
    """One card: name with its explanation, badge on how the figure came about, value, picture, note."""
    explained = escape(f"{TERMS[name]} {tip}".strip())
    return (
        f'<div class="px-card {cls}" {data}><div class="px-name"><span class="px-tip" tabindex="0" '
        f'data-tip="{explained}">{name}</span><em>{badge}</em></div>'
        f'<div class="px-row"><div class="px-main"><div class="px-value">{value}</div>'
        f'<div class="px-under">{under or "&nbsp;"}</div></div>{aside}</div>'
        f'{picture}<div class="px-note">{note or "&nbsp;"}</div></div>'
    )


def _grid(*cards: str) -> str:
    return f'<div class="px-grid px-{len(cards)}">{"".join(cards)}</div>'


def _bar(share: float | None) -> str:
    """What is left of the dense network, as a bar."""
    width = 0.0 if share is None else 100 * min(max(share, 0.0), 1.0)
    return f'<div class="px-bar"><i style="width:{width:.2f}%"></i></div>'


def _measured_on(report: Report | None, kept: tuple[int, int] | None = None) -> str:
    if report is None:
        return ""
    if report.complete and kept and kept[0]:  # the tip says of which images
        return f"measured on {report.n:,} images · {size(kept[0])} kept{_invalid(report)}"
    if not report.complete:
        return f"measured on {report.n:,} of {report.total:,} images{_invalid(report)}"
    return f"measured on {report.n:,} {escape(report.split)} images{_invalid(report)}"


def _invalid(report: Report) -> str:
    """Said where outputs are not numbers, so that a low accuracy is not taken for a mere loss."""
    return f"; {report.invalid:,} gave NaN and count as wrong" if report.invalid else ""


def _prediction(facts: Facts) -> str:
    if facts.scan is None:
        return ""
    shown = "–" if facts.predicted is None else _percent(facts.predicted)
    precise = facts.scan.precise
    sure = f", each accuracy known to ±{precise.points:g} points or a tenth of the loss" if precise else ""
    term = f"{TERMS['Predicted']} The scan is about {facts.scan.n:,} images{sure}."
    return (
        f'<div class="px-aside"><div class="px-second">{shown}</div><div class="px-under">'
        f'<span class="px-tip" tabindex="0" data-tip="{escape(term)}">predicted</span>, '
        f"n = {facts.scan.n:,}</div></div>"
    )


def _against_dense(report: Report | None, dense: Report | None) -> str:
    if dense is None:
        return ""
    whole = f"dense {_percent(dense.accuracy)}" + ("" if dense.complete else " so far")
    if report is None:
        return f"{whole} (95 %: {_range(dense.interval)})"
    if report is dense:
        return "nothing is pruned yet: this is the dense network"
    difference = paired_difference(dense, report)
    if not (difference.gained or difference.lost):
        return "<b>±0 pt</b>: the same images right as the dense network"
    low, high = difference.interval
    return (
        f"<b>{_points(difference.value)} pt</b> (95 %: {_points(low)} to {_points(high)}) · {whole}"
        f'<span class="px-wide"> · {difference.lost} lost, {difference.gained} gained</span>'
    )


def _strip_bounds(report: Report | None, dense: Report | None, predicted: float | None) -> float:
    lowest = [report.interval[0]] if report else []
    lowest += [dense.interval[0]] if dense else []
    lowest += [predicted] if predicted is not None else []
    floor = min(lowest, default=1.0)
    return next(scale for scale in SCALES if scale <= floor or scale == 0.0)


def _strip(report: Report | None, dense: Report | None, predicted: float | None, start: float) -> str:
    """A line from `start` to 100 %: dense, predicted, and the measured accuracy with its interval."""

    def at(value: float) -> str:
        return f"{100 * min(1.0, max(0.0, (value - start) / (1 - start))):.2f}%"

    marks = ""
    if dense:
        marks += f'<i class="px-dense" style="left:{at(dense.accuracy)}"></i>'
    if predicted is not None:
        marks += f'<i class="px-predicted" style="left:{at(predicted)}"></i>'
    if report:
        low, high = report.interval
        marks += f'<i class="px-span" style="left:{at(low)};right:calc(100% - {at(high)})"></i>'
        marks += f'<i class="px-dot" style="left:{at(report.accuracy)}"></i>'
    low_end, high_end = percent(start, 0), percent(1, 0)
    return f'<div class="px-strip"><span>{low_end}</span><div>{marks}</div><span>{high_end}</span></div>'


def _interval(interval: Interval) -> str:
    return f"95 %: {_range(interval)}"


def _range(interval: Interval) -> str:
    return f"{100 * interval[0]:.1f} – {100 * interval[1]:.1f} %"


def _points(value: float) -> str:
    return _signed(100 * value)


def _signed(value: float) -> str:
    return f"{'−' if value < 0 else '+'}{abs(value):.1f}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _count(number: float) -> str:
    return f"{number:,.0f}" if number < 1e6 else f"{number / 1e6:.3f} M"


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.2f} ms" if seconds < 0.1 else f"{1e3 * seconds:.0f} ms"
