"""Whether recorded operations answer like the network that they were recorded from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pruning.device import rounding
from pruning.evaluate import evaluating
from pruning.replay.program import Program
from pruning.replay.steps import NotReplayable

_ALIKE = 1e-4  # of the largest output; the same numbers in another order of sums differ far less
_IMAGES = 32


@torch.inference_mode()
def check_answers(program: Program, module: nn.Module, batches: Sequence[Tensor]) -> None:
    """Run images through the network and through its operations.

    Raises:
        NotReplayable: if the answers differ by more than rounding, or the operations do not run.
    """
    for x in (batch[:_IMAGES] for batch in batches):
        with evaluating(module):
            expected = module(x)
        try:
            got = program.run(program.begin(x), len(x))[program.output]
        except (RuntimeError, IndexError, TypeError) as error:
            raise NotReplayable("its operations do not run again") from error
        close = expected.shape == got.shape and torch.allclose(
            expected,
            got,
            rtol=0,
            atol=rounding(x.device, _ALIKE) * float(expected.nan_to_num(0, 0, 0).abs().max()),
            equal_nan=True,
        )
        if not close:
            raise NotReplayable("its operations answer otherwise than the network")
