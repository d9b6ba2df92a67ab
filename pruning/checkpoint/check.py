"""Load an exported file again and see whether it is the same network: run, not assumed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pruning.checkpoint.load import load_checkpoint
from pruning.checkpoint.process import run_fresh
from pruning.device import CPU, moved
from pruning.evaluate import Report, evaluating, measure, predicted

if TYPE_CHECKING:
    from pruning.tasks import Split


@dataclass(frozen=True)
class SelfCheck:
    """What came out of loading an exported file and running it beside the network that was exported.

    Args:
        n: images that both saw.
        same: images that both predict alike.
        identical: whether all outputs agree bit for bit.
        largest: the largest difference of any output.
        accuracy: of the loaded network on these images, in [0, 1].
        split: name of the split.
        fresh_process: whether the file was loaded by a Python process of its own.
        seconds: that it took.
    """

    n: int
    same: int
    identical: bool
    largest: float
    accuracy: float
    split: str
    fresh_process: bool
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every prediction was the same."""
        return self.n > 0 and self.same == self.n

    def __str__(self) -> str:
        where = "in a fresh Python process" if self.fresh_process else "again"
        what = "outputs identical bit for bit" if self.identical else f"outputs within {self.largest:.1g}"
        return (
            f"The file was loaded {where} and run on {self.n:,} {self.split} images: {self.same:,} of "
            f"{self.n:,} predictions the same, {what}."
        )


def self_check(
    source: Path | str | bytes,
    module: nn.Module,
    split: Split,
    *,
    batch_size: int = 256,
    limit: int | None = None,
    fresh_process: bool = False,
    dense: nn.Module | None = None,
) -> SelfCheck:
    """Load an exported file and compare its outputs with those of the network that was exported.

    Both run on the CPU, whichever device the network lies on: equal bits mean something there alone.

    Args:
        source: the file, or its bytes.
        module: the network that was saved.
        split: images to compare on.
        batch_size: images per forward.
        limit: only the first `limit` images.
        fresh_process: load and run the file in a new Python process, as its receiver will; needs a built-in
            architecture.
        dense: a module of the dense architecture, if it is not built in.
    Raises:
        ValueError: if the file does not load, or there is no image.
    """
    start = perf_counter()
    total = min(len(split), limit or len(split))
    if total < 1:
        raise ValueError("A self-check needs at least one image.")
    inputs, targets = _first(split, total, batch_size)
    expected = run(moved(module, CPU), inputs, batch_size)
    if fresh_process:
        found = _run_elsewhere(source, inputs, batch_size)
    else:
        found = run(load_checkpoint(source, dense, (inputs[:1],)).module, inputs, batch_size)
    same, identical, largest = _compare(found, expected)
    return SelfCheck(
        n=total,
        same=same,
        identical=identical,
        largest=largest,
        accuracy=float((predicted(found) == targets).double().mean()),
        split=split.name,
        fresh_process=fresh_process,
        seconds=perf_counter() - start,
    )


def check_batches(
    loaded: nn.Module, module: nn.Module, split: Split, *, batch_size: int = 256
) -> Iterator[tuple[Report, SelfCheck]]:
    """Evaluate a network that came out of a file beside the one that went in, in one pass over the images.

    Both run on the CPU, as in `self_check`.

    Args:
        loaded: of `load_checkpoint`.
        module: the network that was saved.
        split: images to run on, all of them.
        batch_size: images per forward.
    Returns:
        An iterator with one item a batch: the report on the loaded network and its comparison with the saved
        one, both on all images so far. A caller may stop at any of them.
    Raises:
        ValueError: if there is no image, or the outputs have different shapes.
    """
    if not len(split):
        raise ValueError("A self-check needs at least one image.")
    start, pair = perf_counter(), _Pair(moved(loaded, CPU), moved(module, CPU))
    for report in measure(pair, split.batches(batch_size), len(split), split.name):
        check = SelfCheck(
            n=report.n,
            same=pair.same,
            identical=pair.identical,
            largest=pair.largest,
            accuracy=report.accuracy,
            split=split.name,
            fresh_process=False,
            seconds=perf_counter() - start,
        )
        yield report, check


class _Pair(nn.Module):
    """Two networks that should answer alike: answers as the first, and counts where the second differs."""

    def __init__(self, loaded: nn.Module, saved: nn.Module) -> None:
        super().__init__()
        self.loaded, self.saved = loaded, saved
        self.same, self.identical, self.largest = 0, True, 0.0

    def forward(self, x: Tensor) -> Tensor:
        found, expected = self.loaded(x), self.saved(x)
        same, identical, largest = _compare(found, expected)
        self.same += same
        self.identical &= identical
        self.largest = max(self.largest, largest)
        return found


def _compare(found: Tensor, expected: Tensor) -> tuple[int, bool, float]:
    """How many predictions are the same, whether all outputs are, and the largest difference of any."""
    if found.shape != expected.shape:
        raise ValueError(
            f"The loaded network gives outputs of shape {tuple(found.shape)}, not {tuple(expected.shape)}."
        )
    same = int((predicted(found) == predicted(expected)).sum())
    return same, torch.equal(found, expected), float((found.double() - expected.double()).abs().max())


def run(module: nn.Module, inputs: Tensor, batch_size: int) -> Tensor:
    """Outputs of a network in eval mode; the module is left as it was.

    Args:
        inputs: (n, C, H, W).
    Returns:
        (n, classes).
    """
    with evaluating(module), torch.no_grad():
        return torch.cat([module(batch) for batch in inputs.split(batch_size)])


def _first(split: Split, total: int, batch_size: int) -> tuple[Tensor, Tensor]:
    inputs: list[Tensor] = []
    seen = 0
    for x, _ in split.batches(batch_size):
        inputs.append(x[: total - seen])
        seen += len(inputs[-1])
        if seen == total:
            break
    return torch.cat(inputs), split.targets[:total]


def _run_elsewhere(source: Path | str | bytes, inputs: Tensor, batch_size: int) -> Tensor:
    """The outputs that a new Python process gets from the file."""
    from safetensors.torch import load_file, save_file

    with tempfile.TemporaryDirectory(prefix="pruning-check-") as folder:
        file = Path(folder) / "exported"
        file.write_bytes(source if isinstance(source, bytes) else Path(source).read_bytes())
        save_file({"inputs": inputs.contiguous()}, Path(folder) / "inputs.safetensors")
        run_fresh("pruning.checkpoint.fresh", folder, str(batch_size), str(torch.get_num_threads()))
        return load_file(Path(folder) / "outputs.safetensors")["outputs"]
