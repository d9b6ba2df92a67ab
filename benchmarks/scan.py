"""Sensitivity scans beside the loop that other tools run: one deep copy and one full evaluation per layer and ratio.

Both scan the weights of every layer by magnitude at ratios 0.1 to 0.9, in one run, one after the other: seconds,
and processor seconds, which other programs on the machine disturb less. "Differing" counts the accuracies that
are not equal. The floor of a scan is the time of its multiplications alone: those behind each change, at the rate
at which the network itself, as it is and 256 images at once, does its own. Memory is the growth of the process's
largest size during the scan, above the network, the images and one evaluation.

An adaptive scan (+-1 point at 95 %) is held against the exact scan of the same images; where the plain loop would
take too long, it measures every fourth point, and its time is scaled up, which the table says.

    python benchmarks/scan.py [NETWORK ...] [--threads N]
"""

from __future__ import annotations

import argparse
import copy
import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, process_time

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pruning.evaluate import Batch, split_batches
from pruning.layers import Layer, find_layers
from pruning.models import load_model
from pruning.models.resnet import cifar_resnet
from pruning.sensitivity import Precise, Scan, iter_scan
from pruning.sensitivity.walk import Walk
from pruning.tasks import Task, load_task
from pruning.tasks.archive import data_dir

RATIOS = tuple(i / 10 for i in range(1, 10))
DIGITS = ("digits-mlp", "digits-cnn", "digits-resnet", "digits-mobilenet", "digits-vit")
CIFAR = ("cifar10-resnet20", "cifar10-resnet56")
BATCH = 256


@dataclass
class Cost:
    """Of one scan."""

    wall: float
    cpu: float

    def __truediv__(self, other: Cost) -> str:
        return f"{self.wall / other.wall:.1f} ({self.cpu / other.cpu:.1f})"


