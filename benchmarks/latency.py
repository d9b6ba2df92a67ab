"""Whether measured latency can be trusted: Markdown tables, in three to four minutes on two busy cores.

1. A network against a copy of itself, 20 times: how often the ratio lies within 1 ± 0.03, and how often it
   lies outside without a warning; beside it the plain way, a loop over the one network and then a loop over
   the other, and the means' ratio, in the same run.
2. The layers' times, summed, over the time of the whole, before any scaling: raw, and less the hooks' cost.
3. Measured against theoretical speedup: half of every group removed, in turns with the dense network.
4. The same networks frozen and compiled, where this machine can.

    python benchmarks/latency.py [1] [2] [3] [4]
"""

from __future__ import annotations

import sys
import time

import torch
from torch import Tensor, nn

from pruning.cost import CostModel
from pruning.groups import find_structure
from pruning.latency import Timing, Way, measure_latency, profile_layers
from pruning.layers import duplicate
from pruning.models import MODELS, build_model
from pruning.models.loading import example_inputs
from pruning.plan import make_plan
from pruning.recipe import Recipe, Rule
from pruning.shrink import shrink

WITHIN = 0.03
REPEATS = 20
SELF = (("digits-resnet", 1), ("cifar10-resnet20", 1), ("digits-resnet", 2))  # with so many threads
SELF_S = 2.0  # budget of each of the 20, the usual one; 200 turns often take less
PLAIN_S = 0.4
RATIO = 0.5
BATCHES = (1, 64)


def network(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Untrained: weights change no time."""
    return build_model(name).eval(), example_inputs(MODELS[name])


def plain_ratio(one: nn.Module, other: nn.Module, inputs: tuple[Tensor, ...], budget_s: float) -> float:
    """The usual loop: all forwards of the one, then all of the other; the means' ratio."""
    means = []
    for module in (one, other):
        n, begin = 0, time.time()
        with torch.inference_mode():
            while n < 1 or time.time() - begin < budget_s / 2:
                module(*inputs)
                n += 1
        means.append((time.time() - begin) / n)
    return means[0] / means[1]


def against_itself() -> None:
    print(f"\n## A network against itself, {REPEATS} times: how many ratios within 1 ± {WITHIN}\n")
    print("| network | threads | in turns: within | range | outside, unwarned | plain loop: within | range |")
    print("|---|--:|--:|---|--:|--:|---|")
    before = torch.get_num_threads()
    for name, threads in SELF:
        module, inputs = network(name)
        turns, plain, unwarned = [], [], 0
        for _ in range(REPEATS):
            copy = duplicate(module)
            timing = measure_latency(copy, inputs, baseline=module, threads=threads, budget_s=SELF_S)
            assert timing.ratio is not None
            turns.append(timing.ratio)
            unwarned += abs(timing.ratio - 1) > WITHIN and not timing.warning
            torch.set_num_threads(threads)
            plain.append(plain_ratio(module, copy, inputs, PLAIN_S))
            torch.set_num_threads(before)
        print(f"| {name} | {threads} | {_within(turns)} | {unwarned} | {_within(plain)} |", flush=True)


def _within(ratios: list[float]) -> str:
    good = sum(abs(ratio - 1) <= WITHIN for ratio in ratios)
    return f"{good} of {len(ratios)} | {min(ratios):.3f}, {max(ratios):.3f}"


def sums_of_layers() -> None:
    print("\n## The layers' times, summed, over the time of the whole (batch 1, 1 thread)\n")
    print("| network | whole, ms | modules | raw hooks | without the cost of hooks | within 10 % |")
    print("|---|--:|--:|--:|--:|---|")
    for name in MODELS:
        module, inputs = network(name)
        found = profile_layers(module, inputs, threads=1, repeats=300, budget_s=1.5)
        raw, less = found.raw / found.whole, found.corrected / found.whole
        said = "yes" if abs(less - 1) <= 0.1 else "no"
        print(
            f"| {name} | {1e3 * found.whole:.3f} | {len(found.layers)} | {raw:.3f} | {less:.3f} | {said} |",
            flush=True,
        )


def halved(name: str) -> tuple[nn.Module, nn.Module, tuple[Tensor, ...], float]:
    """A network, the same with half of every group removed, inputs, and the ratio of their MACs."""
    module, inputs = network(name)
    structure = find_structure(module, inputs)
    recipe = Recipe(rules={group.id: Rule(ratio=RATIO) for group in structure.groups})
    plan = make_plan(module, recipe, example_inputs=inputs, structure=structure)
    costs = CostModel(module, inputs, structure)
    macs = costs.cost().macs / costs.cost({key: int(keep.sum()) for key, keep in plan.keep.items()}).macs
    return module, shrink(module, plan, inputs), inputs, macs


def speedups() -> None:
    print("\n## Half of every group removed, eager, 1 thread\n")
    print("| network | batch | dense, ms | pruned, ms | measured (95 %) | MACs | warning |")
    print("|---|--:|--:|--:|---|--:|---|")
    for name in MODELS:
        module, small, inputs, macs = halved(name)
        for batch in BATCHES:
            timing = measure_latency(
                small, inputs, baseline=module, batch_size=batch, threads=1, budget_s=1.0
            )
            assert timing.baseline is not None
            dense, pruned = 1e3 * timing.baseline.median, 1e3 * timing.median
            print(
                f"| {name} | {batch} | {dense:.3f} | {pruned:.3f} | {_ratio(timing)} | {macs:.1f}× "
                f"| {timing.warning} |",
                flush=True,
            )


def ways() -> None:
    print("\n## The same, frozen and compiled, batch 1, 1 thread\n")
    print("| network | way | preparation, s | dense, ms | pruned, ms | measured (95 %) |")
    print("|---|---|--:|--:|--:|---|")
    chosen: tuple[Way, ...] = ("frozen", "compiled")
    for name in ("digits-resnet", "digits-vit"):
        module, small, inputs, _ = halved(name)
        for way in chosen:
            try:
                timing = measure_latency(small, inputs, baseline=module, threads=1, way=way, budget_s=1.0)
            except ValueError as error:
                print(f"| {name} | {way} | | | | {error} |")
                continue
            assert timing.baseline is not None
            print(
                f"| {name} | {way} | {timing.preparation:.1f} | {1e3 * timing.baseline.median:.3f} "
                f"| {1e3 * timing.median:.3f} | {_ratio(timing)} |",
                flush=True,
            )


def _ratio(timing: Timing) -> str:
    assert timing.ratio_interval is not None
    low, high = timing.ratio_interval
    return f"{timing.ratio:.2f}× ({low:.2f} to {high:.2f})"


PARTS = {"1": against_itself, "2": sums_of_layers, "3": speedups, "4": ways}


def main() -> None:
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()


if __name__ == "__main__":
    main()
