"""What training brings back after pruning, on the built-in networks.

digits-*: single weights of all convolutions and linear layers, ranked together, in four ways: at random, by
magnitude (L1) and by Taylor all at once, and by magnitude little by little (cubic) with distillation from
the dense network. Each has trained for the same number of epochs, on the same images in the same order. The
dense network is the same for all; mean and standard deviation over five seeds (order, augmentation, what is
random) of the test accuracy in percent, as Blalock et al. 2020 (arXiv:2003.03033) ask for. "Before" is what
the ranking alone leaves of the dense network, all at once and without training; of both ways by magnitude it
is the same.

mnist-lenet-*: iterative pruning, with distillation, to what Han et al. 2015 (arXiv:1510.00149) keep of each
layer. Errors are on the 10,000 test images; our dense networks were trained with augmentation, and are better
than theirs.

cifar10-*: channels removed at once until at most half of the multiply-accumulates are left, then a few
epochs.

Settings were chosen on validation images. A run keeps its best epoch by validation images; test images give
the figures printed and choose nothing.

    python benchmarks/recover.py [NETWORK ...] [--threads N] [--seeds N]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from time import perf_counter

import torch

from pruning.allocation import Evidence, allocate, share_removed
from pruning.cost import CostModel
from pruning.counts import kept_count
from pruning.evaluate import evaluate
from pruning.groups import Structure, find_structure
from pruning.layers import find_layers
from pruning.masks import apply_masks
from pruning.models import LoadedModel, load_model
from pruning.plan import make_plan
from pruning.recipe import Recipe, Rule
from pruning.recover import Fit, Pruning, Recovery, Teach, recalibrate, recover
from pruning.shrink import shrink
from pruning.tasks import MissingData, Task, load_task

DEFAULT = ("digits-mlp", "digits-cnn", "mnist-lenet-300-100", "mnist-lenet-5", "cifar10-resnet20")
RATIOS = (0.5, 0.75, 0.9, 0.95)
HIGH = 0.9  # from here on gradual pruning has to be the best


@dataclass(frozen=True)
class Way:
    """How the digits networks are pruned: by what, when, and with how much distillation."""

    criterion: str
    pruning: Pruning
    teach: Teach | None = None


EPOCHS = 10
ONE_SHOT = Pruning(schedule="one-shot", prune=0, recover=EPOCHS)
WAYS = {
    "random": Way("random", ONE_SHOT),
    "L1": Way("l1", ONE_SHOT),
    "Taylor": Way("taylor", ONE_SHOT),
    "L1 gradual + distillation": Way(
        "l1", Pruning(schedule="cubic", prune=3, updates=8, recover=EPOCHS - 3), Teach(weight=0.7)
    ),
}
DIGITS_FIT = Fit(lr=2e-3, weight_decay=0.05, shift=0.8, rotate=10, zoom=0.1)


@dataclass(frozen=True)
class Paper:
    """Han et al. 2015, arXiv:1510.00149: share kept of each layer, in order; % error before and after."""

    kept: tuple[float, ...]
    errors: tuple[float, float]


PAPERS = {
    "mnist-lenet-300-100": Paper((0.08, 0.09, 0.26), (1.64, 1.58)),
    "mnist-lenet-5": Paper((0.66, 0.12, 0.08, 0.19), (0.80, 0.74)),
}
MNIST = Recovery(
    pruning=Pruning(schedule="iterative", prune=30, rounds=15, recover=10),
    fit=Fit(lr=3e-3, batch_size=128, warmup=0.02, shift=1.0, rotate=8, zoom=0.05),
    teach=Teach(weight=0.8),
)

CIFAR = Recovery(
    pruning=Pruning(schedule="one-shot", prune=0, recover=5),
    fit=Fit(optimizer="sgd", lr=0.05, batch_size=128, shift=4, flip=True),
    teach=Teach(weight=0.7),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=DEFAULT, metavar="NETWORK")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seeds", type=int, default=5, help="of the digits networks")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in options.networks:
        loaded = load_model(name)
        print(f"## {name}", flush=True)
        try:
            task = load_task(loaded.task)
        except MissingData as error:
            print(f"Not measured: {error}")
            continue
        start = perf_counter()
        if name in PAPERS:
            lenet(loaded, task)
        elif loaded.task == "digits":
            compare_ways(loaded, task, options.seeds)
        else:
            half_of_macs(loaded, task)
        print(f"\n{perf_counter() - start:.0f} s in all, {options.threads} threads.\n", flush=True)


def percent(value: float) -> str:
    return f"{100 * value:.2f}"


def row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def head(*cells: str) -> str:
    return f"{row(*cells)}\n{'|---' * len(cells)}|"


# Random, L1, Taylor, gradual


def compare_ways(loaded: LoadedModel, task: Task, seeds: int) -> None:
    """One row for each ratio and way."""
    dense = evaluate(loaded.module, task, "test")
    print(
        f"{EPOCHS} epochs of {len(task.train):,} images; test accuracy in percent on {dense.n} images, "
        f"mean ± sd of {seeds} seeds. Dense: {percent(dense.accuracy)}.\n"
    )
    print(head("weights removed", "way", "before", f"after {EPOCHS} epochs"))
    lines = []
    for ratio in RATIOS:
        after = {}
        for name, way in WAYS.items():
            pairs = [one_run(loaded, task, way, ratio, seed) for seed in range(seeds)]
            before, after[name] = zip(*pairs, strict=True)
            print(row(f"{ratio:.0%}", name, spread(before), spread(after[name])), flush=True)
        if ratio >= HIGH:
            lines += verdicts(ratio, after)
    print("\n" + "\n".join(lines))


def one_run(loaded: LoadedModel, task: Task, way: Way, ratio: float, seed: int) -> tuple[float, float]:
    """Test accuracy before and after training."""
    layers = [layer.name for layer in find_layers(loaded.module, loaded.example_inputs) if layer.prunable]
    rule = Rule(ratio=ratio, granularity="weight", criterion=way.criterion)
    recipe = Recipe(rules=dict.fromkeys(layers, rule), scope="global", seed=seed)
    plan = make_plan(loaded.module, recipe, example_inputs=loaded.example_inputs, task=task)
    before = evaluate(apply_masks(loaded.module, plan), task, "test").accuracy
    settings = Recovery(
        recipe=recipe,
        pruning=way.pruning,
        teach=way.teach,
        fit=DIGITS_FIT.model_copy(update={"seed": seed}),
    )
    done = recover(loaded.module, task, settings, example_inputs=loaded.example_inputs)
    return before, evaluate(done.module, task, "test").accuracy


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation in percent; of one value none."""
    return f"{percent(mean(values))} ± {percent(stdev(values)) if len(values) > 1 else '-'}"