@dataclass
class Row:
    """What one network gave."""

    network: str
    images: int
    points: int
    plain: Cost
    sampled: int  # points that the plain loop measured
    ours: Cost
    differing: int
    floor: float
    memory: float
    way: str
    adaptive: Cost
    inside: float
    effort: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--images", type=int, default=1000, help="of the exact scan")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.child:
        print(json.dumps(asdict(run(options.networks[0], options.images))))
        return
    names = options.networks or [*DIGITS, *available()]
    print(f"{options.threads} threads. Times as often as fast: by the clock (by processor seconds).\n")
    print("| network | images | points | plain s | exact | differing | of its floor | more memory | adaptive | inside |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in names:
        command = [sys.executable, __file__, name, "--child", "--threads", str(options.threads)]
        done = subprocess.run(
            [*command, "--images", str(options.images)], capture_output=True, text=True, check=False
        )
        print(line(json.loads(done.stdout)) if done.returncode == 0 else f"{name}: {done.stderr}", flush=True)


def line(found: dict) -> str:
    costs = {key: Cost(**found.pop(key)) for key in ("plain", "ours", "adaptive")}
    row = Row(**found, **costs)
    some = "" if row.sampled == row.points else f" (from {row.sampled} points)"
    return (
        f"| {row.network} | {row.images:,} | {row.points} | {row.plain.wall:.1f}{some} | {row.plain / row.ours} "
        f"| {row.differing} of {row.sampled} | {row.floor:.2f} | {row.memory:.0f} MiB | {row.plain / row.adaptive}, "
        f"{row.effort:.0%} of the images | {row.inside:.1%} |"
    )


def available() -> Sequence[str]:
    return CIFAR if data_dir() is not None else ()


def run(name: str, limit: int) -> Row:
    """Ours first, so that what the plain loop leaves in memory is not counted."""
    module, task = network(name)
    n, batches = split_batches(task, "validation", batch_size=BATCH, limit=limit)
    known = tuple(batches)
    dense = seconds_of(module, known)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    walk, ours = timed(lambda: scanned(module, task, limit))
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    exact = walk.scan()
    fast, adaptive = timed(lambda: scanned(module, task, limit, Precise()))
    figures = {(point.key, point.ratio): point.accuracy for point in exact.points}
    every = 4 if len(figures) > 400 else 1
    layers = [layer for layer in find_layers(module, (known[0][0][:1],)) if layer.name in set(exact.keys)]
    theirs, plain = timed(lambda: plain_scan(module, known, layers, list(figures)[::every]))
    scale = len(figures) / len(theirs)
    return Row(
        network=name,
        images=n,
        points=len(figures),
        plain=Cost(plain.wall * scale, plain.cpu * scale),
        sampled=len(theirs),
        ours=ours,
        differing=sum(figures[place] != accuracy for place, accuracy in theirs.items()),
        floor=ours.wall / (len(RATIOS) * suffixes(module, walk, layers, known[0][0][:1]) * dense),
        memory=memory,
        way=walk.way,
        adaptive=adaptive,
        inside=share_inside(fast.scan(), figures),
        effort=fast.images / fast.images_exact,
    )


def network(name: str) -> tuple[nn.Module, Task]:
    if name != "cifar10-resnet56":
        loaded = load_model(name)
        return loaded.module, load_task(loaded.task)
    module, folder = cifar_resnet(56), data_dir()
    assert folder is not None
    tensors = load_file(Path(folder) / "models" / "resnet56.safetensors")
    module.load_state_dict({renamed(key): value for key, value in tensors.items()})
    return module.eval(), load_task("cifar10")


def renamed(key: str) -> str:
    """From the names of the published weights to those of `pruning.models.resnet`."""
    for old, new in (("layer", "stages.stage"), ("bn", "norm"), ("linear", "head")):
        key = key.replace(old, new)
    first, _, rest = key.partition(".")
    return f"{first.rstrip('1')}.{rest}" if first in ("conv1", "norm1") else key


def scanned(module: nn.Module, task: Task, limit: int, precise: Precise | None = None) -> Walk:
    walk = iter_scan(module, task, RATIOS, "weight", "l1", limit=limit, precise=precise)
    for _ in walk:
        pass
    return walk


def plain_scan(
    module: nn.Module, batches: Sequence[Batch], layers: Sequence[Layer], places: Sequence[tuple[str, float]]
) -> dict[tuple[str, float], float]:
    """The loop of Distiller and of courses, on images that are in memory already."""
    weights = {layer.name: layer.weight for layer in layers}
    found = {}
    for key, ratio in places:
        pruned = copy.deepcopy(module)
        weight = pruned.get_parameter(str(weights[key]))
        with torch.no_grad():
            smallest = weight.abs().flatten().argsort(stable=True)[: round(ratio * weight.numel())]
            weight.view(-1)[smallest] = 0
        found[key, ratio] = accuracy(pruned, batches)
    return found


@torch.no_grad()
def accuracy(module: nn.Module, batches: Sequence[Batch]) -> float:
    right = sum(int((module(x).argmax(1) == y).sum()) for x, y in batches)
    return right / sum(len(y) for _, y in batches)


def seconds_of(module: nn.Module, batches: Sequence[Batch]) -> float:
    """The least of five evaluations of the network as it is."""
    return min(timed(lambda: accuracy(module, batches))[1].wall for _ in range(5))


def suffixes(module: nn.Module, walk: Walk, layers: Sequence[Layer], x: Tensor) -> float:
    """Sum over the layers of the share of the network's MACs that are run again when it changes: its own, and
    those of all that come later."""
    macs = {layer.name: layer.macs or 0 for layer in find_layers(module, (x,))}
    names = list(macs)
    total = sum(macs.values())
    del walk
    return sum(sum(macs[name] for name in names[names.index(layer.name) :]) / total for layer in layers)


def share_inside(found: Scan, exact: dict[tuple[str, float], float]) -> float:
    inside = [p.bounds[0] - 1e-9 <= exact[p.key, p.ratio] <= p.bounds[1] + 1e-9 for p in found.points]
    return sum(inside) / len(inside)


def timed(work):  # noqa: ANN001, ANN201
    wall, cpu = perf_counter(), process_time()
    result = work()
    return result, Cost(perf_counter() - wall, process_time() - cpu)


if __name__ == "__main__":
    main()
