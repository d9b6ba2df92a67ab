"""What low rank saves and costs, on the built-in networks: parameters, MACs, accuracy, measured time.

Every layer that gets cheaper is replaced by two or three smaller ones, at ranks that keep a share of energy:
of the weights, or, weighed by data, of the outputs on calibration images. "Before" is the test accuracy right
after that, "after" that of the best epoch, by validation images, of a short training of the smaller network.
Measured speedup is the dense network's time over the smaller one's, in turns, one thread; theoretical speedup
is the ratio of their MACs. The last row of a network is decomposed, then pruned (EDP): channels go, those
between the smaller layers too, before the training.

    python benchmarks/lowrank.py [NETWORK ...] [--threads N] [--budget SECONDS]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from time import perf_counter

import torch
from torch import nn

from pruning.cost import Cost, CostModel
from pruning.evaluate import Report, evaluate
from pruning.groups import find_structure
from pruning.latency import measure_latency
from pruning.lowrank import METHODS, LowRank, factorise, plan_low_rank, predict
from pruning.models import LoadedModel, load_model
from pruning.recipe import Recipe, Rule
from pruning.recover import Fit, Pruning, Recovery, recover
from pruning.recover.trainee import contiguous
from pruning.tasks import MissingData, Split, Task, load_task

BATCHES = (1, 128)
CONVOLUTIONAL = (
    LowRank(method="tucker-2", energy=0.8),
    LowRank(method="tucker-2", energy=0.7),
    LowRank(method="spatial-svd", energy=0.9),
    LowRank(method="spatial-svd", energy=0.8),
    LowRank(method="channel-svd", energy=0.98, data=True),
    LowRank(method="channel-svd", energy=0.95, data=True),
)
LINEAR = (
    LowRank(method="svd", energy=0.9),
    LowRank(method="svd", energy=0.8),
    LowRank(method="svd", energy=0.99, data=True),
    LowRank(method="svd", energy=0.98, data=True),
    LowRank(method="svd", energy=0.95, data=True),
)


@dataclass(frozen=True)
class Case:
    """How one network is factorised, trained again, and pruned in the last row."""

    ways: tuple[LowRank, ...]
    epochs: int
    fit: Fit
    decompose: LowRank
    prune: float
    images: int | None = None  # of the training split, that training uses; None = all


DIGITS = Fit(lr=1e-3, weight_decay=0.05, shift=0.8, rotate=10, zoom=0.1)
CASES = {
    "digits-resnet": Case(
        CONVOLUTIONAL, 3, DIGITS, LowRank(method="channel-svd", energy=0.98, data=True), 0.3
    ),
    "digits-cnn": Case(CONVOLUTIONAL, 3, DIGITS, LowRank(method="tucker-2", energy=0.8), 0.3),
    "mnist-lenet-300-100": Case(
        LINEAR,
        2,
        Fit(lr=1e-3, batch_size=128, shift=1.0, rotate=8, zoom=0.05),
        LowRank(method="svd", energy=0.98, data=True),
        0.3,
    ),
    "cifar10-resnet20": Case(
        (
            LowRank(method="tucker-2", energy=0.9),
            LowRank(method="spatial-svd", energy=0.9),
            LowRank(method="spatial-svd", energy=0.8),
            LowRank(method="channel-svd", energy=0.98, data=True),
        ),
        1,
        Fit(optimizer="sgd", lr=0.02, batch_size=128, shift=4, flip=True),
        LowRank(method="spatial-svd", energy=0.9),
        0.2,
        images=10_000,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=tuple(CASES), metavar="NETWORK")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of the training")
    parser.add_argument("--budget", type=float, default=3.0, help="seconds of each measurement of time")
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
        Table(loaded, task, CASES[name], options.budget).rows()
        print(f"\n{perf_counter() - start:.0f} s in all, {options.threads} threads.\n", flush=True)


class Table:
    """The rows of one network, each printed as soon as it is measured."""

    def __init__(self, loaded: LoadedModel, task: Task, case: Case, budget: float) -> None:
        self.dense, self.example = loaded.module, loaded.example_inputs
        self.task = replace(task, train=first(task.train, case.images))
        self.case, self.budget = case, budget
        self.cost = CostModel(self.dense, self.example).dense
        self.foretold = True

    def rows(self) -> None:
        """The dense network, every way, and the one that is pruned too."""
        case, whole = self.case, self.measured(self.dense)
        print(
            f"Epochs: {case.epochs}, of {len(self.task.train):,} images; test accuracy in percent on "
            f"{whole.n:,} images. Dense: {percent(whole)}, {self.cost.parameters:,} parameters, "
            f"{self.cost.macs:,} MACs.\n"
        )
        print(
            head(
                *("method", "energy", "layers", "parameters", "theoretical speedup"),
                *(f"measured, {images} at once" for images in BATCHES),
                *("before", "after"),
            )
        )
        for way in case.ways:
            small, layers = self.factorised(way)
            self.row(way, layers, small, "", Recipe())
        small, layers = self.factorised(case.decompose)
        groups = find_structure(small, self.example).groups
        rules = {group.id: Rule(ratio=case.prune, criterion="l2") for group in groups}
        self.row(case.decompose, layers, small, f", then {case.prune:.0%} of channels", Recipe(rules=rules))
        print(f"\nPredicted and counted parameters and MACs the same: {'yes' if self.foretold else 'no'}.")

    def factorised(self, way: LowRank) -> tuple[nn.Module, int]:
        """The network, and how many layers were replaced."""
        plan = plan_low_rank(self.dense, way, example_inputs=self.example, task=self.task)
        small = factorise(self.dense, plan.ranks, way.method, roots=plan.roots)
        foretold = predict(self.cost.parameters, self.cost.macs, plan.candidates, plan.ranks)
        counted = self.counted(small)
        self.foretold &= (foretold.parameters, foretold.macs) == (counted.parameters, counted.macs)
        return small, len(plan.ranks)

    def row(self, way: LowRank, layers: int, small: nn.Module, more: str, recipe: Recipe) -> None:
        """Train, measure and print one line."""
        settings = Recovery(
            recipe=recipe,
            pruning=Pruning(schedule="one-shot", prune=0, recover=self.case.epochs),
            fit=self.case.fit,
        )
        done = recover(small, self.task, settings, example_inputs=self.example)
        cost = self.counted(done.module)
        cells = [
            METHODS[way.method].label + (", data" if way.data else "") + more,
            f"{way.energy:.0%}",
            layers,
            f"{cost.parameters:,} ({cost.parameters / self.cost.parameters:.0%})",
            f"{self.cost.macs / cost.macs:.2f}",
            *(self.speedup(done.module, images) for images in BATCHES),
            percent(self.measured(small)) if not more else "-",
            percent(self.measured(done.module)),
        ]
        print(row(*cells), flush=True)

    def speedup(self, module: nn.Module, images: int) -> str:
        """The dense network's time over this one's, with its interval, at so many images at once."""
        timing = measure_latency(
            contiguous(module),  # as the dense one lies in memory
            self.example,
            baseline=self.dense,
            batch_size=images,
            threads=1,
            budget_s=self.budget,
        )
        assert timing.ratio is not None
        assert timing.ratio_interval is not None
        low, high = timing.ratio_interval
        return f"{timing.ratio:.2f} ({low:.2f} to {high:.2f})"

    def counted(self, module: nn.Module) -> Cost:
        return CostModel(module, self.example).dense

    def measured(self, module: nn.Module) -> Report:
        return evaluate(module, self.task, "test")


def first(split: Split, images: int | None) -> Split:
    """The first images of a split, whose order is stratified already."""
    return Split(split.name, split.store, split.rows[:images], split.targets[:images].numpy())


def percent(report: Report) -> str:
    return f"{100 * report.accuracy:.2f}"


def row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def head(*cells: str) -> str:
    return f"{row(*cells)}\n{'|---' * len(cells)}|"


if __name__ == "__main__":
    main()
