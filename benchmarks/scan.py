"""Sensitivity scans beside the loop that other tools run: a copy and a full evaluation per layer and ratio.

Both scan the weights of every layer by magnitude at ratios 0.1 to 0.9, one after the other, each in a process
of its own, because ours changes how the allocator works; ours after a small scan to warm up, theirs after an
evaluation. Times are by the clock and, in brackets, by processor seconds, which other programs disturb less.
"Differing" counts accuracies that are not equal. Where the plain loop would take minutes it measures some of
the points, and its time is scaled up: the table says of how many.

The floor of a scan is the time of its multiplications alone: those of the layer that changes and of all that
come later, at the rate at which the network itself does its own, 256 images at once. Memory is the growth of
the process's largest size during the scan, above the network, the images and one evaluation.

An adaptive scan (+-1 point at 95 %, or a tenth of the loss; "strict": +-1 point everywhere) is held against
the exact scan of the same images.

    python benchmarks/scan.py [NETWORK ...] [--threads N] [--every N]
"""

from __future__ import annotations

import argparse
import copy
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter, process_time
from typing import TypeVar

import torch
from _plain import accuracy
from safetensors.torch import load_file
from torch import Tensor, nn

from pruning.evaluate import Batch, split_batches
from pruning.layers import find_layers
from pruning.models import load_model
from pruning.models.resnet import cifar_resnet
from pruning.sensitivity import Precise, Scan, Walk, iter_scan
from pruning.tasks import Task, load_task
from pruning.tasks.archive import data_dir

RATIOS = tuple(i / 10 for i in range(1, 10))
DIGITS = ("digits-mlp", "digits-cnn", "digits-resnet", "digits-mobilenet", "digits-vit")
CIFAR = ("cifar10-resnet20", "cifar10-resnet56")
BATCH = 256
PATIENCE_S = 100.0  # of the plain loop, unless --every says otherwise
Figures = dict[tuple[str, float], float]
T = TypeVar("T")


@dataclass
class Cost:
    """Seconds of one scan."""

    wall: float
    cpu: float

    def scaled(self, factor: float) -> Cost:
        return Cost(self.wall * factor, self.cpu * factor)


