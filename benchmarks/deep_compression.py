"""Deep Compression (Han et al. 2015, arXiv:1510.00149): pruned, shared, coded; counted from files written.

Each network goes the whole way: pruned with training, its weights made to share values, those trained,
Huffman coded into a .prz with everything else that it needs (biases, norms, names, recipe). Values are shared
by k-means as in the paper, or partitioned anew in every step of training (CLIP-Q, Tung and Mori 2018); the
line above a network's tables says which. The file is written, read by a fresh process, and its predictions
compared. "Times smaller" is the size of the network's float32 tensors over that of the file; the paper counts
coded weights, indices and codebooks, we count the file. With several seeds the whole way is gone once for
each, and the tables are of the first.

Validation images choose epochs; accuracies are on test images. RESULTS.md says for each network how its
settings were chosen, and whether test images had been looked at before.

    python benchmarks/deep_compression.py [NETWORK ...] [--threads N] [--seeds N ...]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean, stdev
from time import perf_counter

import torch

from pruning.checkpoint import self_check
from pruning.coding import Part
from pruning.compress import Compressed, Compression, Sharing, compress
from pruning.compress.settings import Method
from pruning.evaluate import Report, evaluate
from pruning.layers import find_layers
from pruning.models import LoadedModel, load_model
from pruning.recipe import Recipe, Rule
from pruning.recover import Fit, Pruning, Recovery, Teach
from pruning.tasks import MissingData, Task, load_task


@dataclass(frozen=True)
class Row:
    """A layer in the paper's tables 2 and 3: % kept; bits of weights and indices, with Huffman; % of size."""

    name: str
    kept: str
    weight_bits: str
    index_bits: str
    size: str


@dataclass(frozen=True)
class Wanted:
    """How a network is compressed, and what for.

    Args:
        kept: share of each layer's weights, in order; or of all, ranked together.
        bits: of each layer, in order; or of all.
        prune, fit, tune: trainings.
        times: how many times smaller the file must be.
        points: accuracy that may be lost, in percentage points.
        method: how weights share values; "clip-q" clips none.
        tune_epochs: in which shared values are trained.
        teach: share of the loss that is the dense network's.
        seeds: of trainings; one compression each.
        paper: rows of the paper's table.
    """

    kept: tuple[float, ...] | float
    bits: tuple[int, ...] | int
    prune: Pruning
    fit: Fit
    tune: Fit
    times: float
    points: float
    method: Method = "cluster"
    tune_epochs: int = 4
    teach: float = 0.8
    seeds: tuple[int, ...] = (0,)
    paper: Sequence[Row] = field(default=())


