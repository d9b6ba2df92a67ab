"""What is said of a point of a sensitivity scan."""

from __future__ import annotations

from collections.abc import Callable

from pruning import Scan, ScanPoint


def point(scan: Scan, point: ScanPoint) -> str:
    """For hovering: what was pruned, what is known of it, and how."""
    pruned = f"pruned {percent(point.ratio)}: {point.kept:,} of {point.size:,} kept"
    lines = [pruned, *known(point, scan.n)]
    if point.invalid:
        lines.append(f"{point.invalid:,} images gave NaN and count as wrong")
    return "<br>".join(lines)


def known(point: ScanPoint, n: int, at: Callable[[float], str] | None = None) -> tuple[str, str]:
    """The accuracy with its bounds, and how that is known.

    Args:
        n: images of the scan.
        at: says a ratio; in percent if None.
    """
    low, high = (100 * bound for bound in point.bounds)
    accuracy = f"accuracy {100 * point.accuracy:.1f} %"
    if point.how == "beyond":
        return f"accuracy below {high:.1f} %", "not measured: inferred from the collapse before it"
    if point.how == "between":
        ratios = point.sample.neighbours if point.sample else None
        near = " and ".join(map(at or _pruned, ratios or ()))
        return (
            f"{accuracy} ({low:.1f} to {high:.1f})",
            f"not measured: inferred from nearly the same at {near}",
        )
    if point.how == "partly":
        images = f"measured on {point.sample.n if point.sample else n:,} of {n:,} images"
        return f"{accuracy} ({low:.1f} to {high:.1f})", images if point.settled else f"{images} so far"
    low, high = (100 * bound for bound in point.interval)
    loss = "not finite" if point.loss is None else f"{point.loss:.3f} nats"
    return f"{accuracy}, loss {loss}", f"all {n:,} images (on other such images {low:.1f} to {high:.1f})"


def cell(scan: Scan, point: ScanPoint) -> str:
    """The change of accuracy in points; of a collapse that nobody measured only that it is one."""
    return "lost" if point.how == "beyond" else signed(100 * (point.accuracy - scan.dense.accuracy))


def images(scan: Scan) -> str:
    """What the accuracies are about."""
    if scan.precise is None:
        return f"{scan.n:,} {scan.split} images"
    return f"{scan.n:,} images, ±{points(scan.precise.points)}"


def points(number: float) -> str:
    """A number of percentage points."""
    return f"{number:g} point{'s' * (number != 1)}"


def percent(ratio: float) -> str:
    """A share in percent."""
    return f"{100 * ratio:g} %"


def _pruned(ratio: float) -> str:
    return percent(ratio) if ratio else "nothing pruned"


def signed(value: float) -> str:
    """With its sign, and a true minus."""
    return "0" if abs(value) < 0.05 else f"{value:+.1f}".replace("-", "−")
