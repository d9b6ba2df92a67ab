"""How long an edit waits for its accuracy, beside the plain way: a copy with zeros and a full evaluation.

Each edit moves one group to another ratio, the others staying where they were, as a drag does. The first
figure is measured on one batch, the final one on all images. The plain way, in turns with it, has the images
in memory and one figure at the end. "Early" and "late" are edits in the first and the last third of the
groups. "Differing" counts edits whose final accuracies are not equal. The page adds its own time (`drag.py`).

    python benchmarks/live.py [NETWORK ...] [--threads N] [--edits N]
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
from collections.abc import Sequence
from statistics import median, quantiles
from time import perf_counter

import torch
from torch import nn

from pruning.criteria import score_groups
from pruning.evaluate import Batch, split_batches
from pruning.groups import Structure, find_structure
from pruning.layers import duplicate
from pruning.live import LiveEvaluator
from pruning.masks import apply_masks
from pruning.models import load_model
from pruning.plan import make_plan
from pruning.recipe import Recipe, Rule
from pruning.tasks import load_task
from pruning.tasks.archive import data_dir

NETWORKS = {"digits-resnet": 360, "cifar10-resnet20": 1000}  # and validation images
START = 0.2  # every group, before the first edit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--edits", type=int, default=30)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.child:
        print(row(options.networks[0], options.edits))
        return
    print(f"{options.edits} edits each, {options.threads} threads, milliseconds, p50 / p95.\n")
    titles = "network, images, first figure, final, early, late, plain, differing, kept, more memory"
    print("| " + titles.replace(", ", " | ") + " |\n" + "|---" * (titles.count(",") + 1) + "|")
    data = (data_dir() / "cifar10.npz").is_file()
    for name in options.networks or [name for name in NETWORKS if data or name.startswith("digits")]:
        command = [sys.executable, __file__, name, "--child", "--threads", str(options.threads)]
        done = subprocess.run(
            [*command, "--edits", str(options.edits)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{name}: {done.stderr}")
        print(done.stdout.strip(), flush=True)


def row(name: str, edits: int) -> str:
    """One line of the table."""
    loaded, limit = load_model(name), NETWORKS.get(name)
    task, structure = load_task(loaded.task), find_structure(loaded.module, loaded.example_inputs)
    n, batches = split_batches(task, "validation", batch_size=256, limit=limit)
    known = tuple(batches)
    scores = score_groups(loaded.module, structure.groups, "l2")
    evaluator = LiveEvaluator(loaded.module, task, loaded.example_inputs, structure=structure, limit=limit)
    draw, keys = random.Random(0), [group.id for group in structure.groups]
    rules = {key: Rule(ratio=START) for key in keys}
    evaluator.dense  # noqa: B018  # measured before the first edit, as on the page
    plainly(loaded.module, loaded.example_inputs, structure, Recipe(rules=rules), known)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    list(evaluator.reports(Recipe(rules=rules), scores))
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    first, final, plain, early, late, differing = [], [], [], [], [], 0
    for _ in range(edits):
        key = draw.choice(keys)
        rules[key] = Rule(ratio=draw.uniform(0.05, 0.95))
        recipe, begin = Recipe(rules=rules), perf_counter()
        steps = evaluator.reports(recipe, scores)
        report = next(steps)
        first.append(perf_counter() - begin)
        for report in steps:  # noqa: B007  # the last one counts
            pass
        final.append(perf_counter() - begin)
        third = 3 * keys.index(key) // len(keys)
        (early if third == 0 else late if third == 2 else []).append(final[-1])
        begin = perf_counter()
        accuracy = plainly(loaded.module, loaded.example_inputs, structure, recipe, known)
        plain.append(perf_counter() - begin)
        differing += accuracy != report.accuracy
    cells = [name, f"{n:,}", *map(p50_p95, (first, final, early, late, plain)), f"{differing} of {edits}"]
    cells += [f"{evaluator.kept_bytes / 1e6:.0f} MB", f"{memory:.0f} MiB"]
    return "| " + " | ".join(cells) + " |"


@torch.no_grad()
def plainly(
    module: nn.Module,
    inputs: Sequence[torch.Tensor],
    structure: Structure,
    recipe: Recipe,
    batches: Sequence[Batch],
) -> float:
    """A copy with zeros where units go, run whole on all images."""
    plan = make_plan(module, recipe, example_inputs=inputs, structure=structure)
    masked = apply_masks(duplicate(module), plan).eval()
    right = sum(int((masked(x).argmax(1) == y).sum()) for x, y in batches)
    return right / sum(len(y) for _, y in batches)


def p50_p95(seconds: Sequence[float]) -> str:
    if len(seconds) < 2:
        return "–"
    return f"{1e3 * median(seconds):.0f} / {1e3 * quantiles(seconds, n=20)[-1]:.0f}"


if __name__ == "__main__":
    main()
