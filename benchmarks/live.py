"""How long an edit waits for its accuracy, beside the plain way: a copy with zeros and a full evaluation.

Each edit moves one group to another ratio, the others staying where they were, as a drag does. The first
figure is measured on one batch, the final one on all images. The plain way, in turns with it, has the same
scores, the images in memory and one figure at the end; "ratio" is its time over that of the final figure, the
median of the edits. "Early" and "late" are edits of the first and of the last third of the groups.
"Differing" counts edits whose final accuracies are not equal. "Kept" are the activations that are held after
the last edit, "more memory" is how far the process's peak grew above the network, the images and one plain
evaluation. The page adds its own time (`drag.py`).

    python benchmarks/live.py [NETWORK ...] [--threads N] [--edits N]
"""

from __future__ import annotations

import argparse
import copy
import random
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median, quantiles
from time import perf_counter

import torch
from _plain import accuracy
from torch import Tensor, nn

from pruning.criteria import score_groups
from pruning.evaluate import Batch, split_batches
from pruning.groups import find_structure
from pruning.live import LiveEvaluator
from pruning.masks import named_tensors, zero_units
from pruning.models import load_model
from pruning.plan import Plan, make_plan
from pruning.recipe import Recipe, Rule
from pruning.tasks import load_task
from pruning.tasks.archive import data_dir

NETWORKS = {"digits-resnet": 360, "cifar10-resnet20": 1000}  # and validation images
START = 0.2  # every group, before the first edit
THIRDS = ("early", "middle", "late")


@dataclass(frozen=True)
class Edit:
    """What one edit took, in seconds."""

    third: str
    first: float
    final: float
    plain: float
    differing: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--edits", type=int, default=24)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.child:
        print("\n".join(rows(options.networks[0], options.edits)))
        return
    print(f"Times in milliseconds, p50 / p95, memory in MiB; {options.threads} threads.\n")
    titles = "network, images, edits, n, first figure, final, plain, ratio, differing, kept, more memory"
    print("| " + titles.replace(", ", " | ") + " |\n" + "|---" * (titles.count(",") + 1) + "|")
    data = (data_dir() / "cifar10.npz").is_file()
    for name in options.networks or [name for name in NETWORKS if data or name.startswith("digits")]:
        command = [sys.executable, __file__, name, "--child", "--threads", str(options.threads)]
        command += ["--edits", str(options.edits)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            sys.exit(f"{name} failed.")
        print(done.stdout.strip(), flush=True)


def rows(name: str, count: int) -> list[str]:
    """The lines of one network: all edits, then those of the first and of the last third of the groups."""
    loaded, limit = load_model(name), NETWORKS.get(name)
    module, inputs = loaded.module, loaded.example_inputs
    task, structure = load_task(loaded.task), find_structure(module, inputs)
    n, batches = split_batches(task, "validation", batch_size=256, limit=limit)
    known = tuple(batches)
    scores = score_groups(module, structure.groups, "l2")
    evaluator = LiveEvaluator(module, task, inputs, structure=structure, limit=limit)
    evaluator.dense  # noqa: B018  # measured before the first edit, as on the page
    draw, keys = random.Random(0), [group.id for group in structure.groups]
    rules = {key: Rule(ratio=START) for key in keys}
    plan = partial(make_plan, module, example_inputs=inputs, structure=structure, scores=scores)
    plainly(module, plan(recipe=Recipe(rules=rules)), known)
    before = peak_kib()
    list(evaluator.reports(Recipe(rules=rules), scores))  # records the network
    edits = []
    for _ in range(count):
        key = draw.choice(keys)
        rules[key] = Rule(ratio=draw.uniform(0.05, 0.95))
        recipe = Recipe(rules=rules)
        first, final, ours = lively(evaluator, recipe, scores)
        begin = perf_counter()
        theirs = plainly(module, plan(recipe=recipe), known)
        third = THIRDS[3 * keys.index(key) // len(keys)]
        edits.append(Edit(third, first, final, perf_counter() - begin, ours != theirs))
    kept, more = evaluator.kept_bytes / 2**20, (peak_kib() - before) / 2**10
    lines = [f"| {name} | {n:,} | all | {cells(edits)} | {kept:.0f} | {more:.0f} |"]
    for third in (THIRDS[0], THIRDS[2]):
        lines.append(f"| | | {third} | {cells([edit for edit in edits if edit.third == third])} | | |")
    return lines


def lively(
    evaluator: LiveEvaluator, recipe: Recipe, scores: Mapping[str, Tensor]
) -> tuple[float, float, float]:
    """Seconds to the first figure and to the final one, and the final accuracy."""
    begin = perf_counter()
    steps = evaluator.reports(recipe, scores)
    report = next(steps)
    first = perf_counter() - begin
    for report in steps:  # noqa: B007  # the last one counts
        pass
    return first, perf_counter() - begin, report.accuracy


@torch.no_grad()
def plainly(module: nn.Module, plan: Plan, batches: Sequence[Batch]) -> float:
    """The accuracy of a copy with zeros where units go, run whole on images that are in memory."""
    pruned = copy.deepcopy(module)
    tensors = named_tensors(pruned)
    for key, keep in plan.channels.items():
        zero_units(tensors, plan.structure.group(key), keep)
    return accuracy(pruned, batches)


def cells(edits: Sequence[Edit]) -> str:
    if len(edits) < 2:
        return f"{len(edits)} | | | | | "
    times = [p50_p95([getattr(edit, name) for edit in edits]) for name in ("first", "final", "plain")]
    ratio = median(edit.plain / edit.final for edit in edits)
    differing = sum(edit.differing for edit in edits)
    return f"{len(edits)} | {' | '.join(times)} | {ratio:.1f} | {differing}"


def p50_p95(seconds: Sequence[float]) -> str:
    return f"{1e3 * median(seconds):.0f} / {1e3 * quantiles(seconds, n=20, method='inclusive')[-1]:.0f}"


def peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