MNIST_FIT = Fit(lr=3e-3, batch_size=128, warmup=0.02, shift=1.0, rotate=8, zoom=0.05)
DIGITS_FIT = Fit(lr=2e-3, weight_decay=0.05, shift=0.8, rotate=10, zoom=0.1)
CIFAR_FIT = Fit(optimizer="sgd", lr=0.02, batch_size=128, shift=4, flip=True)
LENET_300 = (
    Row("ip1", "8", "6 -> 4.4", "5 -> 3.7", "3.1 -> 2.32"),
    Row("ip2", "9", "6 -> 4.4", "5 -> 4.3", "3.8 -> 3.04"),
    Row("ip3", "26", "6 -> 4.3", "5 -> 3.2", "15.7 -> 12.70"),
    Row("total", "8 (12x)", "6 -> 5.1", "5 -> 3.7", "3.1 (32x) -> 2.49 (40x); error 1.64 -> 1.58 %"),
)
LENET_5 = (
    Row("conv1", "66", "8 -> 7.2", "5 -> 1.5", "78.5 -> 67.45"),
    Row("conv2", "12", "8 -> 7.2", "5 -> 3.9", "6.0 -> 5.28"),
    Row("ip1", "8", "5 -> 4.5", "5 -> 4.5", "2.7 -> 2.45"),
    Row("ip2", "19", "5 -> 5.2", "5 -> 3.7", "6.9 -> 6.13"),
    Row("total", "8 (12x)", "5.3 -> 4.1", "5 -> 4.4", "3.05 (33x) -> 2.55 (39x); error 0.80 -> 0.74 %"),
)
DIGITS = Wanted(
    kept=0.3,
    bits=4,
    prune=Pruning(prune=8, updates=4, recover=12),
    fit=DIGITS_FIT,
    tune=DIGITS_FIT.model_copy(update={"lr": 3e-4}),
    tune_epochs=6,
    times=10,
    points=1,
    teach=0.7,
)
LONGER = replace(DIGITS, prune=Pruning(prune=16, updates=8, recover=24))
NETWORKS = {
    "mnist-lenet-300-100": Wanted(
        kept=(0.11, 0.12, 0.35),
        bits=(3, 4, 5),
        prune=Pruning(schedule="iterative", prune=60, rounds=20, recover=60),
        fit=MNIST_FIT,
        tune=MNIST_FIT.model_copy(update={"lr": 5e-4}),
        tune_epochs=8,
        method="clip-q",
        times=42,
        points=0.05,
        seeds=(0, 1, 2),
        paper=LENET_300,
    ),
    "mnist-lenet-5": Wanted(
        kept=(0.66, 0.12, 0.08, 0.19),
        bits=(5, 4, 3, 4),
        prune=Pruning(schedule="iterative", prune=30, rounds=15, recover=10),
        fit=MNIST_FIT,
        tune=MNIST_FIT.model_copy(update={"lr": 3e-4}),
        times=41,
        points=0.05,
        tune_epochs=3,
        paper=LENET_5,
    ),
    "cifar10-resnet20": Wanted(
        kept=0.5,
        bits=4,
        prune=Pruning(prune=1, updates=4, recover=1),
        fit=CIFAR_FIT,
        tune=CIFAR_FIT.model_copy(update={"optimizer": "adamw", "lr": 3e-4}),
        tune_epochs=1,
        times=8,
        points=1,
        teach=0.7,
    ),
    "digits-mlp": DIGITS,
    "digits-cnn": DIGITS,
    "digits-resnet": DIGITS,
    "digits-mobilenet": replace(
        LONGER, kept=0.25, fit=DIGITS_FIT.model_copy(update={"lr": 1e-3})
    ),  # many small layers, whose codebooks and codes take their share: fewer weights make up for them
    "digits-vit": replace(LONGER, kept=0.35),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), metavar="NETWORK")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seeds", type=int, nargs="+", help="in place of each network's own")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in options.networks:
        print(f"\n## {name}\n", flush=True)
        loaded = load_model(name)
        try:
            task = load_task(loaded.task)
        except MissingData as error:
            print(f"Not measured: {error}")
            continue
        start, wanted = perf_counter(), NETWORKS[name]
        how = {"cluster": "k-means", "clip-q": "CLIP-Q without clipping"}[wanted.method]
        print(f"Values are shared by {how}.\n")
        results = []
        for seed in options.seeds or wanted.seeds:
            found = compressed(loaded, task, wanted, seed)
            results.append((found.ratio, show(loaded, task, wanted, found, seed, tables=not results)))
        if len(results) > 1:
            summary(results, wanted)
        print(f"{perf_counter() - start:.0f} s, {options.threads} threads.", flush=True)


def compressed(loaded: LoadedModel, task: Task, wanted: Wanted, seed: int) -> Compressed:
    """The network, all the way."""
    layers = [layer.name for layer in find_layers(loaded.module, loaded.example_inputs) if layer.prunable]
    kept = wanted.kept if isinstance(wanted.kept, tuple) else (wanted.kept,) * len(layers)
    bits = wanted.bits if isinstance(wanted.bits, tuple) else (wanted.bits,) * len(layers)
    rules = {
        layer: Rule(ratio=1 - share, granularity="weight", criterion="l1")
        for layer, share in zip(layers, kept, strict=True)
    }
    scope = "layer" if isinstance(wanted.kept, tuple) else "global"
    teach = Teach(weight=wanted.teach)
    settings = Compression(
        prune=Recovery(
            recipe=Recipe(rules=rules, scope=scope, model=loaded.name),
            pruning=wanted.prune,
            fit=wanted.fit.model_copy(update={"seed": seed}),
            teach=teach,
        ),
        share=Sharing(method=wanted.method, bits=dict(zip(layers, bits, strict=True)), clip=0.0),
        tune=Recovery(
            pruning=Pruning(prune=0, recover=wanted.tune_epochs),
            fit=wanted.tune.model_copy(update={"seed": seed}),
            teach=teach,
        ),
    )
    return compress(loaded.module, task, settings, example_inputs=loaded.example_inputs)


