"""What few bits cost, and what integers gain: Markdown tables.

1. Test accuracy of the digits networks by bits of the weights of all their linear layers and convolutions:
   rounded after training by several schemes, trained straight through the rounding, and by CLIP-Q, which also
   clips half of the weights to zero. One of the 360 test images is 0.28 points.
2. Weights and inputs rounded, after training.
3. CLIP-Q's parameters, searched for a guessed size, before and after training, beside the same clip for all.
4. Networks in 8-bit integers: accuracy, and measured speed beside the float network with folded norms.

A run keeps its best epoch by validation images; test images choose nothing.

    python benchmarks/quantise.py [1] [2] [3] [4] [--network NAME ...] [--epochs N]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import nn

from pruning.evaluate import evaluate
from pruning.latency import measure_latency
from pruning.latency.ways import folded
from pruning.layers import find_layers
from pruning.models import MODELS, LoadedModel, load_model
from pruning.quantise import (
    RANGES,
    Clip,
    ClipQ,
    Straight,
    Uniform,
    calibrate,
    quantise,
    quantise_inputs,
    search,
    to_integer,
)
from pruning.quantise.integer_layer import obstacle
from pruning.quantise.search import FLOAT_BITS, size_of
from pruning.recover import Constraint, Fit, Pruning, Recovery, Teach, recover
from pruning.tasks import MissingData, Task, load_task

BITS = (1, 2, 3, 4, 8)
TRAINED = (1, 2, 3, 4)
SCHEMES = {
    "symmetric, tensor, min-max": Uniform(True, False, "min-max"),
    "symmetric, tensor, mse": Uniform(True, False, "mse"),
    "affine, tensor, mse": Uniform(False, False, "mse"),
    "symmetric, channel, min-max": Uniform(True, True, "min-max"),
    "symmetric, channel, percentile": Uniform(True, True, "percentile"),
    "symmetric, channel, mse": Uniform(True, True, "mse"),
    "affine, channel, mse": Uniform(False, True, "mse"),
}
STRAIGHT = Uniform(True, True, "mse")
HALF = 0.5  # share that CLIP-Q clips in the first table
RATIOS = (16.0, 32.0)  # 32 bits a weight over the guessed bits
BATCHES = (1, 64)
FIT = Fit(lr=1e-3, weight_decay=5e-4, shift=0.8, rotate=10, zoom=0.1)


def layers_of(loaded: LoadedModel) -> list[str]:
    """All linear layers and convolutions that are called."""
    return [row.name for row in find_layers(loaded.module, loaded.example_inputs) if row.prunable]


def accuracy(module: nn.Module, task: Task) -> float:
    """On test images, in percent."""
    return 100 * evaluate(module, task, "test").accuracy


def trained(
    loaded: LoadedModel, task: Task, constrain: Callable[[nn.Module], Constraint], epochs: int
) -> nn.Module:
    """Trained for a few epochs under a constraint, half of the loss being the dense network's outputs."""
    settings = Recovery(pruning=Pruning(prune=0, recover=epochs), fit=FIT, teach=Teach(weight=0.5))
    found = recover(loaded.module, task, settings, example_inputs=loaded.example_inputs, constrain=constrain)
    return found.module


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def head(title: str, *columns: str) -> None:
    print(f"\n## {title}\n")
    row(*columns)
    row(*("---" if n == 0 else "--:" for n in range(len(columns))))


def weights(loaded: LoadedModel, task: Task, epochs: int) -> None:
    names = layers_of(loaded)
    dense = accuracy(loaded.module, task)
    columns = [f"{bits} bit{'s' * (bits > 1)}" for bits in BITS]
    head(f"{loaded.name}, dense {dense:.2f} %: test accuracy by bits of the weights", "way", *columns)
    for label, scheme in SCHEMES.items():
        found = [accuracy(quantise(loaded.module, dict.fromkeys(names, bits), scheme), task) for bits in BITS]
        row(label, *(f"{value:.2f}" for value in found))
    ways: dict[str, Callable[[int], Callable[[nn.Module], Constraint]]] = {
        f"straight through, {epochs} epochs": lambda bits: (
            lambda module: Straight(module, dict.fromkeys(names, bits), STRAIGHT)
        ),
        f"CLIP-Q, half clipped, {epochs} epochs": lambda bits: (
            lambda module: ClipQ(module, dict.fromkeys(names, Clip(HALF, bits)))
        ),
    }
    for label, constrain in ways.items():
        found = [accuracy(trained(loaded, task, constrain(bits), epochs), task) for bits in TRAINED]
        row(label, *(f"{value:.2f}" for value in found), "")


