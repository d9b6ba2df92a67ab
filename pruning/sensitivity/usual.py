"""How precisely a scan is to know its points, unless somebody decides."""

from __future__ import annotations

from pruning.recipe import Granularity
from pruning.sensitivity.adaptive import Precise

FEW = 500  # images up to which an exact scan is as quick as an adaptive one
# How many times as fast adaptive scans are, by processor seconds: of single weights (benchmarks/RESULTS.md)
# 0.3 to 1.5 with 360 images, 2.2 with 1,000, 4.5 with 5,000. Of channels, whose accuracies change more, 0.9
# with 360 images and 1.0 with 500, where it evaluates 77 % of those of an exact scan; 63 % with 1,000
# (cifar10-resnet20).


def usual_precision(images: int, granularity: Granularity) -> Precise | None:
    """Whether a scan measures exactly or adaptively, where nobody has chosen.

    An adaptive scan evaluates fewer images, but in small pieces, and its points have an interval instead of a
    loss. That pays only where there are many images, and never for whole layers, of which there are few.

    Args:
        images: that the accuracies are about.
        granularity: of the scan.
    Returns:
        For `iter_scan`: None, each point on all images, up to `FEW` images and for layers; else ±1 point.
    """
    return None if images <= FEW or granularity == "layer" else Precise()