def show(
    loaded: LoadedModel, task: Task, wanted: Wanted, found: Compressed, seed: int, *, tables: bool
) -> float:
    """Layers beside the paper's, stages, and whether the bar is met. Returns the points lost."""
    dense, after = evaluate(loaded.module, task, "test"), evaluate(found.module, task, "test")
    if tables:
        print_layers(found, wanted.paper)
        print_stages(found)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.prz"
        file.write_bytes(found.file)
        size = file.stat().st_size
        check = self_check(file, found.module, task.test, fresh_process=True)
    lost = 100 * (dense.accuracy - after.accuracy)
    met = "yes" if reached(found.ratio, lost, wanted) else "no"
    print(
        f"\nSeed {seed}: {size:,} bytes, {found.ratio:.1f} times smaller. Test accuracy: "
        f"dense {told(dense)}, compressed {told(after)}; {lost:+.2f} points lost. "
        f"At least {wanted.times:g} times at {wanted.points:g} points at most: {met}. {check}\n",
        flush=True,
    )
    return lost


def reached(ratio: float, lost: float, wanted: Wanted) -> bool:
    """Whether a file is small enough and its network good enough."""
    return ratio >= wanted.times and lost <= wanted.points + 1e-9


def summary(results: Sequence[tuple[float, float]], wanted: Wanted) -> None:
    """Of all seeds."""
    least, lost = min(ratio for ratio, _ in results), [points for _, points in results]
    met = sum(reached(*result, wanted) for result in results)
    whole = "yes" if reached(least, mean(lost), wanted) else "no"
    print(
        f"{len(results)} seeds: at least {least:.1f} times smaller; {mean(lost):+.3f} points lost in mean "
        f"(sd {stdev(lost):.3f}, {min(lost):+.2f} to {max(lost):+.2f}). The bar is met by {met} of "
        f"{len(results)}, and in the mean: {whole}.\n"
    )


def told(report: Report) -> str:
    """Accuracy with its interval."""
    low, high = (100 * end for end in report.interval)
    return f"{100 * report.accuracy:.2f} % ({low:.2f} to {high:.2f})"


def row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def print_layers(found: Compressed, paper: Sequence[Row]) -> None:
    """Layer by layer; with the paper's figures in brackets."""
    coded = found.stages[-1].breakdown
    fixed = next(stage for stage in found.stages if stage.name == "shared").breakdown
    assert coded is not None
    assert fixed is not None
    shared = {f"{name}.weight" for name in found.plan.weights}
    rows = list(paper)
    print(row("layer", "weights", "kept, %", "bits of a weight", "bits of an index", "size, %"))
    print("|---" * 6 + "|")
    for before, after in zip(fixed.parts, coded.parts, strict=True):
        if after.name in shared:
            print_layer(before, after, rows.pop(0) if rows else None)
    if rows:
        total = rows.pop()
        print(row("all, in the paper", "", total.kept, total.weight_bits, total.index_bits, total.size))
    print()


def print_layer(before: Part, after: Part, paper: Row | None) -> None:
    weights = 1
    for size in after.shape:
        weights *= size
    sizes = " -> ".join(f"{100 * part.bytes / (4 * weights):.2f}" for part in (before, after))
    cells = [
        f"{100 * after.nonzero / weights:.1f}",
        f"{before.weight_bits:.1f} -> {after.weight_bits_coded:.1f}",
        f"{before.index_bits:.1f} -> {after.index_bits_coded:.1f}",
        sizes,
    ]
    if paper:
        published = (paper.kept, paper.weight_bits, paper.index_bits, paper.size)
        cells = [f"{own} ({theirs})" for own, theirs in zip(cells, published, strict=True)]
    print(row(after.name.removesuffix(".weight"), f"{weights:,}", *cells))


def print_stages(found: Compressed) -> None:
    """Bytes and accuracy after each stage."""
    print(row("stage", "weights", "indices", "codebooks", "overhead", "bytes", "smaller", "validation, %"))
    print("|---" * 8 + "|")
    dense = found.stages[0].size.weights
    for stage in found.stages:
        size = stage.size
        counts = (size.weights, size.indices, size.codebooks, size.overhead, size.total)
        print(
            row(
                stage.label,
                *(f"{count:,}" for count in counts),
                f"{dense / size.total:.1f}",
                f"{100 * stage.report.accuracy:.2f}",
            )
        )


if __name__ == "__main__":
    main()
