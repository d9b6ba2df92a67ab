"""How long the engine takes from an edited recipe to its first and its last accuracy figure.

Each edit moves one group of digits-resnet to another ratio, the others staying where they were, as a drag
does. The page adds its own time; its target for both together is 150 ms at the median.
"""

from __future__ import annotations

import random
from statistics import median, quantiles
from time import perf_counter

import torch

from pruning.criteria import score_groups
from pruning.groups import find_structure
from pruning.live import LiveEvaluator
from pruning.models import load_model
from pruning.recipe import Recipe, Rule
from pruning.tasks import load_task

MODEL = "digits-resnet"
EDITS = 60
START = 0.2  # every group, before the first edit


def main() -> None:
    loaded = load_model(MODEL)
    task = load_task(loaded.task)
    structure = find_structure(loaded.module, loaded.example_inputs)
    scores = score_groups(loaded.module, structure.groups, "l2")
    evaluator = LiveEvaluator(loaded.module, task, loaded.example_inputs, structure=structure)
    dense = evaluator.dense
    draw = random.Random(0)
    rules = {group.id: Rule(ratio=START) for group in structure.groups}
    list(evaluator.reports(Recipe(rules=rules), scores))  # the first one is built with a check

    first, whole = [], []
    for _ in range(EDITS):
        rules[draw.choice(list(rules))] = Rule(ratio=draw.uniform(0.05, 0.95))
        begin = perf_counter()
        for step, _report in enumerate(evaluator.reports(Recipe(rules=rules), scores)):
            if step == 0:
                first.append(perf_counter() - begin)
        whole.append(perf_counter() - begin)
    print(f"{MODEL}: {dense.n} validation images, {EDITS} edits, {torch.get_num_threads()} threads")
    for name, times in (("first figure", first), ("all images", whole)):
        p95 = quantiles(times, n=20)[-1]
        print(f"  {name:14} p50 {1e3 * median(times):6.1f} ms   p95 {1e3 * p95:6.1f} ms")


if __name__ == "__main__":
    main()
