"""Bits of each layer: scans and edits beside the plain way, a copy with shared weights that is run whole.

Weights are shared by k-means; both ways take the time of sharing along. The scan measures each layer alone at
1 to 8 bits on all images; "differing" counts points whose accuracies are not equal. An edit gives one layer
other bits, the others staying as they are, as a drag does: its first figure is measured on one batch, the
final one on all images. Plain scan and edits are run in turns with ours; "ratio" is theirs over ours, the
median of edits. "Early" and "late" are edits of the first and of the last third of the layers.

    python benchmarks/bits.py [NETWORK ...] [--threads N] [--edits N]
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from statistics import median
from time import perf_counter

import torch
from _plain import accuracy
from torch import nn

from pruning.compress import Sharing, SharingEvaluator, bits_scan, shared
from pruning.compress.scan import ALL_BITS
from pruning.compress.weights import shared_weight
from pruning.evaluate import Batch, split_batches
from pruning.layers import find_layers
from pruning.models import load_model
from pruning.tasks import MissingData, Task, load_task

NETWORKS = {"digits-cnn": None, "digits-resnet": None, "digits-vit": None, "cifar10-resnet20": 1000}
THIRDS = ("early", "middle", "late")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--edits", type=int, default=24)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{options.threads} threads; seconds of scans, milliseconds (median) of edits.\n")
    print("| network | images | points | plain scan | scan | ratio | differing |\n" + "|---" * 7 + "|")
    lines = []
    for name in options.networks:
        loaded = load_model(name)
        try:
            task = load_task(loaded.task)
        except MissingData as error:
            print(f"| {name} | not measured: {error} |")
            continue
        layers = [one.name for one in find_layers(loaded.module, loaded.example_inputs) if one.prunable]
        print(scans(name, loaded.module, task, layers, NETWORKS.get(name)), flush=True)
        lines += edits(name, loaded.module, task, layers, options.edits)
    print("\n| network | images | layers | edits | first figure | final | plain | ratio | differing |")
    print("|---" * 9 + "|\n" + "\n".join(lines))


def scans(name: str, module: nn.Module, task: Task, layers: Sequence[str], limit: int | None) -> str:
    """A line of the first table."""
    n, batches = split_batches(task, "validation", limit=limit)
    known = tuple(batches)
    begin = perf_counter()
    plain = {
        (layer, bits): accuracy(shared(module, Sharing(bits={layer: bits})), known)
        for layer in layers
        for bits in ALL_BITS
    }
    between = perf_counter()
    points = tuple(bits_scan(module, task, layers, limit=limit))
    ours, theirs = perf_counter() - between, between - begin
    differing = sum(plain[point.layer, point.bits] != point.found.accuracy for point in points)
    counts = f"{n:,} | {len(points)} of {len(plain)}"
    return f"| {name} | {counts} | {theirs:.1f} | {ours:.1f} | {theirs / ours:.1f} | {differing} |"


def edits(name: str, module: nn.Module, task: Task, layers: Sequence[str], count: int) -> list[str]:
    """Lines of the second table."""
    n, batches = split_batches(task, "validation")
    known: tuple[Batch, ...] = tuple(batches)
    live, draw = SharingEvaluator(module, task), random.Random(0)
    bits = dict.fromkeys(layers, 4)
    weights = {layer: shared_weight(module, layer, Sharing(bits=bits)) for layer in layers}
    list(live.reports(weights))  # records the network
    found: list[tuple[str, float, float, float, bool]] = []
    for _ in range(count):
        layer = draw.choice(layers)
        bits[layer] = draw.choice([one for one in ALL_BITS if one != bits[layer]])
        begin = perf_counter()
        weights[layer] = shared_weight(module, layer, Sharing(bits={layer: bits[layer]}))
        steps = live.reports(weights)
        report = next(steps)
        first = perf_counter() - begin
        for report in steps:  # noqa: B007  # the last one counts
            pass
        final = perf_counter() - begin
        begin = perf_counter()
        theirs = accuracy(shared(module, Sharing(bits=bits)), known)
        plain, third = perf_counter() - begin, THIRDS[3 * layers.index(layer) // len(layers)]
        found.append((third, first, final, plain, theirs != report.accuracy))
    chosen = {"all": found, **{third: [one for one in found if one[0] == third] for third in THIRDS[::2]}}
    return [f"| {name} | {n:,} | {which} | {cells(some)} |" for which, some in chosen.items() if some]


def cells(found: Sequence[tuple[str, float, float, float, bool]]) -> str:
    first, final, plain = (f"{1e3 * median(one[k] for one in found):.0f}" for k in (1, 2, 3))
    ratio = median(one[3] / one[2] for one in found)
    return f"{len(found)} | {first} | {final} | {plain} | {ratio:.1f} | {sum(one[4] for one in found)}"


if __name__ == "__main__":
    main()