def verdicts(ratio: float, after: dict[str, Sequence[float]]) -> list[str]:
    """Whether gradual pruning beats those that it has to beat, in the mean and seed by seed."""
    gradual = after["L1 gradual + distillation"]
    lines = []
    for other in ("L1", "random"):
        ahead = [a - b for a, b in zip(gradual, after[other], strict=True)]
        verdict = "better" if mean(ahead) > 0 else "not better"
        lines.append(
            f"{ratio:.0%}: gradual is {verdict} than one-shot {other}, by {100 * mean(ahead):+.2f} points in "
            f"the mean, ahead for {sum(a > 0 for a in ahead)} of {len(ahead)} seeds."
        )
    return lines


# LeNets to the kept shares of the paper


def lenet(loaded: LoadedModel, task: Task) -> None:
    """A table of what is kept of each layer, and one of errors, both beside the paper's."""
    paper = PAPERS[loaded.name]
    layers = [layer for layer in find_layers(loaded.module, loaded.example_inputs) if layer.prunable]
    rules = {
        layer.name: Rule(ratio=1 - kept, granularity="weight", criterion="l1")
        for layer, kept in zip(layers, paper.kept, strict=True)
    }
    settings = MNIST.model_copy(update={"recipe": Recipe(rules=rules)})
    dense = evaluate(loaded.module, task, "test")
    start = perf_counter()
    done = recover(loaded.module, task, settings, example_inputs=loaded.example_inputs)
    seconds = perf_counter() - start
    pruned = evaluate(done.module, task, "test")
    weights = {layer.name: done.module.get_submodule(layer.name).weight for layer in layers}
    print(head("layer", "weights", "kept, paper", "kept, ours"))
    for (name, weight), kept in zip(weights.items(), paper.kept, strict=True):
        share = int(weight.count_nonzero()) / weight.numel()
        print(row(name, f"{weight.numel():,}", f"{kept:.0%}", f"{share:.2%}"))
    size = sum(weight.numel() for weight in weights.values())
    left = sum(int(weight.count_nonzero()) for weight in weights.values())
    print(row("all", f"{size:,}", "8%", f"{left / size:.2%}"))
    print(f"\n{head('test error, %', 'dense', 'pruned', 'difference')}")
    print(row("paper", *(f"{error:.2f}" for error in paper.errors), signed(paper.errors)))
    errors = 100 * (1 - dense.accuracy), 100 * (1 - pruned.accuracy)
    print(row("ours", *(f"{error:.2f}" for error in errors), signed(errors)))
    verdict = "yes" if errors[1] <= errors[0] + 0.1 + 1e-9 else "no"
    print(
        f"\nNo more than 0.1 points above the dense network's own error: {verdict}. "
        f"{settings.epochs} epochs, {settings.pruning.rounds} rounds, {seconds:.0f} s."
    )


