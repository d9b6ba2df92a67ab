"""What it takes to look at the weights of a network of a hundred million parameters.

    python benchmarks/weights.py

Each row is measured in a process of its own: seconds, and how far the memory in use rose above the network
that was there before, as a multiple of the network's bytes (peak resident memory, reset before each row).
Beside it stands the plain way: all weights joined, numpy's histogram and quantiles of float64 copies, a sort
for every threshold. Targets: histograms within 5 s and 1.5 times the network; a threshold in the same time
for any number of scores.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from pruning import weights  # noqa: E402

Values = dict[str, Tensor]
BINS = 100
QUERIES = 1000
STATUS = Path("/proc/self/status")


def network() -> Values:
    """Five large linear layers, 22 convolutions and 86 small ones: a hundred million weights."""
    torch.manual_seed(0)
    layers = nn.ModuleDict(
        {f"linear{i}": nn.Linear(4096, 4096) for i in range(5)}
        | {f"conv{i}": nn.Conv2d(256, 256, 3) for i in range(22)}
        | {f"small{i}": nn.Conv2d(64, 64, 3) for i in range(86)}
    )
    return {name: layer.weight.detach() for name, layer in layers.items()}


def our_ridgeline(values: Values) -> Any:
    return weights.ridgeline(values, BINS)


def plain_ridgeline(values: Values) -> Any:
    limit = np.quantile(np.abs(torch.cat([v.flatten() for v in values.values()]).double().numpy()), 0.999)
    return [
        np.histogram(np.clip(v.double().numpy(), -limit, limit), BINS, (-limit, limit))
        for v in values.values()
    ]


def our_summaries(values: Values) -> Any:
    return [weights.summarise(value) for value in values.values()]


def plain_summaries(values: Values) -> Any:
    found = []
    for value in values.values():
        flat = value.double().numpy().ravel()
        z = (flat - flat.mean()) / flat.std()
        quantiles = np.quantile(flat, weights.PROBABILITIES)
        found.append((flat.std(), (z**4).mean(), (flat == 0).mean(), quantiles))
    return found


def our_layer(values: Values) -> Any:
    """The rest of the page for its largest layer."""
    value = values["linear0"]
    order = weights.SortedScores(value.abs(), reuse=True)
    found = order.compact(60), order.threshold_at(0.5), weights.channel_norms(value), weights.matrix(value)
    return weights.histogram(value, BINS), found


def plain_layer(values: Values) -> Any:
    value = values["linear0"].double().numpy()
    magnitude = np.sort(np.abs(value).ravel())
    bars = np.histogram(magnitude, 60), np.histogram(value, BINS)
    blocks = value.reshape(256, 16, 256, 16).transpose(0, 2, 1, 3).reshape(256, 256, 256)
    strongest = np.take_along_axis(blocks, np.abs(blocks).argmax(2)[..., None], 2)
    return bars, magnitude[len(magnitude) // 2], np.linalg.norm(value, axis=1), strongest


ROWS: dict[str, tuple[Callable[[Values], Any], Callable[[Values], Any]]] = {
    "histograms of all layers on one scale": (our_ridgeline, plain_ridgeline),
    "moments, zeros, quantiles of all layers": (our_summaries, plain_summaries),
    "largest layer: scores, norms, picture": (our_layer, plain_layer),
}


def measure(row: str, side: int) -> dict[str, float]:
    """Seconds and peak extra memory of one way, in this process."""
    values = network()
    model = 4 * sum(value.numel() for value in values.values())
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts again from here
    before = memory("VmRSS")
    begin = time.perf_counter()
    ROWS[row][side](values)
    seconds = time.perf_counter() - begin
    return {"seconds": seconds, "extra": (memory("VmHWM") - before) / model, "model": model / 2**20}


def memory(name: str) -> int:
    """Bytes of this process that are (VmRSS) or at most were (VmHWM) in memory."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def in_a_process(*arguments: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, *arguments], check=True, capture_output=True, text=True, cwd=ROOT
    )
    return json.loads(done.stdout)


def thresholds() -> dict[int, tuple[float, float, float]]:
    """Number of scores -> seconds to sort them once, for one look-up, and for one plain sort per query."""
    found = {}
    for count in (10**4, 10**6, 10**8):
        scores = torch.rand(count, generator=torch.Generator().manual_seed(0))
        begin = time.perf_counter()
        plain = np.sort(scores.numpy())[count // 3]
        one_sort = time.perf_counter() - begin
        begin = time.perf_counter()
        order = weights.SortedScores(scores, reuse=True)
        once = time.perf_counter() - begin
        times = []
        for ratio in np.random.default_rng(0).random(QUERIES).tolist():
            begin = time.perf_counter()
            order.threshold_at(ratio)
            times.append(time.perf_counter() - begin)
        assert order.ordered[count // 3] == plain
        found[count] = once, median(times), one_sort
    return found


def main() -> int:
    if len(sys.argv) > 1:
        name, side = sys.argv[1:]
        if name == "thresholds":
            print(json.dumps(thresholds()))
        else:
            print(json.dumps(measure(name, int(side))))
        return 0
    if not STATUS.is_file():
        print("Peak memory is read from /proc, which this system does not have.", file=sys.stderr)
        return 2
    print(f"{sum(v.numel() for v in network().values()):,} weights in float32, {len(network())} layers")
    lines = ["| | ours, s | plain, s | ours, extra memory | plain, extra memory |", "|---|---|---|---|---|"]
    for row in ROWS:
        ours, plain = (in_a_process(row, str(side)) for side in (0, 1))
        times = f"{ours['seconds']:.2f} | {plain['seconds']:.2f}"
        lines.append(f"| {row} | {times} | {ours['extra']:.3f} x | {plain['extra']:.2f} x |")
    lines += ["", "| scores | sort once, s | one threshold then, µs | plain, s |", "|---|---|---|---|"]
    for count, (once, query, plain_sort) in in_a_process("thresholds", "0").items():  # type: ignore[misc]
        lines.append(f"| {int(count):,} | {once:.4f} | {1e6 * query:.1f} | {plain_sort:.4f} |")
    print("\n".join(lines))
    print(f"other work on this machine: load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return 0


if __name__ == "__main__":
    sys.exit(main())
