"""Which precision a scan has that nobody chose one for."""

from __future__ import annotations

import pytest

from pruning.sensitivity import FEW, Precise, usual_precision


@pytest.mark.parametrize(
    ("images", "granularity", "precise"),
    [
        (360, "channel", None),
        (FEW, "weight", None),
        (FEW + 1, "weight", Precise()),
        (5000, "channel", Precise()),
        (5000, "layer", None),
    ],
)
def test_few_images_and_whole_layers_are_measured_exactly(
    images: int, granularity: str, precise: Precise | None
) -> None:
    assert usual_precision(images, granularity) == precise