def inputs(loaded: LoadedModel, task: Task, epochs: int) -> None:
    names = layers_of(loaded)
    columns = [f"weights {a}, inputs {b}" for a, b in PAIRS]
    head(f"{loaded.name}: test accuracy with rounded inputs, after training", "range of the inputs", *columns)
    for range in RANGES:
        found = []
        for bits, given in PAIRS:
            module = quantise(loaded.module, dict.fromkeys(names, bits), STRAIGHT)
            module = quantise_inputs(module, calibrate(module, task, given, range=range))
            found.append(accuracy(module, task))
        row(RANGES[range].label, *(f"{value:.2f}" for value in found))


PAIRS = ((8, 8), (4, 8), (8, 4), (4, 4))


def searched(loaded: LoadedModel, task: Task, epochs: int) -> None:
    names = layers_of(loaded)
    head(
        f"{loaded.name}: CLIP-Q's parameters",
        "parameters",
        "guessed ratio",
        "before training",
        f"after {epochs} epochs",
    )
    for ratio in RATIOS:
        found = search(loaded.module, task, names, ratio=ratio)
        alike = _best_alike(loaded, task, names, found.ratio)
        of_all = dict.fromkeys(names, alike)
        guessed = FLOAT_BITS / size_of(1, alike)
        label = f"{alike.share:.0%} and {alike.bits} bits for all"
        for words, clips, reached in (
            (f"searched for {ratio:g}x", found.clips, found.ratio),
            (label, of_all, guessed),
        ):
            start = accuracy(_clipped(loaded.module, clips), task)
            end = accuracy(trained(loaded, task, lambda module, c=clips: ClipQ(module, c), epochs), task)  # type: ignore[misc]
            row(words, f"{reached:.1f}x", f"{start:.2f}", f"{end:.2f}")


def _best_alike(loaded: LoadedModel, task: Task, names: list[str], ratio: float) -> Clip:
    """Of the clips that are the same for all layers and at least as large a file, the best untrained one, by
    validation images."""
    clips = (Clip(share / 100, bits) for bits in BITS for share in range(100))
    near = {clip.bits: clip for clip in clips if FLOAT_BITS / size_of(1, clip) <= ratio}  # the largest share
    return max(
        near.values(),
        key=lambda clip: (
            evaluate(_clipped(loaded.module, dict.fromkeys(names, clip)), task, "validation").accuracy
        ),
    )


def _clipped(module: nn.Module, clips: dict[str, Clip]) -> nn.Module:
    copy = quantise(module, {})
    ClipQ(copy, clips).set()
    return copy


def integers(loaded: LoadedModel, task: Task, epochs: int) -> None:
    whole, plain = to_integer(loaded.module, task), folded(loaded.module)
    for batch in BATCHES:
        timing = measure_latency(
            whole, loaded.example_inputs, baseline=plain, batch_size=batch, threads=1, budget_s=2.0
        )
        assert timing.baseline is not None
        assert timing.ratio_interval is not None
        low, high = timing.ratio_interval
        row(
            loaded.name,
            f"{accuracy(loaded.module, task):.2f}",
            f"{accuracy(whole, task):.2f}",
            batch,
            f"{1e3 * timing.baseline.median:.3f}",
            f"{1e3 * timing.median:.3f}",
            f"{timing.ratio:.2f}x ({low:.2f} to {high:.2f})",
            timing.warning,
        )


PARTS = {"1": weights, "2": inputs, "3": searched, "4": integers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("parts", nargs="*", default=list(PARTS), help="of 1 to 4")
    parser.add_argument("--network", nargs="+", choices=list(MODELS))
    parser.add_argument("--epochs", type=int, default=8)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for part in asked.parts:
        if part == "4":
            if why := obstacle():
                print(why)
                continue
            head(
                "8-bit integers, 1 thread, beside float with folded norms",
                *("network", "float, %", "integers, %", "batch", "float, ms", "integers, ms"),
                *("measured (95 %)", "warning"),
            )
        usual = [name for name in MODELS if part == "4" or name.startswith("digits-")]
        for name in asked.network or usual:
            loaded = load_model(name)
            try:
                PARTS[part](loaded, load_task(MODELS[name].task), asked.epochs)
            except MissingData as error:
                print(f"{name}: {error}")


if __name__ == "__main__":
    main()
