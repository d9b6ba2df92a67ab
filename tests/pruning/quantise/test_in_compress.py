"""Quantisation inside the pipeline: training begins with weights as they were before they were rounded."""

import pytest

import pruning
from pruning.compress import Compression, Sharing, compress
from pruning.recover import Fit, Pruning, Recovery

NAME, LAYER = "digits-mlp", "hidden.fc2"
STILL = Recovery(pruning=Pruning(prune=0, recover=1), fit=Fit(lr=1e-9))


def test_what_is_clipped_is_clipped_once() -> None:
    loaded = pruning.load_model(NAME)
    share = Sharing(method="clip-q", bits={LAYER: 4}, clip=0.5)
    found = compress(
        loaded.module,
        pruning.load_task("digits"),
        Compression(share=share, tune=STILL),
        example_inputs=loaded.example_inputs,
    )
    weight = found.module.get_submodule(LAYER).weight
    assert (weight == 0).float().mean() == pytest.approx(0.5, abs=0.01)  # not 0.75
    assert found.stages[1].report.accuracy == found.stages[2].report.accuracy