@dataclass
class Row:
    """What one network gave. `sampled` are the points that the plain loop measured."""

    network: str
    images: int
    points: int
    sampled: int
    differing: int
    dense: float
    suffixes: float  # scans of the whole network that the points amount to, counted in MACs
    memory: float
    plain: Cost
    exact: Cost
    adaptive: Cost
    strict: Cost
    inside: float
    inside_strict: float
    effort: float
    effort_strict: float


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    if options.child:
        print(json.dumps(asdict(run(options.networks[0], options.images, options.every))))
        return
    cifar = CIFAR if (data_dir() / "cifar10.npz").is_file() else ()
    wanted = [(name, options.images or 1000) for name in options.networks or [*DIGITS, *cifar]]
    if not options.networks and cifar:
        wanted.append(("cifar10-resnet20", 5000))
    print(
        f"{options.threads} threads. Times as fast as the plain loop: by the clock (by processor seconds).\n"
    )
    titles = "network, images, points, plain s, exact, differing, over its floor, more memory"
    titles += ", adaptive, images, inside, strict, images, inside"
    print("| " + titles.replace(", ", " | ") + " |\n" + "|---" * (titles.count(",") + 1) + "|")
    for name, images in wanted:
        command = [sys.executable, __file__, name, "--child", "--threads", str(options.threads)]
        command += ["--images", str(images), "--every", str(options.every)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{name}: {done.stderr}")
        print(line(json.loads(done.stdout)), flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--images", type=int, default=0, help="validation images; 1,000 if not given")
    parser.add_argument("--every", type=int, default=0, help="the plain loop measures every Nth point")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def line(found: dict) -> str:
    costs = {name: Cost(**found.pop(name)) for name in ("plain", "exact", "adaptive", "strict")}
    row = Row(**found, **costs)

    def times(cost: Cost) -> str:
        return f"{row.plain.wall / cost.wall:.1f} ({row.plain.cpu / cost.cpu:.1f})"

    cells = [
        row.network,
        f"{row.images:,}",
        str(row.points),
        f"{row.plain.wall:.1f}" + ("" if row.sampled == row.points else f" (by {row.sampled} points)"),
        times(row.exact),
        f"{row.differing} of {row.sampled}",
        f"{row.exact.wall / (row.suffixes * row.dense):.2f}",
        f"{row.memory:.0f} MiB",
        *(times(row.adaptive), f"{row.effort:.0%}", f"{row.inside:.1%}"),
        *(times(row.strict), f"{row.effort_strict:.0%}", f"{row.inside_strict:.1%}"),
    ]
    return "| " + " | ".join(cells) + " |"


def run(name: str, limit: int, every: int) -> Row:
    """All that a line of the table says."""
    module, task = network(name)
    n, batches = split_batches(task, "validation", batch_size=BATCH, limit=limit)
    known = tuple(batches)
    dense = min(timed(lambda: accuracy(module, known))[1].wall for _ in range(5))
    scanned(module, task, 8)  # to warm up
    before = peak()
    walk, exact = timed(lambda: scanned(module, task, limit))
    memory = peak() - before
    figures = {(point.key, point.ratio): point.accuracy for point in walk.points}
    fast, adaptive = timed(lambda: scanned(module, task, limit, Precise()))
    careful, strict = timed(lambda: scanned(module, task, limit, Precise(strict=True)))
    every = every or max(1, round(dense * len(figures) / PATIENCE_S))
    theirs, plain = plainly_apart(name, limit, list(figures)[::every])
    return Row(
        network=name,
        images=n,
        points=len(figures),
        sampled=len(theirs),
        differing=sum(figures[place] != found for place, found in theirs.items()),
        dense=dense,
        suffixes=suffixes(module, list(figures), known[0][0][:1]),
        memory=memory,
        plain=plain.scaled(len(figures) / len(theirs)),
        exact=exact,
        adaptive=adaptive,
        strict=strict,
        inside=share_inside(fast.scan(), figures),
        inside_strict=share_inside(careful.scan(), figures),
        effort=fast.images / fast.images_exact,
        effort_strict=careful.images / careful.images_exact,
    )


def network(name: str) -> tuple[nn.Module, Task]:
    """A built-in network, or ResNet-56 with the published weights that lie beside the data."""
    if name != "cifar10-resnet56":
        loaded = load_model(name)
        return loaded.module, load_task(loaded.task)
    module = cifar_resnet(56)
    tensors = load_file(Path(data_dir()) / "models" / "resnet56.safetensors")
    module.load_state_dict({renamed(key): value for key, value in tensors.items()})
    return module.eval(), load_task("cifar10")


def renamed(key: str) -> str:
    """From the names of the published weights to those of `pruning.models.resnet`."""
    for old, new in (("layer", "stages.stage"), ("bn", "norm"), ("linear", "head")):
        key = key.replace(old, new)
    first, _, rest = key.partition(".")
    return f"{first.rstrip('1')}.{rest}" if first in ("conv1", "norm1") else key


def scanned(module: nn.Module, task: Task, limit: int, precise: Precise | None = None) -> Walk:
    """A whole scan by this engine, from scoring to the last point."""
    walk = iter_scan(module, task, RATIOS, "weight", "l1", limit=limit, precise=precise)
    for _ in walk:
        pass
    return walk


def plainly_apart(name: str, limit: int, places: Sequence[tuple[str, float]]) -> tuple[Figures, Cost]:
    """What the plain loop finds and takes in a fresh process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(plainly, name, limit, places, torch.get_num_threads()).result()


def plainly(name: str, limit: int, places: Sequence[tuple[str, float]], threads: int) -> tuple[Figures, Cost]:
    """What the plain loop finds and takes in this process."""
    torch.set_num_threads(threads)
    module, task = network(name)
    known = tuple(split_batches(task, "validation", batch_size=BATCH, limit=limit)[1])
    accuracy(module, known)
    return timed(lambda: plain_scan(module, known, places))


def plain_scan(module: nn.Module, batches: Sequence[Batch], places: Sequence[tuple[str, float]]) -> Figures:
    """The loop of Distiller and of courses, on images that are in memory already."""
    found = {}
    for layer, ratio in places:
        pruned = copy.deepcopy(module)
        weight = pruned.get_parameter(f"{layer}.weight")
        with torch.no_grad():
            smallest = weight.abs().flatten().argsort(stable=True)[: round(ratio * weight.numel())]
            weight.view(-1)[smallest] = 0
        found[layer, ratio] = accuracy(pruned, batches)
    return found


def suffixes(module: nn.Module, places: Sequence[tuple[str, float]], x: Tensor) -> float:
    """MACs of all points' layers and of what comes later, over those of the network."""
    macs = {layer.name: layer.macs or 0 for layer in find_layers(module, (x,))}
    names, total = list(macs), sum(macs.values())
    return sum(sum(macs[name] for name in names[names.index(layer) :]) for layer, _ in places) / total


def share_inside(found: Scan, exact: Figures) -> float:
    """Of the points, whose interval contains the exact accuracy."""
    inside = [p.bounds[0] - 1e-9 <= exact[p.key, p.ratio] <= p.bounds[1] + 1e-9 for p in found.points]
    return sum(inside) / len(inside)


def peak() -> float:
    """Largest size of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def timed(work: Callable[[], T]) -> tuple[T, Cost]:
    wall, cpu = perf_counter(), process_time()
    result = work()
    return result, Cost(perf_counter() - wall, process_time() - cpu)


if __name__ == "__main__":
    main()
