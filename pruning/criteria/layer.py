"""Criteria for whole layers: how much one changes what passes through it."""

from __future__ import annotations

import torch

from pruning.criteria.base import Criterion, register

register(
    Criterion(
        name="influence",
        label="Block influence",
        description=(
            "A layer that hardly turns what passes through it can be left out. Score: 1 - cosine between its "
            "input and its output, mean over the positions (pixels or tokens) of calibration samples; 0 "
            "means that nothing but the length changes. The score of a layer is measured with all others in "
            "place, so it says little about dropping many at once."
        ),
        source="Men et al. 2024 (ShortGPT), arXiv:2403.03853",
        needs=frozenset({"blocks"}),
        layers=lambda view: torch.tensor([view.change().influence]),
        comparable=True,
    )
)

register(
    Criterion(
        name="relative",
        label="Relative size of the change",
        description=(
            "A layer that adds little to what passes through it can be left out. Score: L2 norm of the "
            "difference between its output and its input as a share of that of its output, over all "
            "positions of calibration samples. Unlike block influence it also counts a change of length."
        ),
        source="Samragh et al. 2023, arXiv:2312.09299",
        needs=frozenset({"blocks"}),
        layers=lambda view: torch.tensor([view.change().relative]),
        comparable=True,
    )
)