def signed(errors: tuple[float, float]) -> str:
    return f"{errors[1] - errors[0]:+.2f}"


# Half of the multiply-accumulates


def half_of_macs(loaded: LoadedModel, task: Task) -> None:
    """Test accuracy at each stage, with epochs and time."""
    example = loaded.example_inputs
    structure = find_structure(loaded.module, example)
    costs = CostModel(loaded.module, example, structure)
    ratios = half_ratios(structure, costs)
    rules = {key: Rule(ratio=ratio, criterion="taylor") for key, ratio in ratios.items()}
    settings = CIFAR.model_copy(update={"recipe": Recipe(rules=rules)})
    plan = make_plan(loaded.module, settings.recipe, example_inputs=example, task=task, structure=structure)
    dense_cost, cost = costs.cost(), costs.of_plan(plan)
    small = shrink(loaded.module, plan, example)
    again = recalibrate(small, task.calibration.batches())
    start = perf_counter()
    done = recover(loaded.module, task, settings, example_inputs=example, structure=structure)
    seconds = perf_counter() - start
    stages = {"dense": loaded.module, f"{max(ratios.values()):.1%} of each group's channels removed": small}
    stages |= {"its BatchNorm measured anew": again, f"after {settings.epochs} epochs": done.module}
    found = {stage: evaluate(module, task, "test") for stage, module in stages.items()}
    print(head("network", "MACs", "parameters", "test accuracy, %", "95 % interval"))
    for stage, report in found.items():
        of = dense_cost if stage == "dense" else cost
        low, high = (percent(end) for end in report.interval)
        print(row(stage, f"{of.macs:,}", f"{of.parameters:,}", percent(report.accuracy), f"{low} to {high}"))
    reports = list(found.values())
    lost = 100 * (reports[0].accuracy - reports[-1].accuracy)
    print(
        f"\n{cost.macs / dense_cost.macs:.1%} of the MACs; {lost:.2f} points lost; within 1.5: "
        f"{'yes' if lost <= 1.5 else 'no'}. {settings.epochs} epochs in {seconds:.0f} s, "
        f"the best by validation images was epoch {done.best}."
    )


def half_ratios(structure: Structure, costs: CostModel) -> dict[str, float]:
    """Group -> ratio, the same for all, so that at most half of the multiply-accumulates are left."""
    groups = structure.by_id

    def macs(ratios: dict[str, float]) -> int:
        return costs.cost({key: kept_count(groups[key].size, ratio) for key, ratio in ratios.items()}).macs

    sizes = {key: group.size for key, group in groups.items()}
    return allocate("uniform", 0.5, Evidence(sizes), share_removed(macs)).ratios


if __name__ == "__main__":
    main()
