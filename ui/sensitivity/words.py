"""What is said of a scan: how far it came, what its accuracies are about, what it took."""

from __future__ import annotations

from pruning import Scan
from pruning.sensitivity import FEW, Precise
from ui.figures.scan_words import points
from ui.jobs import Job
from ui.sensitivity import status


def far(scan: Scan | None, job: Job) -> str:
    """How far a scan under way came: what is known, what is open, and the images that took."""
    if scan is None or scan.mode == "exact":
        return status.points(job)
    total, known = len(scan.keys) * len(scan.ratios), sum(point.settled for point in scan.points)
    return f"{known:,} of {total:,} points known, {total - known:,} open; {effort(scan)}"


def mode(precise: Precise | None) -> str:
    """How a scan is to be measured."""
    return "exact" if precise is None else f"adaptive, to ±{points(precise.points)}"


def effort(scan: Scan) -> str:
    """Images evaluated, and the share of those that an exact scan takes."""
    images, exact = scan.effort
    return f"{images:,} images evaluated, {100 * images / max(1, exact):.0f} % of what exact takes"


def known(scan: Scan) -> str:
    """What the points of a complete scan are about, and what they took."""
    count = f"{len(scan.points):,} points"
    if scan.precise is None:
        few = f" (exact, as usual up to {FEW})" if scan.n <= FEW else ""
        one = f"one image is {points(float(f'{100 / scan.n:.2g}'))}"
        return f"Measured: {count}, each on {scan.n:,} validation images{few}; {one}"
    inferred = sum(point.how in ("between", "beyond") for point in scan.points)
    said = (
        f"{len(scan.points) - inferred:,} measured and {inferred:,} inferred" if inferred else "all measured"
    )
    rest = "" if scan.precise.strict else " or a tenth of the loss"
    return (
        f"Known: {count} for {scan.n:,} validation images, to ±{points(scan.precise.points)}{rest}, {said}; "
        f"{effort(scan)}"
    )


def invalid(scan: Scan) -> str:
    """A sentence on outputs that are no numbers; empty if there are none."""
    broken = sum(point.invalid > 0 for point in scan.points)
    if not broken:
        return ""
    return f" At {broken:,} point{'s' * (broken > 1)} some images give NaN; they count as wrong."


def slower(scan: Scan) -> str:
    """A sentence on a network that no recording can stand for; empty if one can."""
    if not scan.slower:
        return ""
    return (
        f" Pruned networks were run from the last module that they leave unchanged, not from single "
        f"operations, because {scan.slower}: slower, with the same accuracies."
    )


def ratios(scan: Scan) -> str:
    """Which ratios were scanned."""
    shown = [f"{100 * ratio:g}" for ratio in scan.ratios]
    return f"{', '.join(shown)} %" if len(shown) < 6 else f"{len(shown)} ratios, {shown[0]} to {shown[-1]} %"
